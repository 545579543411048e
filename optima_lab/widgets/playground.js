// Playground of bandits. State is one object of settings; everything on the page is computed from it (bandits.js).

const DRAGGING = 10000; // rounds · replications while a slider moves; all replications once it rests
const GAME_ROUNDS = [20, 40, 80];

/** name → [label, lowest, highest, step, slider → value, value → slider, text] */
const plainly = (value) => value;
const SLIDERS = {
  gap: ["gap", -2, 0.5, 0.01, (x) => Number((10 ** x).toPrecision(3)), Math.log10, say],
  noise: ["noise", -3.3, 0.3, 0.01, (x) => Number((10 ** x).toPrecision(3)), Math.log10, say],
  first_change: ["change 1", 2, 96, 1, plainly, plainly, (x) => `${x} %`],
  second_change: ["change 2", 3, 97, 1, plainly, plainly, (x) => `${x} %`],
  decay: ["γ", 0.8, 0.999, 0.001, plainly, plainly, (x) => String(x)],
  initial_plays: ["T0", 0, 20, 1, plainly, plainly, String],
  arms: ["arms", 2, 7, 1, plainly, plainly, String],
  horizon: ["horizon", 50, 2000, 50, plainly, plainly, String],
};
const ABOUT = {
  gap: "best minus worst mean reward", noise: "standard deviation of one reward", first_change: "per cent of the horizon",
  second_change: "per cent of the horizon", decay: "what is remembered of a reward after one more", horizon: "rounds",
  initial_plays: "forced plays of every arm at the start", arms: "number of arms",
};

// --- you play --------------------------------------------------------------------------------------------------------

/** The settings of a game: as many rounds as the student plays, and forced plays for half of them at most. */
function gameSettings(settings, rounds) {
  const most = Math.floor(rounds / (2 * settings.arms));
  return { ...settings, horizon: rounds, replications: 2, initial_plays: Math.min(settings.initial_plays, most) };
}

/** 0 … K − 1 in an order that `random` (numbers in [0, 1)) decides. */
function shuffled(K, random = Math.random) {
  const order = Array.from({ length: K }, (_, k) => k);
  for (let k = K - 1; k > 0; k -= 1) {
    const other = Math.floor(random() * (k + 1));
    [order[k], order[other]] = [order[other], order[k]];
  }
  return order;
}

/** A game on recorded rewards: pulls bring them as they are, and OPTIMA has the parameters that it had in that run. */
function recordedSettings(settings, { decay, initial_plays }, table, K) {
  return { ...settings, policies: ["optima", "random"], arms: K, noise: 0, decay, initial_plays, table };
}

/** The rounds in which an arm that was known had a larger mean than the one pulled: bandits.posterior.departures. */
function departures(pulls, rewards, K) {
  const [sum, plays, found] = [Array(K).fill(0), Array(K).fill(0), []];
  pulls.forEach((arm, t) => {
    const mean = sum.map((total, k) => (plays[k] ? total / plays[k] : Number.NEGATIVE_INFINITY));
    const best = mean.indexOf(Math.max(...mean));
    if (plays[arm] && mean[arm] < mean[best]) found.push({ t, arm, mean: mean[arm], best, top: mean[best] });
    [sum[arm], plays[arm]] = [sum[arm] + rewards[t], plays[arm] + 1];
  });
  return found;
}

/** The student's side of a game in the first replication's luck; policies meet the same.
 *
 * What is called arm 1 is another arm of the world in every game (`order`): nothing but rewards tells which is best. */
function startGame(settings, rounds, about, quantiles, order = shuffled(settings.arms)) {
  const world = gameSettings(settings, rounds);
  const game = { world, order, pulls: [], rewards: [], ...simulate(world, about.streams, quantiles) };
  const K = world.arms;
  const theirs = game.means;
  const spread = 2.5 * world.noise;
  game.range = world.table ? [Math.min(0, ...theirs), Math.max(...theirs)] : [Math.min(0, world.gap / 2 - spread), 1.5 * world.gap + spread];
  game.means = theirs.map((_, i) => theirs[i - (i % K) + order[i % K]]);
  game.pull = (arm) => {
    const t = game.pulls.length;
    game.pulls.push(arm);
    game.rewards.push(game.means[t * K + arm] + game.chance[t * 2] * world.noise);
    return game.rewards[t];
  };
  game.going = () => game.pulls.length > 0 && !game.over();
  game.best = (t) => {
    const now = row(game.means, t, K);
    return now.indexOf(Math.max(...now)) + 1;
  };
  game.over = () => game.pulls.length >= rounds;
  game.scores = () => {
    const lost = game.pulls.map((arm, t) => Math.max(...row(game.means, t, K)) - game.means[t * K + arm]);
    const yours = { title: "you", value: lost.reduce((a, b) => a + b, 0) };
    const others = game.runs.map((run) => ({ title: about.policies[run.name].title, value: run.regret[(rounds - 1) * 2] }));
    return [yours, ...others].sort((a, b) => a.value - b.value);
  };
  game.sums = () => {
    const sum = (title, arm) => ({ title, value: game.pulls.reduce((total, _, t) => total + theirs[t * K + arm(t)], 0) });
    const others = game.runs.map((run) => sum(about.policies[run.name].title, (t) => run.arms[t * 2]));
    const all = [sum("you", (t) => order[game.pulls[t]]), ...others, sum("LWD", () => K - 1)];
    return all.sort((a, b) => b.value - a.value);
  };
  return game;
}

