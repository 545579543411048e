// The playground's worlds and policies, number for number those of optima_lab.bandits (playground.py: `play`).
// Every function names its Python counterpart; all replications are played at once, arrays are (R, K) row by row.

/** luck.mix */
function mix(number) {
  let x = number >>> 0;
  x = Math.imul(x ^ (x >>> 16), 0x7feb352d);
  x = Math.imul(x ^ (x >>> 15), 0x846ca68b);
  return (x ^ (x >>> 16)) >>> 0;
}

/** luck.HashRng: hash(call, r) gives a row, `mix(row + k)` its numbers. */
function makeLuck(seed, stream, quantiles) {
  const base = mix(mix(seed) + stream);
  const half = quantiles.length;
  const luck = { calls: 0, base: 0 };
  luck.next = () => {
    luck.base = mix(base + luck.calls);
    luck.calls += 1;
  };
  luck.row = (r) => mix(luck.base + r);
  luck.normal = (hash) => {
    const place = hash >>> 16;
    return place < half ? -quantiles[half - 1 - place] : quantiles[place - half];
  };
  luck.uniform = (hash) => hash / 4294967296;
  return luck;
}

/** playground.Settings.changes */
function changesOf(settings) {
  const shares = { swap: [settings.first_change], pieces: [settings.first_change, settings.second_change] };
  return (shares[settings.world] ?? []).map((share) => Math.floor((share * settings.horizon + 50) / 100));
}

/** playground.world: true means, (T, K) row by row. */
function worldMeans(settings) {
  const { arms: K, horizon: T, gap } = settings;
  if (settings.table) return settings.table.subarray(0, T * K); // recorded rewards
  const low = gap / 2;
  const table = new Float64Array(T * K);
  if (settings.world === "waves") {
    const [middle, swing] = [low + gap / 2, gap / 2];
    for (let t = 0; t < T; t += 1) {
      for (let k = 0; k < K; k += 1) table[t * K + k] = middle + swing * Math.sin(2 * Math.PI * ((2 * t) / T + k / K));
    }
    return table;
  }
  const high = low + gap;
  const means = Array.from({ length: K }, (_, k) => (k === K - 1 ? high : k * ((high - low) / (K - 1)) + low));
  const pieces = [means, means.map((mean, k) => (k === 0 ? means[K - 1] : k === K - 1 ? means[0] : mean))];
  if (settings.world === "pieces") {
    const shift = Math.max(1, Math.floor((2 * K) / 5));
    pieces.splice(0, 2, ...[0, 1, 2].map((piece) => means.map((_, k) => means[(k + shift * piece) % K])));
  }
  const changes = changesOf(settings);
  for (let t = 0; t < T; t += 1) table.set(pieces[changes.filter((change) => change <= t).length], t * K);
  return table;
}

/** What all policies count: bandits.policies.base.counters, and the order of forced plays (initial_order). */
function counters(settings, luck, initialPlays) {
  const { arms: K, replications: R } = settings;
  const state = { K, R, round: 0, plays: new Float64Array(R * K), mean: new Float64Array(R * K), forced: initialPlays * K };
  if (!luck || initialPlays < 0) return state;
  luck.next();
  state.order = new Uint8Array(R * state.forced);
  for (let r = 0; r < R; r += 1) {
    const row = luck.row(r);
    const keys = Float64Array.from({ length: state.forced }, (_, i) => mix(row + i));
    const sorted = Array.from(keys.keys()).sort((a, b) => keys[a] - keys[b] || a - b);
    sorted.forEach((i, place) => {
      state.order[r * state.forced + place] = Math.floor(i / initialPlays);
    });
  }
  return state;
}

/** base.best of r̂ ~ N(mean, deviation(r, cell)²); or the forced plays. */
function sampleBest(state, luck, deviation, arm) {
  const { K, R, mean } = state;
  if (state.round < state.forced) return forcedPlay(state, arm);
  luck.next();
  for (let r = 0; r < R; r += 1) {
    const row = luck.row(r);
    let [top, chosen] = [-Infinity, 0];
    for (let k = 0; k < K; k += 1) {
      const draw = luck.normal(mix(row + k)) * deviation(r, r * K + k) + mean[r * K + k];
      if (draw > top) [top, chosen] = [draw, k];
    }
    arm[r] = chosen;
  }
  return arm;
}

