// Pictures of bandits at play: true means, regret, choices and beliefs over rounds. The playground draws simulations with
// them, the lessons' films rollouts: data = {settings: {arms, horizon, replications}, means (T × K), changes, runs}.

const CURVES = { "-": [], "--": [8, 5], ":": [2, 4], "-.": [8, 4, 2, 4] };
const PLACES = ["o", "s", "^", "D"]; // of the policies, from left to right: marks on their curves
const SECONDS = 12; // that playing all rounds takes

/** What is drawn of a simulation: mean regret with its 95 % band, and shares of plays, over all replications. */
function digest(simulation) {
  const { arms: K, horizon: T, replications: R } = simulation.settings;
  const points = Math.min(T, 160);
  const windows = Math.max(1, Math.min(40, Math.floor(T / 5)));
  const at = Array.from({ length: points }, (_, p) => Math.round(((p + 1) * T) / points) - 1);
  const edges = Array.from({ length: windows + 1 }, (_, w) => Math.round((w * T) / windows));
  const runs = simulation.runs.map((run) => {
    const middle = new Float64Array(points);
    const half = new Float64Array(points);
    at.forEach((t, p) => {
      const values = run.regret.subarray(t * R, (t + 1) * R);
      const mean = values.reduce((a, b) => a + b, 0) / R;
      const variance = values.reduce((a, b) => a + (b - mean) ** 2, 0) / (R - 1);
      [middle[p], half[p]] = [mean, R > 1 ? 1.96 * Math.sqrt(variance / R) : 0];
    });
    const shares = new Float64Array(windows * K);
    for (let w = 0; w < windows; w += 1) {
      for (let i = edges[w] * R; i < edges[w + 1] * R; i += 1) shares[w * K + run.arms[i]] += 1;
      for (let k = 0; k < K; k += 1) shares[w * K + k] /= (edges[w + 1] - edges[w]) * R;
    }
    return { ...run, middle, half, shares };
  });
  return { ...simulation, at, edges, runs };
}

/** Part of rounds in which the best arm was played, by all replications. */
function hitShare({ settings, means }, run) {
  const { arms: K, horizon: T, replications: R } = settings;
  let hits = 0;
  for (let t = 0; t < T; t += 1) {
    const now = means.subarray(t * K, (t + 1) * K);
    const top = Math.max(...now);
    for (let r = 0; r < R; r += 1) if (now[run.arms[t * R + r]] >= top - 1e-12) hits += 1;
  }
  return hits / (T * R);
}

// --- the picture -----------------------------------------------------------------------------------------------------

/** Boxes of all panels: in columns where there is room, one below another on a telephone. */
function boxesOf(width, count, K) {
  const columns = width / count >= 250 ? count : 1;
  const wide = width / columns;
  const heat = 14 * K;
  const ridges = Math.max(150, 21 * K);
  const upper = width >= 560;
  const first = { x: 58, y: 26, w: (upper ? width / 2 : width) - 80, h: upper ? 138 : 110 };
  const second = upper ? { ...first, x: width / 2 + 62, w: width / 2 - 76 } : { ...first, y: 196 };
  const from = second.y + second.h + 58;
  const tall = heat + 32 + ridges + 24;
  const at = (c) => ({ x: (c % columns) * wide + 26, top: from + Math.floor(c / columns) * (tall + 48) });
  const places = Array.from({ length: count }, (_, c) => at(c));
  return {
    means: first, regret: second,
    heat: places.map(({ x, top }) => ({ x, y: top, w: wide - 46, h: heat })),
    ridges: places.map(({ x, top }) => ({ x, y: top + heat + 32, w: wide - 46, h: ridges })),
    tall: places[count - 1].top + tall,
  };
}

/** All of it: what stays while the round looked at moves, and what moves. */
function drawPlayground(context, look, boxes, data, t, about) {
  drawStill(context, look, boxes, data, about);
  drawNow(context, look, boxes, data, t, about);
}

const armColours = (data, about, look) => about.arms.slice(0, data.settings.arms).map((arm) => readable(arm.colour, look));

function drawStill(context, look, boxes, data, about) {
  const colours = armColours(data, about, look);
  drawMeans(context, look, boxes.means, data, about, colours);
  drawRegret(context, look, boxes.regret, data, about);
  data.runs.forEach((run, c) => {
    const box = boxes.heat[c];
    const policy = about.policies[run.name];
    const colour = readable(policy.colour, look);
    rule(context, box.x - 22, box.y - 28, box.x + 10, box.y - 28, colour, 4, CURVES[policy.dash]);
    marker(context, PLACES[c], box.x - 6, box.y - 28, 11, colour, look.paper);
    write(context, policy.title, box.x + 18, box.y - 28, look.ink, "left", BOLD);
    write(context, c ? "" : "how often each arm is played:", box.x - 22, box.y - 9, look.faint);
    drawShares(context, look, box, data, run, about, colours);
  });
}