const SIMULATED = "The policies play the same world with the same luck; their forced plays last half of the game at most.";
const RECORDED = "In round t an arm brings what the student that it taught throughout got in its round t. A student with a mixed past would have got something else: this tells who follows such rewards, not who would teach better.";

/** Buttons for every arm, what they brought so far, and at the end how everybody did and what was hidden. */
function gamePanel(about, said, settings, quantiles, tables, leave) {
  let game = null;
  const head = h("p", { class: "ol-head" });
  const pads = h("div", { class: "ol-row" });
  const result = h("div");
  const canvas = h("canvas", { role: "img", "aria-label": "your rewards, round by round" });
  const rounds = chooser("rounds", GAME_ROUNDS.map((n) => [n, `${n} rounds`]), 40, () => ask());
  const worlds = chooser("rewards", [["", "of the playground's world"], ...about.games.map(({ title }, n) => [n, `recorded: ${title}`])], "", () => ask());
  worlds.node.hidden = !about.games.length;
  const told = h("p");
  const again = h("button", { onclick: () => ask() }, "play again");
  const anew = h("button", { onclick: () => begin() }, "start a new game");
  const goOn = h("button", { onclick: () => keep() }, "go on with this one");
  const question = h("p", { class: "ol-row", role: "alert", hidden: true }, "This game is not over. ", anew, goOn);
  const view = surface(canvas, () => 240, (context, width, tall) => game && drawGame(context, width, tall));
  const node = h("div", { hidden: true },
    head, pads, canvas, result, question,
    h("div", { class: "ol-row" }, worlds.node, rounds.node, again, h("button", { onclick: () => leave() }, "back to the playground")),
    h("p", {}, "Pull an arm: press its button or its number. Nobody tells you the means, and they may change; arms are shuffled for every game, the sliders are hidden until you go back."), told);

  /** Begin anew; a game that has begun and is not over is ended by nobody but its player. */
  const ask = () => {
    if (!game?.going()) return begin();
    question.hidden = false;
    said.tell("This game is not over. Start a new game, or go on with this one?");
    return goOn.focus();
  };
  const keep = () => {
    question.hidden = true;
    [rounds.select.value, worlds.select.value] = game.asked;
    pads.querySelector("button")?.focus();
  };
  const begin = () => {
    question.hidden = true;
    game = started(rounds.select.value, worlds.select.value);
    pads.replaceChildren(...Array.from({ length: game.world.arms }, (_, k) => {
      const pad = h("button", { onclick: () => pull(k), "aria-keyshortcuts": String(k + 1) });
      pad.style.borderLeft = `12px solid ${readable(about.arms[k].colour, theme(node))}`;
      return pad;
    }));
    result.replaceChildren();
    tell("Nothing is pulled yet.");
  };
  const started = (length, chosen) => {
    const source = chosen === "" ? null : about.games[Number(chosen)];
    const table = source && tables(chosen);
    const K = about.arms.length;
    const now = source ? recordedSettings(settings(), source, table, K) : settings();
    const most = source ? table.length / K : Number.POSITIVE_INFINITY;
    const begun = startGame(now, Math.min(Number(length), most), about, quantiles);
    told.textContent = source ? `${RECORDED} OPTIMA has γ = ${say(begun.world.decay)} and T0 = ${begun.world.initial_plays}; LWD imitates all modules.${source.smoke ? " A smoke run: its numbers mean nothing." : ""}` : SIMULATED;
    return Object.assign(begun, { asked: [length, chosen] });
  };
  const named = (k) => (game.world.table && game.over() ? about.arms[game.order[k]].label : `arm ${k + 1}`);
  const tell = (text) => {
    const total = game.rewards.reduce((a, b) => a + b, 0);
    head.textContent = `Round ${Math.min(game.pulls.length + 1, game.world.horizon)} of ${game.world.horizon}. ${text} Your sum: ${say(total)}.`;
    [...pads.children].forEach((pad, k) => {
      const mine = game.rewards.filter((_, t) => game.pulls[t] === k);
      const mean = mine.length ? `, mean ${say(mine.reduce((a, b) => a + b, 0) / mine.length)}` : "";
      pad.textContent = `${named(k)}: ${mine.length}×${mean}`;
      pad.disabled = game.over();
    });
    said.tell(head.textContent);
    view.request();
  };
  const pull = (k) => {
    if (game.over() || k >= game.world.arms) return;
    tell(`Arm ${k + 1} brought ${say(game.pull(k))}.`);
    if (game.over()) finish();
  };
  const finish = () => {
    const { table, horizon } = game.world;
    const [what, scores] = table ? ["sum of rewards", game.sums()] : ["regret", game.scores()];
    const rows = scores.map(({ title, value }) => h("tr", { class: title === "you" && "ol-won" }, h("th", { scope: "row" }, title), h("td", {}, say(value))));
    const place = scores.findIndex(({ title }) => title === "you") + 1;
    const lines = table ? "what every arm brought." : `the true means: arm ${game.best(0)} was best at the start, arm ${game.best(horizon - 1)} at the end.`;
    const summary = `${table ? "Sum of rewards" : "Regret"} after ${horizon} rounds: you are number ${place} of ${scores.length}. The lines above are ${lines}`;
    result.replaceChildren(h("p", {}, summary), h("table", {}, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "who"), h("th", { scope: "col" }, what))), h("tbody", {}, ...rows)), away());
    said.tell(scores.map(({ title, value }, n) => `${n + 1}: ${title}, ${what} ${say(value)}`).join(". "));
    again.focus();
  };
  /** Where you left the arm of your posterior's largest mean. */
  const away = () => {
    const found = departures(game.pulls, game.rewards, game.world.arms);
    if (!found.length) return h("p", {}, "You never left the arm of the largest mean so far.");
    const rounds = found.map(({ t, arm, mean, best, top }) => `round ${t + 1}: ${named(arm)} (${say(mean)}) instead of ${named(best)} (${say(top)})`);
    const times = `${found.length} time${found.length === 1 ? "" : "s"}`;
    return h("details", {}, h("summary", {}, `You left the arm of the largest mean ${times}`), h("p", {}, `${rounds.join("; ")}.`));
  };
  const drawGame = (context, width, tall) => {
    const look = theme(node);
    context.clearRect(0, 0, width, tall);
    const { arms: K, horizon: T } = game.world;
    const colours = about.arms.slice(0, K).map((arm) => readable(arm.colour, look));
    const box = { x: 62, y: 26, w: width - 80, h: tall - 54 };
    const shown = game.world.table ? "what every arm brought" : "the true means";
    const title = fitting(context, box.w, game.over() ? `your rewards, and ${shown}` : "your rewards", shown);
    const y = axis(context, look, box, title, ...game.range, 3);
    const x = scale(0, T, box.x, box.x + box.w);
    if (game.over()) {
      context.lineWidth = game.world.table ? 1.2 : 2;
      colours.forEach((colour, k) => {
        context.strokeStyle = colour;
        polyline(context, T, (i) => x(i + 0.5), (i) => y(game.means[i * K + k]));
      });
    }
    game.pulls.forEach((k, t) => {
      const at = Math.max(box.y, Math.min(box.y + box.h, y(game.rewards[t])));
      marker(context, about.arms[k].marker, x(t + 0.5), at, 10, colours[k], look.ink);
    });
    foot(context, look, box, T);
    rule(context, x(game.pulls.length), box.y - 2, x(game.pulls.length), box.y + box.h + 2, look.ink, 1.5);
  };
  return { node, begin, ask, pull, going: () => game?.going() ?? false, stop: view.stop };
}