/** base.top_arm: the arm of the highest of score(cell) in each replication, among equals any; luck only where there are. */
function topArms(state, luck, score, arm) {
  const { K, R } = state;
  const tied = [];
  for (let r = 0; r < R; r += 1) {
    let [top, chosen, equals] = [-Infinity, 0, 0];
    for (let k = 0; k < K; k += 1) {
      const value = score(r, r * K + k);
      if (value > top) [top, chosen, equals] = [value, k, 1];
      else if (value === top) equals += 1;
    }
    arm[r] = chosen;
    if (equals > 1) tied.push([r, top, equals]);
  }
  if (tied.length) luck.next();
  tied.forEach(([r, top, equals], row) => {
    let place = Math.floor(luck.uniform(mix(luck.row(row))) * equals);
    for (let k = arm[r]; place > 0; place -= 1) {
      do {
        k += 1;
      } while (score(r, r * K + k) !== top);
      arm[r] = k;
    }
  });
  return arm;
}

function forcedPlay(state, arm) {
  for (let r = 0; r < state.R; r += 1) arm[r] = state.order[r * state.forced + state.round];
  return arm;
}

/** bandits.policies.noise.noise_arrays */
function noiseArrays(state, fallback) {
  state.spread = new Float64Array(state.R * state.K).fill(1e30);
  state.noiseSum = new Float64Array(state.R).fill(1e-12 * fallback * fallback);
  state.noiseWeight = new Float64Array(state.R).fill(1e-12);
}

/** bandits.policies.noise.learn_noise */
function learnNoise(state, r, cell, surprise, step, decay) {
  const before = state.spread[cell];
  const weight = 1 / (1 + before);
  state.noiseSum[r] = state.noiseSum[r] * decay + (weight * surprise) ** 2;
  state.noiseWeight[r] = state.noiseWeight[r] * decay + weight;
  state.spread[cell] = (1 - step) ** 2 * before + step ** 2;
}

const sigma = (state, r) => Math.sqrt(state.noiseSum[r] / state.noiseWeight[r]);

/** bandits.policies.discount.discount: every count fades, the played one grows; returns it. */
function discount(state, r, cell, decay) {
  for (let k = 0; k < state.K; k += 1) state.plays[r * state.K + k] *= decay;
  state.plays[cell] += 1;
  return state.plays[cell];
}

function moveMean(state, cell, reward, step) {
  const surprise = reward - state.mean[cell];
  state.mean[cell] += step * surprise;
  return surprise;
}

/** A policy: state, select(arm) fills the arms (R), learn(r, cell, reward) of one replication, deviation(r, cell) or none. */
const MAKERS = {
  /** bandits.policies.ema.EmaThompson */
  optima(settings, luck) {
    const state = counters(settings, luck, settings.initial_plays);
    const deviation = (_, cell) => 1 / Math.sqrt(state.plays[cell] + 1);
    const learn = (_, cell, reward) => {
      moveMean(state, cell, reward, state.round < state.forced ? 1 / (state.plays[cell] + 1) : 1 - settings.decay);
      state.plays[cell] += 1;
    };
    return { state, deviation, learn, select: (arm) => sampleBest(state, luck, deviation, arm) };
  },

  /** bandits.policies.ema.CalibratedEmaThompson */
  optima_calibrated(settings, luck) {
    const state = counters(settings, luck, settings.initial_plays);
    noiseArrays(state, 1);
    if (settings.initial_plays === 0) state.spread.fill(0);
    const deviation = (r, cell) => sigma(state, r) / Math.sqrt(state.plays[cell] + 1);
    const learn = (r, cell, reward) => {
      const step = state.round < state.forced ? 1 / (state.plays[cell] + 1) : 1 - settings.decay;
      learnNoise(state, r, cell, moveMean(state, cell, reward, step), step, settings.decay);
      state.plays[cell] += 1;
    };
    return { state, deviation, learn, select: (arm) => sampleBest(state, luck, deviation, arm) };
  },

  /** bandits.policies.gaussian.DiscountedGaussianThompson */
  gaussian_dts(settings, luck) {
    const state = counters(settings, luck, Math.max(1, settings.initial_plays));
    noiseArrays(state, 1);
    const deviation = (r, cell) => sigma(state, r) / Math.sqrt(state.plays[cell] + 1e-12);
    const learn = (r, cell, reward) => {
      const step = 1 / discount(state, r, cell, settings.decay);
      learnNoise(state, r, cell, moveMean(state, cell, reward, step), step, settings.decay);
    };
    return { state, deviation, learn, select: (arm) => sampleBest(state, luck, deviation, arm) };
  },

  /** bandits.policies.ucb.DiscountedUcb with sized_policy's bound; ξ = 0.5 */
  discounted_ucb(settings, luck) {
    const state = counters(settings, null, -1);
    const { K, R, plays, mean } = state;
    const bound = (1.5 * settings.gap + 4 * settings.noise) / 2;
    const select = (arm) => {
      const logN = Array.from({ length: R }, (_, r) => {
        let sum = 0;
        for (let k = 0; k < K; k += 1) sum += plays[r * K + k];
        return Math.log(Math.max(sum, 1));
      });
      const bonus = (r, n) => (n > 0 ? 2 * bound * Math.sqrt((0.5 * logN[r]) / Math.max(n, 1e-12)) : Infinity);
      return topArms(state, luck, (r, cell) => mean[cell] + bonus(r, plays[cell]), arm);
    };
    const learn = (r, cell, reward) => {
      moveMean(state, cell, reward, 1 / discount(state, r, cell, settings.decay));
    };
    return { state, learn, select };
  },

  /** bandits.policies.greedy.EpsilonGreedy with step = 1 − γ, ε = 0.1 */
  epsilon_greedy(settings, luck) {
    const state = counters(settings, luck, Math.max(1, settings.initial_plays));
    const select = (arm) => {
      if (state.round < state.forced) return forcedPlay(state, arm);
      luck.next();
      const explore = Array.from({ length: state.R }, (_, r) => luck.uniform(mix(luck.row(r))) < 0.1);
      luck.next();
      const random = Array.from({ length: state.R }, (_, r) => Math.floor(luck.uniform(mix(luck.row(r))) * state.K));
      topArms(state, luck, (_, cell) => state.mean[cell], arm);
      for (let r = 0; r < state.R; r += 1) if (explore[r]) arm[r] = random[r];
      return arm;
    };
    const learn = (_, cell, reward) => {
      moveMean(state, cell, reward, Math.max(1 - settings.decay, 1 / (state.plays[cell] + 1)));
      state.plays[cell] += 1;
    };
    return { state, learn, select };
  },

  /** bandits.policies.simple.Uniform */
  random(settings, luck) {
    const state = counters(settings, null, -1);
    const select = (arm) => {
      luck.next();
      for (let r = 0; r < state.R; r += 1) {
        const row = luck.row(r);
        let [top, chosen] = [-1, 0];
        for (let k = 0; k < state.K; k += 1) {
          const hash = mix(row + k);
          if (hash > top) [top, chosen] = [hash, k];
        }
        arm[r] = chosen;
      }
    };
    return { state, select, learn: () => {} };
  },
};

