// Replay of recorded runs. State in (arrays, one row a round), view out; `mount` also serves the offline page.

const NO_ARM = 255;
const RATIOS = ["KL", "hidden", "attention"];
const LOSSES = ["train", "KL", "hidden", "attention"];
const DASHES = [[], [7, 4], [2, 3], [9, 3, 2, 3]];
const FAINT = 0.25; // of rounds that are still to come
const FOLLOWED = ["round", "left", "right"]; // what Python may set, too
const SPEEDS = [1, 2, 5, 10, 30, 60, 200, 1000, 5000];

/**
 * Runs with their arrays: `count` rows; mean, deviation and plays have one row more, of K numbers each. `axis` holds the
 * rounds of the common timeline: those of the longer of two runs.
 */
function openTracks(about, view) {
  const arrays = decode(about.layout, view);
  return about.tracks.map((facts, number) => {
    const track = { ...facts, arms: facts.arms ?? about.arms, count: 0 };
    for (const [name, array] of Object.entries(arrays)) {
      const [owner, column] = name.split(".");
      if (Number(owner) === number) track[column] = array;
    }
    track.count = track.round.length;
    track.axis = track.round;
    return Object.assign(track, ranges(track));
  });
}

/** What the axes of a run must hold, found once. */
function ranges(track) {
  const K = track.arms.length;
  const top = (array, least) => array.reduce((a, b) => (Number.isFinite(b) && b > a ? b : a), least);
  let [low, high] = [0, 0];
  for (let i = 0; track.mean && i < track.mean.length; i += 1) {
    if (track.plays && !(track.plays[i] > 0)) continue;
    low = Math.min(low, Number.isFinite(track.mean[i]) ? track.mean[i] : 0);
    high = Math.max(high, Number.isFinite(track.mean[i]) ? track.mean[i] : 0);
  }
  const first = LOSSES.map((_, l) => {
    let i = l;
    while (i < track.loss.length && !(Number.isFinite(track.loss[i]) && track.loss[i] > 0)) i += 4;
    return track.loss[i] ?? NaN;
  });
  let worst = 1;
  for (let i = 0; i < track.loss.length; i += 1) {
    const relative = track.loss[i] / first[i % 4];
    if (Number.isFinite(relative) && relative > worst) worst = relative;
  }
  const edges = [0];
  const windows = Math.max(1, Math.min(20, Math.floor(track.count / K)));
  for (let w = 1; w <= windows; w += 1) edges.push(Math.round((w * track.count) / windows));
  return { low, high: high || 1, first, worst, edges, most: top(track.ratio, 1e-9), shares: allShares(track, edges) };
}

/** Whether row i played arm k; of a run with too many arms to list each k is a module, and a row plays several. */
const plays = (track, i, k) => (track.member ? track.member[i * track.arms.length + k] === 1 : track.arm[i] === k);

/** What row i played, in words. */
const played = (track, i) => track.arms.filter((_, k) => plays(track, i, k)).map((arm) => arm.label).join("+") || "nothing";

/** How often each arm was played in the rows [from, to), as shares. */
function share(track, from, to) {
  const counts = new Float64Array(track.arms.length);
  for (let i = from; i < to; i += 1) for (let k = 0; k < counts.length; k += 1) if (plays(track, i, k)) counts[k] += 1;
  return counts.map((count) => count / Math.max(1, to - from));
}

function allShares(track, edges) {
  const shares = edges.slice(1).map((to, w) => share(track, edges[w], to));
  return { windows: shares, most: Math.max(0.3, ...shares.map((each) => Math.max(...each))) };
}

/** The timeline's scale in a box: from row 0 to the last. */
const timeline = (track, box) => scale(0, track.axis.length, box.x, box.x + box.w);

const best = (values) => values.reduce((a, value, k) => (Number.isFinite(value) && !(value <= values[a]) ? k : a), 0);