/** The round looked at in every panel, the beliefs before it, and, in a film, a veil over what is still to come. */
function drawNow(context, look, boxes, data, t, about) {
  const { arms: K, horizon: T } = data.settings;
  const colours = armColours(data, about, look);
  const { means, regret, heat } = boxes;
  const at = (box) => scale(0, T, box.x, box.x + box.w)(t);
  if (data.veiled) for (const box of [means, regret, ...heat]) veil(context, look, box, at(box), heat.includes(box) ? 0 : 6);
  for (const box of [means, regret]) rule(context, at(box), box.y - 2, at(box), box.y + box.h + 2, look.ink, 1.5);
  for (const box of heat) rule(context, at(box), box.y - 2, at(box), box.y + box.h + 2, look.dark ? "#ffffff" : "#d55e00", 2);
  const y = meansScale(data, means);
  for (let k = 0; k < K; k += 1) {
    marker(context, about.arms[k].marker, at(means), y(data.means[Math.min(t, T - 1) * K + k]), 9, colours[k], look.paper);
  }
  data.runs.forEach((run, c) => {
    drawBeliefs(context, look, boxes.ridges[c], data, run, t, about, colours);
  });
}

/** What is still to come, faint. */
function veil(context, look, box, from, above) {
  context.globalAlpha = 0.75;
  context.fillStyle = look.paper;
  context.fillRect(from + 1, box.y - above, box.x + box.w + 6 - from, box.h + above + 4);
  context.globalAlpha = 1;
}

function meansRange({ means }) {
  let [low, high] = [0, 0];
  for (const value of means) [low, high] = [Math.min(low, value), Math.max(high, value)];
  return [low, 1.05 * high];
}

const meansScale = (data, box) => scale(...meansRange(data), box.y + box.h, box.y);

function drawMeans(context, look, box, data, about, colours) {
  const { arms: K, horizon: T } = data.settings;
  const values = data.means;
  const y = axis(context, look, box, "true mean reward of each arm", ...meansRange(data));
  const x = scale(0, T, box.x, box.x + box.w);
  context.lineWidth = 2.2;
  for (let k = 0; k < K; k += 1) {
    context.strokeStyle = colours[k];
    polyline(context, T, (i) => x(i), (i) => y(values[i * K + k]));
    marksAlong(context, T, x, (i) => y(values[i * K + k]), about.arms[k].marker, (k + 0.5) / K, colours[k], look.paper);
  }
  for (const change of data.changes) rule(context, x(change), box.y, x(change), box.y + box.h, look.ink, 1.4, [2, 3]);
  foot(context, look, box, T);
}

function drawRegret(context, look, box, data, about) {
  const { horizon: T } = data.settings;
  const top = Math.max(1e-9, ...data.runs.map((run) => Math.max(...run.middle.map((m, p) => m + run.half[p]))));
  const y = axis(context, look, box, fitting(context, box.w + 16, "regret: reward lost to the best arm", "regret: reward lost"), 0, top);
  const x = scale(0, T, box.x, box.x + box.w);
  data.runs.forEach((run, c) => {
    const policy = about.policies[run.name];
    const colour = readable(policy.colour, look);
    context.beginPath();
    context.moveTo(x(0), y(0));
    for (const [p, at] of data.at.entries()) context.lineTo(x(at + 1), y(run.middle[p] + run.half[p]));
    for (let p = data.at.length - 1; p >= 0; p -= 1) context.lineTo(x(data.at[p] + 1), y(run.middle[p] - run.half[p]));
    context.closePath();
    context.globalAlpha = 0.18;
    context.fillStyle = colour;
    context.fill();
    context.globalAlpha = 1;
    context.strokeStyle = colour;
    context.lineWidth = 2.4;
    context.setLineDash(CURVES[policy.dash]);
    context.beginPath();
    context.moveTo(x(0), y(0));
    for (const [p, at] of data.at.entries()) context.lineTo(x(at + 1), y(run.middle[p]));
    context.stroke();
    context.setLineDash([]);
    const along = scale(0, data.at.length, x(data.at[0] + 1), x(T));
    marksAlong(context, data.at.length, along, (p) => y(run.middle[p]), PLACES[c], (c + 0.5) / data.runs.length, colour, look.paper);
  });
  for (const change of data.changes) rule(context, x(change), box.y, x(change), box.y + box.h, look.ink, 1.4, [2, 3]);
  foot(context, look, box, T);
}

/** The round axis under a box. */
function foot(context, look, box, T) {
  const x = scale(0, T, box.x, box.x + box.w);
  write(context, "round", box.x, box.y + box.h + 13, look.faint);
  for (const value of ticks(0, T, Math.min(3, Math.floor(box.w / 100)))) {
    if (x(value) > box.x + 75) write(context, String(value), x(value), box.y + box.h + 13, look.faint, value > 0.97 * T ? "right" : "center");
  }
}

function drawShares(context, look, box, data, run, about, colours) {
  const { arms: K, horizon: T } = data.settings;
  const x = scale(0, T, box.x, box.x + box.w);
  const tall = box.h / K;
  const [pale, deep] = look.dark ? ["#1b1f27", "#8ab4f8"] : ["#eef3fb", "#08306b"];
  for (let k = 0; k < K; k += 1) {
    marker(context, about.arms[k].marker, box.x - 12, box.y + (k + 0.5) * tall, 9, colours[k]);
    for (let w = 0; w + 1 < data.edges.length; w += 1) {
      context.fillStyle = between(pale, deep, Math.sqrt(run.shares[w * K + k]));
      const left = x(data.edges[w]);
      context.fillRect(left, box.y + k * tall, x(data.edges[w + 1]) - left + 0.3, tall - 1);
    }
  }
}

