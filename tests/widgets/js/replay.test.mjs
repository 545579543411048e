// What the replay says and counts; where it draws is looked at in a browser (test_browser.py).
import assert from "node:assert/strict";
import { test } from "node:test";
import { load } from "./load.mjs";
import { pen } from "./pen.mjs";

const { ranges, share, best, reason, told, layout, drawLattice, drawLayer } = load(
  ["canvas.js", "replay.js"], ["ranges", "share", "best", "reason", "told", "layout", "drawLattice", "drawLayer"],
);
const arms = ["Img", "Txt", "Multi"].map((label) => ({ label }));

/** Four rounds of a sampler: two forced, one that exploits, one that explores. */
function track(changes = {}) {
  return {
    name: "it", arms, count: 4, policy: "optima", variant: "all", stopped: "",
    round: [1, 2, 3, 4], step: [4, 8, 12, 16], arm: Uint8Array.from([0, 1, 2, 255]), initial: [1, 1, 0, 0],
    reward: [0.1, 0.2, 0.3, NaN], ratio: Float32Array.from([0.1, 0.2, 0.3, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
    loss: Float32Array.from([NaN, 2, 3, 4, 1, 4, 3, 4, 3, 1, 1, 1, 2, 1, 1, 1]),
    draws: Float64Array.from([NaN, NaN, NaN, NaN, NaN, NaN, 0.1, 0.5, 0.7, 0.9, 0.2, 0.1]),
    mean: Float64Array.from([0, 0, 0, 0.1, 0, 0, 0.1, 0.2, 0.3, 0.1, 0.2, 0.3, 0.1, 0.2, 0.3]),
    deviation: new Float64Array(15), plays: new Float64Array(15).fill(1), ...changes,
  };
}

test("shares count the arms of their rounds alone", () => {
  assert.deepEqual([...share(track(), 0, 2)], [0.5, 0.5, 0]);
  assert.deepEqual([...share(track(), 2, 4)], [0, 0, 0.5], "a round without an arm is a round");
  assert.deepEqual([...share(track(), 3, 3)], [0, 0, 0]);
});

test("the axes hold what is recorded, finite and played", () => {
  const known = ranges(track());
  assert.deepEqual([known.low, known.high], [0, 0.3]);
  assert.deepEqual(known.first, [1, 2, 3, 4], "the first finite loss of each kind");
  assert.equal(known.worst, 3, "train loss 3 against its first, 1");
  const plays = new Float64Array(15).fill(1);
  for (const i of [2, 5, 8, 11, 14]) plays[i] = 0;
  assert.equal(ranges(track({ plays })).high, 0.2, "an arm never played has no mean");
});

test("the largest number is found among gaps; of equals the first", () => {
  assert.deepEqual([[NaN, 1, 3, 2], [2, 2], [NaN, NaN], [-1, NaN, -0.5]].map(best), [2, 0, 0, 2]);
});

test("a round says why its arm was played", () => {
  assert.match(reason(track(), 0), /^First phase/);
  assert.equal(reason(track(), 2), "Its draw r̂ = 0.7 is the highest, before Txt (0.5); its mean μ is the highest, too: it exploits.");
  const explores = track({ arm: Uint8Array.from([0, 1, 2, 0]) });
  assert.equal(reason(explores, 3), "Its draw r̂ = 0.9 is the highest, before Txt (0.2); its mean μ is number 3 of 3: chance made it explore.");
  assert.match(reason(track({ deviation: undefined }), 2), /^Its index = 0.7/);
  const other = { arm: Uint8Array.from([0, 1, 1, 255]), policy: "softmax" };
  assert.equal(reason(track(other), 2), "Chance chose it; the highest of the draws was that of Multi (0.7).");
  assert.match(reason(track({ ...other, strategy: "you" }), 2), /^You chose it; /);
  assert.equal(reason(track({ policy: "" }), 1), "This run always plays Txt.");
  assert.equal(reason(track({ policy: "random" }), 2), "Every arm had the same chance.");
  assert.equal(reason(track(), 3), "No module is imitated in this run.");
});

test("a run that ended or went wrong says so", () => {
  assert.deepEqual(told(track(), 9), ["it has only 4 rounds", "", ""]);
  assert.equal(told(track({ stopped: "round 4: kl loss" }), 3)[1], "Its numbers went wrong: stopped in round 4: kl loss.");
  assert.deepEqual(told(track(), 0)[0], "Round 1 (step 4): Img");
  assert.match(told(track({ variant: "kl" }), 0)[2], /^Reward 0.1, from the KL ratio alone: KL 0.1, hidden 0.2, attention 0.3\.$/);
});

test("panels stay inside of the canvas and off one another, on a telephone and on a screen", () => {
  for (const width of [340, 390, 449, 480, 700, 820, 1600]) {
    const { wide, slim, tall, ...boxes } = layout(width);
    assert.deepEqual([wide, slim], [width >= 820, width < 450]);
    const list = Object.entries(boxes);
    for (const [name, box] of list) {
      assert.ok(box.x >= 0 && box.w > 0 && box.x + box.w <= width, `${name} at ${width}`);
      assert.ok(box.y >= 0 && box.y + box.h <= tall, `${name} at ${width}`);
      for (const [other, its] of list.filter(([each]) => each > name)) {
        const apart = box.x + box.w <= its.x || its.x + its.w <= box.x || box.y + box.h <= its.y || its.y + its.h <= box.y;
        assert.ok(apart, `${name} and ${other} at ${width}`);
      }
    }
  }
});

const SHAPES = ["o", "s", "^", "D", "v", "P", "X"];
const LOOK = { ink: "#1a1a1a", paper: "#ffffff", line: "#d9d9d9", soft: "#f1f2f5", faint: "#575757", dark: false };

/** Three modules, seven arms, each with its mark, all of one grey: only shapes tell them apart. */
function grey() {
  const sets = [[0], [1], [2], [0, 1], [0, 2], [1, 2], [0, 1, 2]];
  const seven = sets.map((modules, k) => ({ label: `arm ${k}`, colour: "#777777", marker: SHAPES[k], modules }));
  const mean = Float64Array.from({ length: 41 * 7 }, (_, i) => 0.1 * ((i % 7) + 1));
  const round = Array.from({ length: 40 }, (_, i) => i + 1);
  const it = { arms: seven, count: 40, axis: round, round, arm: new Uint8Array(40), initial: new Uint8Array(40), mean, plays: new Float64Array(41 * 7).fill(1) };
  Object.assign(it, { loss: new Float32Array(160).fill(1), ratio: new Float32Array(120) });
  return Object.assign(it, ranges(it));
}

test("without colours shapes tell the arms: in the lattice and on every line", () => {
  for (const width of [390, 480, 1000]) {
    const lattice = pen();
    drawLattice(lattice, LOOK, layout(width).lattice, grey(), 0);
    assert.equal(new Set(lattice.filled.filter((path) => !path.startsWith("roundRect"))).size, 7, `lattice at ${width}`);
    const lines = pen();
    drawLayer(lines, LOOK, layout(width), grey());
    const marks = lines.filled;
    assert.equal(new Set(marks).size, 7, `lines at ${width}`);
    for (const mark of new Set(marks)) assert.ok(marks.filter((each) => each === mark).length >= 2, "each line is marked more than once");
  }
});