/** Why this arm: one plain sentence. */
function reason(track, i) {
  const K = track.arms.length;
  if (track.member) return track.draws ? "The set of modules whose draws θ̂ promise most together." : "The policy's choice among all sets of modules.";
  if (track.arm[i] === NO_ARM) return "No module is imitated in this run.";
  const name = track.arms[track.arm[i]].label;
  if (track.policy === "") return `This run always plays ${name}.`;
  if (track.initial[i]) return `First phase: every arm is played equally often, in random order.`;
  if (track.policy === "random" || !track.draws) return "Every arm had the same chance.";
  const draws = row(track.draws, i, K);
  const winner = best(draws);
  if (winner !== track.arm[i]) {
    const how = track.strategy === "you" ? "You chose it" : "Chance chose it";
    return `${how}; the highest of the draws was that of ${track.arms[winner].label} (${say(draws[winner])}).`;
  }
  const second = best(draws.map((value, k) => (k === winner ? NaN : value)));
  const word = track.deviation ? "draw r̂" : "index";
  const text = `Its ${word} = ${say(draws[winner])} is the highest, before ${track.arms[second].label} (${say(draws[second])})`;
  if (!track.mean) return `${text}.`;
  const means = row(track.mean, i, K);
  const rank = 1 + means.filter((mean) => mean > means[winner]).length;
  if (rank === 1) return `${text}; its mean μ is the highest, too: it exploits.`;
  return `${text}; its mean μ is number ${rank} of ${K}: chance made it explore.`;
}

/** What happened in a round, in three short lines: for eyes and for screen readers. */
function told(track, i) {
  const end = track.stopped ? `stopped in ${track.stopped}` : "";
  if (i >= track.count) return [end ? `${track.name} ${end}` : `${track.name} has only ${track.count} rounds`, "", ""];
  const arm = played(track, i);
  const parts = RATIOS.map((name, r) => `${name} ${say(track.ratio[3 * i + r])}`).join(", ");
  const used = { kl: "the KL ratio alone", layers: "hidden and attention ratios" }[track.variant] ?? "three ratios";
  return [
    `Round ${track.round[i]} (step ${track.step[i]}): ${arm}`,
    end && i === track.count - 1 ? `Its numbers went wrong: ${end}.` : reason(track, i),
    `Reward ${say(track.reward[i])}, from ${used}: ${parts}.`,
  ];
}

// --- where things stand ----------------------------------------------------------------------------------------------

/** Boxes of all panels in a canvas of this width: stacked on a telephone, two columns where it is wide. */
function layout(width) {
  const wide = width >= 820;
  const slim = width < 450;
  const left = wide ? Math.round(width * 0.46) : width;
  const start = wide ? left + 86 : 52;
  const across = width - start - 12;
  if (wide) {
    return {
      wide, slim, tall: 500,
      lattice: { x: 0, y: 26, w: left - 30, h: 152 },
      ridges: { x: 150, y: 214, w: left - 188, h: 7 * 23 },
      reward: { x: 0, y: 436, w: left - 30, h: 50 },
      mean: { x: start, y: 26, w: across, h: 130 },
      heat: { x: start, y: 186, w: across, h: 7 * 17 },
      loss: { x: start, y: 336, w: across, h: 130 },
    };
  }
  if (slim) {
    return {
      wide, slim, tall: 856,
      lattice: { x: 0, y: 28, w: width, h: 132 },
      ridges: { x: 152, y: 192, w: width - 172, h: 7 * 20 },
      reward: { x: 0, y: 384, w: width - 8, h: 66 },
      mean: { x: start, y: 484, w: across, h: 90 },
      heat: { x: start, y: 606, w: across, h: 7 * 13 },
      loss: { x: start, y: 750, w: across, h: 74 },
    };
  }
  const half = Math.min(282, Math.max(272, Math.round(width * 0.5)));
  return {
    wide, slim, tall: 530,
    lattice: { x: 0, y: 24, w: half, h: 144 },
    ridges: { x: half + 34, y: 24, w: width - half - 46, h: 7 * 18 },
    reward: { x: 0, y: 192, w: width, h: 40 },
    mean: { x: start, y: 255, w: across, h: 74 },
    heat: { x: start, y: 354, w: across, h: 7 * 11 },
    loss: { x: start, y: 456, w: across, h: 54 },
  };
}

/** The same boxes with room for K arms; what stands below moves down. */
function roomy({ wide, tall, ...rest }, K) {
  const boxes = Object.fromEntries(Object.entries(rest).map(([name, box]) => [name, Number.isFinite(box?.y) ? { ...box } : box]));
  const panels = Object.values(boxes).filter((box) => Number.isFinite(box?.y));
  const lowest = () => Math.max(...panels.map((box) => box.y + box.h));
  const before = lowest();
  for (const box of [boxes.ridges, boxes.heat]) {
    const grown = box.h * Math.max(0, K / 7 - 1);
    const under = panels.filter((other) => other.y >= box.y + box.h && other.x < box.x + box.w && box.x < other.x + other.w);
    for (const other of under) other.y += grown;
    box.h += grown;
  }
  return { ...boxes, wide, tall: tall + lowest() - before };
}