// --- the whole -------------------------------------------------------------------------------------------------------

/** What Python's policies did, by name, where it was under these settings; `arrays` are those it sent. */
function ownRuns(own, arrays, settings) {
  const names = own?.names ?? [];
  const same = names.length > 0 && Object.keys(settings).every((key) => key === "policies" || own.settings[key] === settings[key]);
  const part = (n, kind) => arrays[`${n} ${kind}`];
  return Object.fromEntries((same ? names : []).map((name, n) => {
    return [name, { name, arms: part(n, "arms"), regret: part(n, "regret"), mean: part(n, "mean"), deviation: part(n, "deviation") }];
  }));
}

/** Build the playground in `el`; `host` keeps the settings, where there is one. */
function mount(el, about, view, host = null) {
  return guarded(el, "Playground of bandits", (root) => buildPlayground(root, about, decode(about.layout, view), host));
}

function buildPlayground(root, about, arrays, host) {
  const { quantiles } = arrays;
  const sent = { own: about.own, arrays };
  const first = Object.keys(about.scenes)[0];
  const given = host?.get("settings");
  const state = { settings: { ...about.scenes[first], ...(given ?? {}) }, data: null, t: 0, boxes: null, share: 0.3 };
  const said = announcer();
  const tip = h("div", { class: "ol-tip", hidden: true });
  const canvas = h("canvas", { role: "img", "aria-label": "means, regret, choices and beliefs, told below in words" });
  const words = h("p", { class: "ol-why" });
  const at = h("input", { type: "range", min: 0, step: 1, "aria-label": "round looked at", oninput: () => lookAt(Number(at.value)) });
  const where = h("span", { class: "ol-where" });

  const picture = surface(canvas, (width) => boxesOf(width, state.settings.policies.length, state.settings.arms).tall, (context, width, tall, stale) => {
    if (stale || !state.look) state.look = theme(root);
    if (state.waiting) run();
    if (!state.data) return;
    state.boxes = boxesOf(width, Math.max(1, state.data.runs.length), state.settings.arms);
    context.clearRect(0, 0, width, tall);
    drawPlayground(context, state.look, state.boxes, state.data, state.t, about);
  });
  const run = () => {
    const { replications: R, horizon: T } = state.settings;
    const few = Math.max(8, Math.min(R, Math.floor(DRAGGING / T)));
    const settings = { ...state.settings, replications: state.waiting === "dragging" ? few : R };
    state.data = digest({ ...simulate(settings, about.streams, quantiles, ownRuns(sent.own, sent.arrays, settings)), changes: changesOf(settings) });
    state.waiting = "";
    lookAt(Math.round(state.share * T), false);
  };
  const lookAt = (t, chosen = true) => {
    const T = state.settings.horizon;
    state.t = Math.max(0, Math.min(T, t));
    if (chosen) state.share = state.t / T;
    [at.max, at.value] = [T, state.t];
    where.textContent = `round ${Math.min(state.t + 1, T)} of ${T}`;
    at.setAttribute("aria-valuetext", where.textContent);
    picture.request();
  };
  const summary = () => {
    const R = state.data.settings.replications;
    const last = state.data.at.length - 1;
    const lines = state.data.runs.map((each) => `${about.policies[each.name].title}: regret ${say(each.middle[last])} ± ${say(Number(each.half[last].toPrecision(2)))}, best arm in ${Math.round(100 * hitShare(state.data, each))} % of rounds`);
    words.textContent = `After ${state.settings.horizon} rounds, mean of ${R} replications. ${lines.join("; ")}.`;
    said.tell(words.textContent);
  };
  /** Take new settings; while `dragging` with fewer replications and without words. */
  const change = (changes, dragging = false) => {
    Object.assign(state.settings, changes);
    repair(state.settings, changes);
    state.waiting = dragging ? "dragging" : "resting";
    controls.show(state.settings);
    if (dragging) return picture.request();
    run();
    summary();
    if (!game.node.hidden) game.ask();
    if (host) {
      host.set("settings", { ...state.settings });
      host.save();
    }
    return picture.request();
  };
  const controls = makeControls(about, state.settings, (changes, dragging) => change(changes, dragging));
  const film = playButton(() => state.t, () => state.settings.horizon, (t) => lookAt(t));
  const main = h("div", {}, h("div", { class: "ol-row" }, film.button, h("span", {}, "look at"), h("span", { class: "ol-grow" }, at), where), canvas, words);
  const game = gamePanel(about, said, () => state.settings, quantiles, (n) => sent.arrays[`game ${n}`], () => play(false));
  const play = (on) => {
    [main.hidden, game.node.hidden] = [on, !on];
    controls.hide(on);
    if (on && !game.going()) game.begin();
    else picture.request();
    yours.setAttribute("aria-pressed", String(on));
    film.toggle(false);
    if (on) root.scrollIntoView({ block: "start" });
  };
  const yours = h("button", { "aria-pressed": "false", onclick: () => play(game.node.hidden) }, "You play");
  const luck = h("button", { onclick: () => change({ seed: state.settings.seed + 1 }) }, "new luck");
  controls.node.append(h("div", { class: "ol-row" }, luck, yours));
  root.append(h("div", { class: "ol-board" }, controls.node, h("div", { class: "ol-side" }, main, game.node)), said.node, tip);
  canvas.addEventListener("click", (event) => {
    const box = canvas.getBoundingClientRect();
    const t = roundAt(state.boxes, state.settings.horizon, event.clientX - box.left, event.clientY - box.top);
    if (t >= 0) lookAt(t);
  });
  const freeKeys = ownKeys(root, (event) => {
    if (game.node.hidden || event.target.closest("select, input") || !/^[1-7]$/.test(event.key)) return;
    event.preventDefault();
    game.pull(Number(event.key) - 1);
  });
  hover(root, canvas, tip, (x, y) => state.data && tipOf(state.boxes, state.data, about, state.t, x, y));
  const outside = () => {
    const now = host.get("settings");
    if (JSON.stringify(now) !== JSON.stringify(state.settings)) change({ ...now });
  };
  const arrived = () => {
    const now = host.get("about");
    Object.assign(sent, { own: now.own, arrays: decode(now.layout, host.get("data")) });
    run();
    summary();
    picture.request();
  };
  host?.listen(outside, "settings");
  host?.listen(arrived, "data");
  change({});
  return () => {
    picture.stop();
    film.stop();
    game.stop();
    freeKeys();
    host?.silence(outside, "settings");
    host?.silence(arrived, "data");
  };
}