/** The luck of the rewards: (T, R) normal numbers, the same for all policies. */
function rewardChance(settings, streams, quantiles) {
  const { horizon: T, replications: R } = settings;
  const luck = makeLuck(settings.seed, streams.world, quantiles);
  const chance = new Float64Array(T * R);
  for (let t = 0; t < T; t += 1) {
    luck.next();
    for (let r = 0; r < R; r += 1) chance[t * R + r] = luck.normal(mix(luck.row(r)));
  }
  return chance;
}

/** playground.play: arms (T, R), regret (T, R) summed up, and the first replication's beliefs (T + 1, K).
 *
 * `own`: the runs, by name, of policies that Python alone knows and has played; those it has not yet are left out. */
function simulate(settings, streams, quantiles, own = {}) {
  const means = worldMeans(settings);
  const chance = rewardChance(settings, streams, quantiles);
  const known = settings.policies.filter((name) => MAKERS[name] || own[name]);
  const runs = known.map((name) => own[name] ?? playOut(name, settings, means, chance, makeLuck(settings.seed, streams[name], quantiles)));
  return { settings, means, chance, runs };
}

function playOut(name, settings, means, chance, luck) {
  const { arms: K, horizon: T, replications: R, noise } = settings;
  const { state, select, learn, deviation } = MAKERS[name](settings, luck);
  const arms = new Uint8Array(T * R);
  const regret = new Float64Array(T * R);
  const mean = new Float64Array((T + 1) * K).fill(NaN);
  const spread = new Float64Array((T + 1) * K).fill(NaN);
  const arm = new Uint8Array(R);
  const note = (t) => {
    for (let k = 0; deviation && k < K; k += 1) [mean[t * K + k], spread[t * K + k]] = [state.mean[k], deviation(0, k)];
  };
  for (let t = 0; t < T; t += 1) {
    note(t);
    select(arm);
    let top = means[t * K];
    for (let k = 1; k < K; k += 1) if (means[t * K + k] > top) top = means[t * K + k];
    for (let r = 0; r < R; r += 1) {
      const truth = means[t * K + arm[r]];
      learn(r, r * K + arm[r], truth + chance[t * R + r] * noise);
      arms[t * R + r] = arm[r];
      regret[t * R + r] = (t ? regret[(t - 1) * R + r] : 0) + (top - truth);
    }
    state.round += 1;
  }
  note(T);
  return { name, arms, regret, mean, deviation: spread };
}