/** The middle of every arm in the lattice: modules below, pairs above them, all modules on top; modules alone in rows of four. */
function nodes(box, arms) {
  const top = Math.max(...arms.map((arm) => arm.modules.length));
  const flat = top === 1;
  const rowOf = (arm, k) => (flat ? Math.floor(k / 4) : top - arm.modules.length);
  const rows = arms.map(rowOf);
  const levels = Math.max(...rows);
  const tall = Math.min(32, box.h / 4);
  return arms.map((arm, k) => {
    const across = flat ? 4 : rows.filter((row) => row === rows[k]).length;
    const column = flat ? k % 4 : rows.slice(0, k).filter((row) => row === rows[k]).length;
    const y = box.y + tall / 2 + (levels ? (rows[k] * (box.h - tall)) / levels : (box.h - tall) / 2);
    return { x: box.x + (box.w * (column + 0.5)) / across, y, tall, arm };
  });
}

// --- panels of one round ---------------------------------------------------------------------------------------------

function drawLattice(context, look, box, track, i) {
  const at = nodes(box, track.arms);
  const lit = track.arms.flatMap((arm, k) => (plays(track, i, k) ? arm.modules : []));
  write(context, "arm: a set of modules", box.x, box.y - 12, look.ink, "left", BOLD);
  for (const upper of at) {
    for (const lower of at) {
      const inside = lower.arm.modules.every((m) => upper.arm.modules.includes(m));
      if (!inside || upper.arm.modules.length !== lower.arm.modules.length + 1) continue;
      const path = upper.arm.modules.every((m) => lit.includes(m));
      rule(context, upper.x, upper.y, lower.x, lower.y, path ? look.ink : look.line, path ? 3 : 1.5);
    }
  }
  context.font = FONT;
  at.forEach((node, k) => {
    const colour = readable(node.arm.colour, look);
    const on = plays(track, i, k);
    const part = node.arm.modules.every((m) => lit.includes(m));
    const room = at.length > 7 ? box.w / 6 - 4 : Infinity; // of the row of pairs
    const label = context.measureText(node.arm.label).width + 8 > room && node.arm.modules.length > 1 ? node.arm.brief : node.arm.label;
    const width = Math.max(Math.min(46, room), context.measureText(label).width + 8);
    const left = Math.max(1, Math.min(node.x - width / 2, box.x + box.w - width - 1));
    context.beginPath();
    context.roundRect(left, node.y - node.tall / 2, width, node.tall - 4, 8);
    context.fillStyle = on ? colour : look.paper;
    context.fill();
    context.lineWidth = on || part ? 3.5 : 1.5;
    context.strokeStyle = colour;
    context.stroke();
    write(context, label, left + width / 2, node.y - 1, on ? onTop(colour) : look.ink, "center");
    marker(context, node.arm.marker, left + 3, node.y - node.tall / 2, 11, colour, look.paper);
  });
}

function drawRidges(context, look, box, track, i, named, width) {
  const K = track.arms.length;
  const from = named ? 0 : box.x - 26;
  const titles = track.deviation ? ["belief of each arm, ● draw r̂", "belief, ● r̂"] : ["● the largest number wins", "● largest wins"];
  write(context, fitting(context, width - from, ...titles), from, box.y - 12, look.ink, "left", BOLD);
  if (!track.draws && !track.deviation) {
    write(context, "this run compares nothing", box.x, box.y + box.h / 2, look.faint);
    return;
  }
  const means = track.mean ? row(track.mean, i, K) : [];
  const sds = track.deviation ? row(track.deviation, i, K) : [];
  const draws = track.draws ? row(track.draws, i, K) : [];
  const x = axisBelow(context, look, box, beliefRange(means, sds, draws, 2.5), 70, 11);
  const tall = box.h / K;
  const winner = track.initial[i] || !track.draws ? -1 : best(draws);
  if (winner >= 0) rule(context, x(draws[winner]), box.y, x(draws[winner]), box.y + box.h, look.ink, 1, [3, 3]);
  track.arms.forEach((arm, k) => {
    const base = box.y + (k + 1) * tall - 2;
    const colour = readable(arm.colour, look);
    if (named) write(context, arm.label, box.x - 28, base - tall / 2 + 2, look.ink, "right");
    marker(context, arm.marker, box.x - 14, base - tall / 2 + 2, 11, colour);
    rule(context, box.x, base, box.x + box.w, base, look.line);
    if (sds.length) hill(context, x, means[k], sds[k], base, tall - 4, box.x, box.x + box.w, colour, 0.4);
    if (Number.isFinite(draws[k])) marker(context, "o", x(draws[k]), base - 3, k === winner ? 13 : 8, colour, look.ink);
  });
}