/** Changes stay in order, and no policy plays twice. */
function repair(settings, changes) {
  if (settings.second_change <= settings.first_change) {
    if ("second_change" in changes) settings.first_change = settings.second_change - 1;
    else settings.second_change = settings.first_change + 1;
  }
  settings.policies = [...new Set(settings.policies)].slice(0, 3);
}

function makeControls(about, settings, change) {
  const inputs = {};
  const policies = Object.entries(about.policies).map(([name, { title }]) => [name, title]);
  const scenes = chooser("scene", [["", "(your own)"], ...Object.keys(about.scenes).map((name) => [name, name])], Object.keys(about.scenes)[0], (name) => {
    if (name) change({ ...about.scenes[name] });
    scenes.select.value = name;
  });
  const own = (changes, dragging) => {
    scenes.select.value = "";
    change(changes, dragging);
  };
  const world = chooser("world", Object.entries(about.worlds), settings.world, (name) => own({ world: name }));
  const picks = [0, 1, 2].map((n) => chooser(`policy ${n + 1}`, n ? [["", "none"], ...policies] : policies, settings.policies[n] ?? "", () => {
    own({ policies: picks.map(({ select }) => select.value).filter(Boolean) });
  }));
  const sliders = Object.entries(SLIDERS).map(([name, [label, low, high, step, value, place, text]]) => {
    const output = h("span", { class: "ol-value" });
    const take = (dragging) => () => own({ [name]: value(Number(input.value)) }, dragging);
    const input = h("input", { type: "range", min: low, max: high, step, "aria-label": `${label}: ${ABOUT[name]}`, title: ABOUT[name], oninput: take(true), onchange: take(false) });
    inputs[name] = { input, show: (now) => {
      if (document.activeElement !== input || Math.abs(value(Number(input.value)) - now) > 1e-9) input.value = place(now);
      output.textContent = text(now);
      input.setAttribute("aria-valuetext", text(now));
    } };
    return h("div", { class: "ol-slider" }, h("span", {}, label), input, output);
  });
  const show = (now) => {
    for (const [name, { show: put }] of Object.entries(inputs)) put(now[name]);
    world.select.value = now.world;
    picks.forEach(({ select }, n) => {
      select.value = now.policies[n] ?? "";
    });
    inputs.first_change.input.disabled = !["swap", "pieces"].includes(now.world);
    inputs.second_change.input.disabled = now.world !== "pieces";
  };
  const hideable = [scenes.node, world.node, ...picks.map((each) => each.node), ...sliders];
  const hide = (on) => {
    for (const each of hideable) each.hidden = on; // they tell how the world is
  };
  const node = h("div", { class: "ol-controls" }, ...hideable);
  return { node, show, hide };
}

export { mount };

export default {
  render({ model, el }) {
    return mount(el, model.get("about"), model.get("data"), hostOf(model));
  },
};
