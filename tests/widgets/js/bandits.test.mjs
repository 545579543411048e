// The playground's chance, worlds and samplers. That whole games equal Python's is held by test_browser.py; here by hand.
import assert from "node:assert/strict";
import { test } from "node:test";
import { load } from "./load.mjs";

const names = ["mix", "makeLuck", "changesOf", "worldMeans", "MAKERS", "simulate", "sigma"];
const { mix, makeLuck, changesOf, worldMeans, MAKERS, simulate, sigma } = load(["bandits.js"], names);
const settings = {
  world: "swap", policies: ["random"], arms: 3, gap: 0.04, noise: 0.02, first_change: 50, second_change: 75,
  decay: 0.5, initial_plays: 2, horizon: 10, replications: 1, seed: 0,
};
const near = (value, expected) => assert.ok(Math.abs(value - expected) < 1e-12, `${value} is not ${expected}`);

test("the hash is lowbias32, in whole numbers of 32 bits", () => {
  const wide = (x) => Number(BigInt.asUintN(32, x));
  const first = 0x7feb352dn ^ (0x7feb352dn >> 15n);
  const second = BigInt.asUintN(32, first * 0x846ca68bn);
  assert.equal(mix(0), 0);
  assert.equal(mix(1), wide(second ^ (second >> 16n)));
  assert.equal(mix(2 ** 32 + 1), mix(1));
  assert.equal(new Set(Array.from({ length: 5000 }, (_, i) => mix(i))).size, 5000);
});

test("normal numbers come from the table's two halves, uniform ones from [0, 1)", () => {
  const luck = makeLuck(0, 0, Float32Array.from([0.5, 2]));
  const place = (number) => luck.normal(number << 16);
  assert.deepEqual([0, 1, 2, 3].map(place), [-2, -0.5, 0.5, 2]);
  assert.deepEqual([luck.uniform(0), luck.uniform(2 ** 31)], [0, 0.5]);
  const [first] = [luck.next(), luck.row(0)].slice(1);
  luck.next();
  assert.notEqual(luck.row(0), first, "every call has new numbers");
});

test("worlds change when the sliders say", () => {
  assert.deepEqual(changesOf(settings), [5]);
  assert.deepEqual(changesOf({ ...settings, world: "pieces", horizon: 30 }), [15, 23]); // 22.5 is rounded up
  assert.deepEqual(changesOf({ ...settings, world: "still" }), []);
  const means = worldMeans(settings);
  [0.02, 0.04, 0.06].forEach((mean, k) => { near(means[4 * 3 + k], mean); });
  [0.06, 0.04, 0.02].forEach((mean, k) => { near(means[5 * 3 + k], mean); });
  const pieces = worldMeans({ ...settings, world: "pieces", first_change: 10, second_change: 20 });
  [0.04, 0.06, 0.02].forEach((mean, k) => { near(pieces[3 + k], mean); }); // rolled by one
  near(worldMeans({ ...settings, world: "waves" })[0], 0.04); // sin 0
});

test("OPTIMA's mean is the plain average in its first plays and then moves by 1 − γ; its variance is 1/(n + 1)", () => {
  const { state, learn, deviation } = MAKERS.optima(settings, makeLuck(0, 0, Float32Array.from([1])));
  assert.equal(deviation(0, 1), 1);
  for (const reward of [0.1, 0.3]) learn(0, 1, reward);
  near(state.mean[1], 0.2);
  near(deviation(0, 1), 1 / Math.sqrt(3));
  state.round = 6; // T0 · K plays are over
  learn(0, 1, 0.6);
  near(state.mean[1], 0.4);
  assert.deepEqual([...state.plays], [0, 3, 0]);
  assert.deepEqual([...state.order].sort(), [0, 0, 1, 1, 2, 2], "every arm T0 times");
});

test("the calibrated sampler's noise is that of its surprises", () => {
  const { state, learn, deviation } = MAKERS.optima_calibrated(settings, makeLuck(0, 0, Float32Array.from([1])));
  near(sigma(state, 0), 1); // nothing known: the paper's 1
  learn(0, 0, 0.1); // a first reward surprises nothing
  near(sigma(state, 0), 1);
  learn(0, 0, 0.3); // e = 0.2, v = 1, ω = 1/2: σ̂² = (ω e)² / ω = 0.02
  assert.ok(Math.abs(sigma(state, 0) - Math.sqrt(0.02)) < 1e-6);
  assert.ok(Math.abs(deviation(0, 0) - Math.sqrt(0.02 / 3)) < 1e-6);
  learn(0, 0, 0.5); // v = 1/4 + 1/4, ω = 2/3, e = 0.3: σ̂² = (0.01/2 + 0.2²) / (0.5/2 + 2/3)
  assert.ok(Math.abs(sigma(state, 0) - Math.sqrt(0.045 / (0.25 + 2 / 3))) < 1e-6);
});

test("discounted counts fade for every arm, every round", () => {
  const { state, learn } = MAKERS.gaussian_dts(settings, makeLuck(0, 0, Float32Array.from([1])));
  learn(0, 0, 1);
  learn(0, 2, 4);
  assert.deepEqual([...state.plays], [0.5, 0, 1]);
  learn(0, 0, 2.5); // N = 0.25 + 1, μ = 1 + (2.5 − 1)/1.25
  near(state.mean[0], 2.2);
});

test("regret adds up what the best arm would have brought more, and the first row of beliefs is before any play", () => {
  const streams = { world: 0, random: 1, optima: 2 };
  const played = simulate({ ...settings, world: "still", policies: ["random", "optima"], noise: 0 }, streams, Float32Array.from([1]));
  for (const { arms, regret } of played.runs) {
    let sum = 0;
    for (const [t, arm] of arms.entries()) {
      sum += 0.04 - 0.02 * arm;
      near(regret[t], sum);
    }
  }
  const [random, optima] = played.runs;
  assert.ok([...random.mean].every(Number.isNaN), "no belief");
  assert.deepEqual([...optima.mean.slice(0, 3), ...optima.deviation.slice(0, 3)], [0, 0, 0, 1, 1, 1]);
});