function drawReward(context, look, box, track, i, slim) {
  const reward = say(track.reward[i]);
  const title = fitting(context, box.w, `reward ${reward}: how far each loss fell`, `reward ${reward}: fall of losses`);
  write(context, title, box.x, box.y - 12, look.ink, "left", BOLD);
  const wide = slim ? box.w - 152 : box.w / 3 - 24;
  RATIOS.forEach((name, r) => {
    const ratio = track.ratio[3 * i + r];
    const [left, top] = slim ? [box.x, box.y + 22 * r] : [box.x + (r * box.w) / 3, box.y];
    write(context, `${name} ${Number.isFinite(ratio) ? short(ratio) : "–"}`, left, top + 12, look.ink);
    const [barLeft, barTop] = slim ? [left + 152, top + 6] : [left, top + 25];
    context.fillStyle = look.soft;
    context.fillRect(barLeft, barTop, wide, 11);
    context.fillStyle = readable("#d55e00", look);
    context.fillRect(barLeft, barTop, Number.isFinite(ratio) ? Math.max(0, ratio / track.most) * wide : 0, 11);
  });
}

// --- panels over all rounds: drawn once on a layer, shown up to now --------------------------------------------------

function drawLayer(context, look, boxes, track) {
  const K = track.arms.length;
  const { mean, heat, loss } = boxes;
  const forced = track.initial.reduce((last, flag, i) => (flag ? i + 1 : last), 0);
  if (track.mean) {
    const x = timeline(track, mean);
    const y = scale(track.low, track.high, mean.y + mean.h, mean.y);
    context.fillStyle = look.soft;
    context.fillRect(mean.x, mean.y, x(forced) - mean.x, mean.h);
    context.lineWidth = 2;
    track.arms.forEach((arm, k) => {
      context.strokeStyle = readable(arm.colour, look);
      const value = (j) => (track.plays && !(track.plays[j * K + k] > 0) ? NaN : track.mean[j * K + k]);
      polyline(context, track.count + 1, x, (j) => y(value(j)));
    });
    track.arms.forEach((arm, k) => {
      const value = (j) => (track.plays && !(track.plays[j * K + k] > 0) ? NaN : track.mean[j * K + k]);
      marksAlong(context, track.count + 1, x, (j) => y(value(j)), arm.marker, (k + 0.5) / K, readable(arm.colour, look), look.paper);
    });
  }
  for (const [w, shares] of track.shares.windows.entries()) drawWindow(context, look, heat, track, w, shares);
  const x = timeline(track, loss);
  const y = scale(0, track.worst, loss.y + loss.h, loss.y);
  LOSSES.forEach((_, l) => {
    context.strokeStyle = look.ink;
    context.setLineDash(DASHES[l]);
    context.lineWidth = 1.8;
    polyline(context, track.count, (i) => x(i + 1), (i) => y(track.loss[4 * i + l] / track.first[l]));
  });
  context.setLineDash([]);
}

function drawWindow(context, look, box, track, w, shares, until = track.edges[w + 1]) {
  const x = timeline(track, box);
  const tall = box.h / shares.length;
  const deep = look.dark ? "#8ab4f8" : "#08306b";
  shares.forEach((value, k) => {
    context.fillStyle = between(look.dark ? "#1b1f27" : "#eef3fb", deep, Math.min(1, value / track.shares.most));
    const left = x(track.edges[w]);
    context.fillRect(left, box.y + k * tall, x(until) - left, tall - 1);
  });
}

