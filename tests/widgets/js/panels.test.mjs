// Where the playground's panels stand, and what a simulation of one replication is drawn from.
import assert from "node:assert/strict";
import { test } from "node:test";
import { load } from "./load.mjs";
import { pen } from "./pen.mjs";

const { boxesOf, digest, drawMeans, drawRegret } = load(
  ["canvas.js", "bandits.js", "panels.js"], ["boxesOf", "digest", "drawMeans", "drawRegret"],
);
const LOOK = { ink: "#1a1a1a", paper: "#ffffff", line: "#d9d9d9", soft: "#f1f2f5", faint: "#575757", dark: false };
const SHAPES = ["o", "s", "^"];

test("panels stay inside of the canvas and off one another, on a telephone and on a screen", () => {
  for (const width of [340, 390, 560, 740, 1000, 1500]) {
    for (const count of [1, 2, 3]) {
      const { means, regret, heat, ridges, tall } = boxesOf(width, count, 7);
      const list = [means, regret, ...heat, ...ridges];
      for (const [n, box] of list.entries()) {
        assert.ok(box.x >= 20 && box.w > 100 && box.x + box.w <= width, `box ${n} of ${count} at ${width}`);
        assert.ok(box.y >= 20 && box.y + box.h <= tall, `box ${n} of ${count} at ${width}`);
        for (const its of list.slice(0, n)) {
          const apart = box.x + box.w <= its.x || its.x + its.w <= box.x || box.y + box.h + 24 <= its.y || its.y + its.h + 24 <= box.y;
          assert.ok(apart, `box ${n} of ${count} at ${width}`);
        }
      }
    }
  }
});

/** One replication of two rounds, three arms and two policies. */
function played() {
  const runs = ["a", "b"].map((name, n) => ({ name, arms: Uint8Array.from([n, 2]), regret: Float64Array.from([1, 1 + n]) }));
  return digest({ settings: { arms: 3, horizon: 2, replications: 1 }, changes: [], means: Float64Array.from([1, 2, 3, 1, 2, 3]), runs });
}

test("one replication has a regret and no band", () => {
  const [a, b] = played().runs;
  assert.deepEqual([[...a.middle], [...a.half]], [[1, 1], [0, 0]]);
  assert.deepEqual([...b.middle], [1, 2]);
  assert.deepEqual([...a.shares], [0.5, 0, 0.5], "half of the rounds arm 1, half of them arm 3");
});

test("without colours shapes tell arms and policies", () => {
  const about = { arms: SHAPES.map((marker) => ({ colour: "#777777", marker })), policies: {} };
  for (const name of ["a", "b"]) about.policies[name] = { title: name, colour: "#777777", dash: "-" };
  const grey = about.arms.map((arm) => arm.colour);
  const box = { x: 60, y: 30, w: 500, h: 100 };
  const means = pen();
  drawMeans(means, LOOK, box, played(), about, grey);
  assert.equal(new Set(means.filled).size, 3);
  assert.ok(means.filled.length >= 6, "each line is marked more than once");
  const regret = pen();
  drawRegret(regret, LOOK, box, played(), about);
  const small = (path) => path.match(/-?[\d.]+/g).every((number) => Math.abs(Number(number)) < 20);
  assert.equal(new Set(regret.filled.filter(small)).size, 2, "a mark of its own on each policy's curve");
});