function drawBeliefs(context, look, box, data, run, t, about, colours) {
  const { arms: K, horizon: T } = data.settings;
  const means = row(run.mean, t, K);
  const known = means.some(Number.isFinite);
  const titles = known ? [`belief before round ${Math.min(t + 1, T)}, ○ truth`] : ["○ truth (no belief of this kind)", "○ truth (no belief)"];
  write(context, fitting(context, box.w + 40, ...titles, "○ truth"), box.x - 22, box.y - 12, look.faint);
  const sds = row(run.deviation, t, K);
  const truth = row(data.means, Math.min(t, T - 1), K);
  const x = axisBelow(context, look, box, beliefRange(means, sds, truth, 2.2), 80, 12);
  const tall = box.h / K;
  for (let k = 0; k < K; k += 1) {
    const base = box.y + (k + 1) * tall - 3;
    rule(context, box.x, base, box.x + box.w, base, look.line);
    marker(context, about.arms[k].marker, box.x - 12, base - tall / 2 + 3, 9, colours[k]);
    hill(context, x, means[k], sds[k], base, tall - 5, box.x, box.x + box.w, colours[k], 0.45);
    marker(context, "o", x(truth[k]), base, 9, look.paper, look.ink);
  }
}

const armName = (about, k) => about.arms[k].name ?? `arm ${k + 1}`;

/** The round under the pointer, or −1. */
function roundAt(boxes, T, x, y) {
  const box = [boxes.means, boxes.regret, ...boxes.heat].find((each) => inside(each, x, y));
  return box ? Math.max(0, Math.min(T - 1, Math.floor(((x - box.x) / box.w) * T))) : -1;
}

function tipOf(boxes, data, about, t, x, y) {
  const { arms: K, horizon: T } = data.settings;
  const over = roundAt(boxes, T, x, y);
  if (inside(boxes.means, x, y)) {
    return [`round ${over + 1}`, ...row(data.means, over, K).map((mean, k) => `${armName(about, k)}: true mean ${say(mean)}`)].join("\n");
  }
  if (inside(boxes.regret, x, y)) {
    const p = Math.max(0, data.at.findIndex((at) => at >= over));
    const lines = data.runs.map((run) => `${about.policies[run.name].title}: ${say(run.middle[p])} ± ${say(run.half[p])}`);
    return [`regret after ${data.at[p] + 1} rounds (mean, 95 %)`, ...lines].join("\n");
  }
  const c = boxes.heat.findIndex((box) => inside(box, x, y));
  if (c >= 0) {
    const k = Math.min(K - 1, Math.floor((y - boxes.heat[c].y) / (boxes.heat[c].h / K)));
    const w = data.edges.findIndex((edge) => edge > over) - 1;
    return `${armName(about, k)}: ${say(100 * data.runs[c].shares[w * K + k])} % of rounds ${data.edges[w] + 1}–${data.edges[w + 1]}`;
  }
  const b = boxes.ridges.findIndex((box) => inside(box, x, y));
  if (b < 0) return "";
  const k = Math.min(K - 1, Math.floor((y - boxes.ridges[b].y) / (boxes.ridges[b].h / K)));
  const { mean, deviation } = data.runs[b];
  const belief = Number.isFinite(mean[t * K + k]) ? `\nbelieved ${say(mean[t * K + k])}, deviation ${say(deviation[t * K + k])}` : "";
  return `${armName(about, k)}${belief}\ntrue mean ${say(data.means[Math.min(t, T - 1) * K + k])}`;
}

/** Play rounds as time goes by: all of them in SECONDS. `now()` is the round, `go(t)` shows one, `last()` is the last.
 * Returns its button, and how to stop. */
function playButton(now, last, go) {
  const state = { frame: 0, playing: false, at: 0, before: 0 };
  const button = h("button", { class: "ol-play", onclick: () => toggle() }, "▶ Play");
  const step = (time) => {
    if (Math.floor(state.at) !== now()) state.at = now(); // somebody went elsewhere
    state.at += (Math.min(250, Math.max(0, time - state.before)) / 1000) * (last() / SECONDS);
    state.before = time;
    if (Math.floor(state.at) !== now()) go(Math.min(last(), Math.floor(state.at)));
    if (now() >= last()) return toggle(false);
    state.frame = requestAnimationFrame(step);
    return null;
  };
  const toggle = (on = !state.playing) => {
    state.playing = on;
    button.textContent = on ? "❚❚ Pause" : "▶ Play";
    cancelAnimationFrame(state.frame);
    if (!on) return;
    if (now() >= last()) go(0);
    [state.at, state.before] = [now(), performance.now()];
    state.frame = requestAnimationFrame(step);
  };
  return { button, toggle, playing: () => state.playing, stop: () => cancelAnimationFrame(state.frame) };
}