function drawSeries(context, look, boxes, track, i, layer, ratio) {
  const { mean, heat, loss } = boxes;
  const now = Math.min(i + 1, track.count);
  const x = timeline(track, loss);
  if (track.mean) axis(context, look, mean, track.member ? "contribution θ of each module" : "mean μ of each arm", track.low, track.high);
  else write(context, "mean μ: this run keeps none", mean.x - 4, mean.y - 12, look.ink, "left", BOLD);
  write(context, "how often each arm is played", heat.x - 4, heat.y - 12, look.ink, "left", BOLD);
  axis(context, look, loss, boxes.slim ? "" : boxes.wide ? "losses, first = 1:" : "losses:", 0, track.worst);
  if (boxes.slim) write(context, "losses, first = 1", loss.x - 4, loss.y - 40, look.ink, "left", BOLD);
  if (boxes.slim) legend(context, look, { ...loss, y: loss.y - 6 }, -loss.x);
  else legend(context, look, loss, boxes.wide ? 150 : 66);
  const w = Math.max(0, track.edges.findIndex((edge) => edge >= now) - 1);
  const from = x(track.edges[w]);
  for (const [box, end] of [[mean, x(now)], [loss, x(now)], [heat, from]]) {
    const [top, tall] = [box.y - 6, box.h + 12];
    const wide = end - box.x + (box === heat ? 0 : 1);
    if (wide >= 1) context.drawImage(layer, box.x * ratio, top * ratio, wide * ratio, tall * ratio, box.x, top, wide, tall);
  }
  drawWindow(context, look, heat, track, w, share(track, track.edges[w], now), now);
  context.globalAlpha = FAINT; // what is still to come
  for (const box of [mean, loss, heat]) {
    const [left, wide] = [x(now), box.x + box.w + 6 - x(now)];
    const [top, tall] = [box.y - 6, box.h + 12];
    if (wide >= 1) context.drawImage(layer, left * ratio, top * ratio, wide * ratio, tall * ratio, left, top, wide, tall);
  }
  context.globalAlpha = 1;
  const tall = heat.h / track.arms.length;
  track.arms.forEach((arm, k) => {
    const colour = readable(arm.colour, look);
    const y = heat.y + (k + 0.5) * tall;
    if (boxes.wide) write(context, arm.label.length > 12 ? arm.brief : arm.label, heat.x - 8, y, look.ink, "right");
    else marker(context, arm.marker, heat.x - 12, y, 9, colour);
  });
  if (track.mean) markNow(context, look, mean, track, now);
  for (const box of [mean, heat, loss]) rule(context, x(now), box.y - 2, x(now), box.y + box.h + 2, look.ink, 1.5);
  for (const value of ticks(0, track.axis.length, boxes.wide ? 5 : 4)) {
    const side = value > 0.97 * track.axis.length ? "right" : "center";
    if (Number.isInteger(value) && value > 0) write(context, String(track.axis[value - 1]), x(value), loss.y + loss.h + 13, look.faint, side);
  }
  write(context, "round", loss.x, loss.y + loss.h + 13, look.faint, "left");
}

function markNow(context, look, box, track, now) {
  const K = track.arms.length;
  const x = timeline(track, box)(now);
  const y = scale(track.low, track.high, box.y + box.h, box.y);
  track.arms.forEach((arm, k) => {
    if (track.plays && !(track.plays[now * K + k] > 0)) return;
    const value = track.mean[now * K + k];
    if (Number.isFinite(value)) marker(context, arm.marker, x, y(value), 9, readable(arm.colour, look), look.paper);
  });
}

function legend(context, look, box, from) {
  let left = box.x + from;
  LOSSES.forEach((name, l) => {
    rule(context, left, box.y - 12, left + 18, box.y - 12, look.ink, 1.8, DASHES[l]);
    write(context, name, left + 21, box.y - 12, look.ink);
    left += 28 + context.measureText(name).width;
  });
}

// --- one run: canvas, words, table -----------------------------------------------------------------------------------

function makeSide(root, tip, label, seek) {
  const canvas = h("canvas", { role: "img", "aria-label": `${label}: pictures of the chosen round, told in words beside them` });
  const head = h("b", { class: "ol-head" });
  const why = h("p", { class: "ol-why" });
  const notes = h("div");
  const table = h("table");
  const words = h("p");
  const details = h("details", { ontoggle: () => fillTable() }, h("summary", {}, "all numbers of this round"), words, h("div", { class: "ol-scroll", tabindex: 0, role: "region", "aria-label": `${label}: numbers` }, table));
  const state = { track: null, i: 0, boxes: layout(600), layer: document.createElement("canvas") };
  const view = surface(canvas, (width) => roomy(layout(width), state.track?.arms.length ?? 7).tall, (context, width, tall, stale) => {
    const { track } = state;
    context.clearRect(0, 0, width, tall);
    if (!track) return;
    const ratio = canvas.width / width;
    if (stale) {
      state.look = theme(root);
      state.boxes = roomy(layout(width), track.arms.length);
      [state.layer.width, state.layer.height] = [canvas.width, canvas.height];
      const inner = state.layer.getContext("2d");
      inner.setTransform(ratio, 0, 0, ratio, 0, 0);
      drawLayer(inner, state.look, state.boxes, track);
    }
    const { look, boxes } = state;
    const i = Math.min(state.i, track.count - 1);
    drawLattice(context, look, boxes.lattice, track, i);
    drawRidges(context, look, boxes.ridges, track, i, boxes.wide || boxes.slim, boxes.wide ? boxes.lattice.w : width);
    drawReward(context, look, boxes.reward, track, i, boxes.slim);
    drawSeries(context, look, boxes, track, i, state.layer, ratio);
  });
  const fillTable = () => {
    if (!details.open || !state.track) return;
    const [told, ...rows] = numbers(state.track, Math.min(state.i, state.track.count - 1));
    words.textContent = told;
    table.replaceChildren(...rows);
  };
  const show = (i) => {
    state.i = i;
    const lines = told(state.track, i);
    head.textContent = lines[0];
    why.textContent = lines[1];
    fillTable();
    view.request();
    return `${state.track.name}. ${lines[0]}. ${lines.slice(1).join(" ")}`;
  };
  const choose = (track, axis) => {
    state.track = { ...track, axis };
    notes.replaceChildren(...track.notes.map((note) => h("p", { class: "ol-note" }, `${track.name}: ${note}.`)));
    view.renew();
  };
  const rowAt = (x, y) => {
    const box = [state.boxes.mean, state.boxes.heat, state.boxes.loss].find((b) => inside(b, x, y));
    const last = state.track.axis.length;
    return box ? Math.max(0, Math.min(last - 1, Math.floor(((x - box.x) / box.w) * last))) : -1;
  };
  canvas.addEventListener("click", (event) => {
    const at = canvas.getBoundingClientRect();
    const i = rowAt(event.clientX - at.left, event.clientY - at.top);
    if (i >= 0) seek(i);
  });
  hover(root, canvas, tip, (x, y) => state.track && tipText(state, rowAt(x, y), x, y));
  return { node: h("div", { class: "ol-side" }), canvas, bar: h("div", { class: "ol-row" }), head, why, notes, details, show, choose, stop: view.stop };
}


/** The numbers under the pointer. */
function tipText({ track, boxes, i }, over, x, y) {
  const K = track.arms.length;
  const now = Math.min(i, track.count - 1);
  if (over >= track.count) return `round ${track.axis[over]}: none in this run`;
  if (over >= 0 && inside(boxes.loss, x, y)) {
    return [`round ${track.round[over]}`, ...LOSSES.map((name, l) => `${name} loss ${say(track.loss[4 * over + l])}`)].join("\n");
  }
  if (over >= 0 && inside(boxes.heat, x, y)) {
    const k = Math.min(K - 1, Math.floor((y - boxes.heat.y) / (boxes.heat.h / K)));
    const w = Math.max(0, track.edges.findIndex((edge) => edge > over) - 1);
    const [from, to] = [track.edges[w], track.edges[w + 1]];
    return `${track.arms[k].label}: ${say(100 * track.shares.windows[w][k])} % of rounds ${track.round[from]}–${track.round[to - 1]}`;
  }
  if (over >= 0) {
    const means = track.mean ? track.arms.map((arm, k) => `μ ${say(track.mean[(over + 1) * K + k])}  ${arm.label}`) : [];
    return [`round ${track.round[over]}: ${played(track, over)}, reward ${say(track.reward[over])}`, ...means].join("\n");
  }
  const near = nodes(boxes.lattice, track.arms).findIndex((n) => Math.abs(n.x - x) < 42 && Math.abs(n.y - y) < n.tall / 2);
  const ridge = inside({ ...boxes.ridges, x: boxes.ridges.x - 24, w: boxes.ridges.w + 24 }, x, y);
  const k = near >= 0 ? near : ridge ? Math.min(K - 1, Math.floor((y - boxes.ridges.y) / (boxes.ridges.h / K))) : -1;
  if (k < 0) return "";
  const at = (array, name) => (array ? [`${name} ${say(array[now * K + k])}`] : []);
  return [track.arms[k].label, ...at(track.plays, "plays before n"), ...at(track.mean, "mean μ"), ...at(track.deviation, "standard deviation"), ...at(track.draws, "draw")].join("\n");
}

/** A sentence on the losses, and the table's parts: every arm with its numbers of row i, the arm that was played marked. */
function numbers(track, i) {
  const K = track.arms.length;
  const columns = [
    ["plays n", track.plays, i], ["mean μ", track.mean, i], ["deviation", track.deviation, i],
    ["draw r̂", track.draws, i], ["μ after", track.mean, i + 1],
  ].filter(([, array]) => array);
  const head = h("tr", {}, h("th", { scope: "col" }, "arm"), ...columns.map(([name]) => h("th", { scope: "col" }, name)));
  const body = track.arms.map((arm, k) =>
    h("tr", { class: plays(track, i, k) && "ol-won" }, h("th", { scope: "row" }, `${plays(track, i, k) ? "▸ " : ""}${arm.label}`),
      ...columns.map(([, array, at]) => h("td", {}, say(array[at * K + k])))));
  const losses = LOSSES.map((name, l) => `${name} ${say(track.loss[4 * i + l])}`).join(", ");
  const score = track.score.filter(([round]) => round <= track.round[i]).pop();
  const told = score ? ` Score on the dev split, round ${score[0]}: ${say(score[1])} (${track.metric}).` : "";
  return [`Losses on the probe after this round: ${losses}.${told}`, h("thead", {}, head), h("tbody", {}, ...body)];
}

// --- the whole -------------------------------------------------------------------------------------------------------

/** Build the replay in `el`; `host` reads and writes {round, left, right} and says when they change from outside. */
function mount(el, about, view, host = null) {
  return guarded(el, "Replay of recorded runs", (root) => {
    if (about.message || !about.tracks?.length) {
      root.append(message(about.message || "There is nothing to replay."));
      return null;
    }
    return player(root, about, openTracks(about, view), host);
  });
}

function player(root, about, recorded, host) {
  let tracks = recorded;
  const calm = window.matchMedia("(prefers-reduced-motion: reduce)");
  const shown = [host?.get("left") ?? about.shown[0], host?.get("right") ?? about.shown[1]];
  const longer = () => shown.filter((n) => n >= 0).map((n) => tracks[n]).reduce((a, b) => (b.count > a.count ? b : a));
  const longest = () => longer().count;
  const state = { i: about.live ? Infinity : (host?.get("round") ?? 0), told: host?.get("round") ?? 0, playing: false, speed: calm.matches ? 1 : 10, at: 0, frame: 0 };
  const said = announcer();
  const tip = h("div", { class: "ol-tip", hidden: true });
  const slider = h("input", { type: "range", min: 0, step: 1, "aria-label": "round", oninput: () => seek(Number(slider.value)) });
  const where = h("span", { class: "ol-where" });
  const play = h("button", { class: "ol-play", "aria-keyshortcuts": "Space", onclick: () => toggle() }, "▶ Play");
  const sides = [0, 1].map((n) => makeSide(root, tip, n ? "right run" : "left run", (i) => seek(i)));

  const seek = (i, quiet = false) => {
    state.i = Math.max(0, Math.min(longest() - 1, Math.round(i)));
    if (Math.floor(state.at) !== state.i) state.at = state.i; // what plays goes on from where one went
    slider.value = state.i;
    const { round } = longer();
    where.textContent = `round ${round[state.i]} of ${round[round.length - 1]}`;
    slider.setAttribute("aria-valuetext", where.textContent);
    const words = sides.flatMap((side, n) => (shown[n] >= 0 ? [side.show(state.i)] : []));
    said.tell(words.join(" "), !state.playing);
    if (!quiet && !state.playing) keep();
  };
  const keep = () => {
    if (!host || host.get("round") === state.i) return;
    state.told = state.i;
    host.set("round", state.i);
    host.save();
  };
  const toggle = (on = !state.playing) => {
    state.playing = on;
    play.textContent = on ? "❚❚ Pause" : "▶ Play";
    cancelAnimationFrame(state.frame);
    if (!on) return seek(state.i);
    if (state.i >= longest() - 1) seek(0);
    state.at = state.i;
    let before = performance.now();
    const step = (time) => {
      state.at += (Math.min(250, Math.max(0, time - before)) / 1000) * state.speed;
      before = time;
      if (Math.floor(state.at) !== state.i) seek(Math.floor(state.at));
      if (state.i >= longest() - 1) return toggle(false);
      state.frame = requestAnimationFrame(step);
      return null;
    };
    state.frame = requestAnimationFrame(step);
    return null;
  };
  const by = (change) => () => {
    toggle(false);
    seek(state.i + change);
  };
  const toChange = (way) => () => {
    toggle(false);
    const differs = (n, i) => n >= 0 && i < tracks[n].count && played(tracks[n], i) !== played(tracks[n], i - 1);
    let i = state.i + way;
    while (i > 0 && i < longest() && !shown.some((n) => differs(n, i))) i += way;
    seek(i);
  };
  const spread = () => {
    for (const [n, side] of sides.entries()) if (shown[n] >= 0) side.choose(tracks[shown[n]], longer().round);
    slider.max = longest() - 1;
  };
  const choose = (n, value) => {
    shown[n] = Number(value);
    if (n && shown[1] < 0) sides[0].bar.append(pick[1].node);
    else if (n) sides[1].bar.prepend(pick[1].node);
    sides[n].node.hidden = shown[n] < 0;
    spread();
    if (host && host.get(n ? "right" : "left") !== shown[n]) {
      host.set(n ? "right" : "left", shown[n]);
      host.save();
    }
  };

  const options = tracks.map((track, n) => [n, track.title]);
  const pick = sides.map((side, n) => {
    const chosen = chooser(n ? "right" : "left", n ? [[-1, "no second run"], ...options] : options, shown[n], (value) => {
      choose(n, value);
      seek(state.i);
    });
    side.bar.append(chosen.node, side.head);
    side.node.append(side.bar, side.why, side.notes, side.canvas, side.details);
    return chosen;
  });
  const speeds = SPEEDS.filter((speed) => speed <= Math.max(60, longest() / 5));
  const speed = chooser("speed", speeds.map((value) => [value, `${value} round${value > 1 ? "s" : ""}/s`]), state.speed, (value) => {
    state.speed = Number(value);
  });
  const button = (text, label, action) => h("button", { "aria-label": label, title: label, onclick: action }, text);
  root.append(
    h("div", { class: "ol-row" }, play, button("◀", "one round back", by(-1)), button("▶|", "one round on", by(1)),
      button("⇤ change", "to the last change of arm", toChange(-1)), button("change ⇥", "to the next change of arm", toChange(1)),
      h("span", { class: "ol-grow" }, slider), where, speed.node),
    ...about.problems.map((text) => h("p", { class: "ol-note" }, text)),
    h("div", { class: "ol-sides" }, ...sides.map((side) => side.node)), said.node, tip,
  );
  const freeKeys = ownKeys(root, (event) => {
    const actions = { " ": () => toggle(), n: toChange(1), p: toChange(-1), Home: () => seek(0), End: () => seek(longest() - 1) };
    const native = event.target.closest("select") || (event.key === " " && event.target.closest("button, summary"));
    if (native || !actions[event.key]) return;
    event.preventDefault();
    actions[event.key]();
  });
  const outside = () => {
    [0, 1].forEach((n) => {
      const value = host.get(n ? "right" : "left");
      if (value !== shown[n] && value < tracks.length) {
        choose(n, value);
        pick[n].select.value = String(value);
      }
    });
    if (host.get("round") === state.told) return; // as before: of a playing timeline it is an earlier round
    state.told = host.get("round");
    seek(state.told, true);
  };
  host?.listen(outside, ...FOLLOWED);
  for (const n of [0, 1]) choose(n, shown[n]);
  seek(state.i, true);
  const stop = () => {
    cancelAnimationFrame(state.frame);
    for (const side of sides) side.stop();
    freeKeys();
    host?.silence(outside, ...FOLLOWED);
  };
  /** The same runs with more rounds; whoever looks at the last one goes on looking at the last. False: other runs. */
  const grow = (later) => {
    if (later.length !== tracks.length || later.some((track, n) => track.name !== tracks[n].name)) return false;
    const atEnd = state.i >= longest() - 1;
    tracks = later;
    spread();
    seek(atEnd && !state.playing ? longest() - 1 : state.i, true);
    return true;
  };
  return Object.assign(stop, { grow });
}

/** The replay of a record that grows: `show` draws what is known now. Returns how to show and how to end it. */
function growing(el, host = null) {
  let ended = null;
  return {
    show(about, view) {
      const tracks = about.message ? [] : openTracks(about, view);
      if (tracks.length && ended?.grow?.(tracks)) return;
      ended?.();
      ended = mount(el, about, view, host);
    },
    end: () => ended?.(),
  };
}

export { growing, mount };

export default {
  render({ model, el }) {
    const whole = growing(el, hostOf(model));
    const show = () => whole.show(model.get("about"), model.get("data"));
    model.on("change:about", show);
    show();
    return () => {
      model.off("change:about", show);
      whole.end();
    };
  },
};
