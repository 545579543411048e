// What all widgets share: numbers as text, ticks, scales, and arrays out of bytes. Expected values by hand.
import assert from "node:assert/strict";
import { test } from "node:test";
import { load } from "./load.mjs";

const { say, short, ticks, scale, decode, beliefRange, row, inside } = load(
  ["canvas.js"], ["say", "short", "ticks", "scale", "decode", "beliefRange", "row", "inside"],
);

test("numbers are said with four digits, a true minus, and a dash where there is none", () => {
  const said = [[0.123456, "0.1235"], [-1.5, "−1.5"], [0, "0"], [123456, "1.23e+5"], [-0.00012345, "−1.23e−4"]];
  for (const [value, text] of said) assert.equal(say(value), text);
  for (const value of [NaN, Infinity, null, undefined]) assert.equal(say(value), "–");
  for (const [value, text] of [[0, "0"], [-0.25, "−0.25"], [1234.5, "1230"], [2e6, "2e+6"]]) assert.equal(short(value), text);
});

test("ticks are round, inside of the range, and about as many as asked for", () => {
  assert.deepEqual(ticks(0, 1, 2), [0, 0.5, 1]);
  assert.deepEqual(ticks(-0.03, 0.07, 5), [-0.02, 0, 0.02, 0.04, 0.06]);
  assert.deepEqual(ticks(0, 700, 4), [0, 200, 400, 600]);
  assert.deepEqual(ticks(3, 3, 2), [3], "no range");
  assert.deepEqual(ticks(0, Infinity, 2), [0]);
});

test("a scale is straight, also downwards and over nothing", () => {
  const down = scale(10, 20, 100, 0);
  assert.deepEqual([down(10), down(15), down(20), down(22)], [100, 50, 0, -20]);
  assert.equal(scale(5, 5, 0, 100)(5), 0);
});

test("arrays lie where the layout says", () => {
  const buffer = new ArrayBuffer(32);
  new Float32Array(buffer, 8, 3).set([1.5, NaN, -2]);
  new Uint8Array(buffer, 24, 2).set([3, 255]);
  const view = new DataView(buffer, 8, 24); // bytes of a notebook's message begin anywhere
  const layout = [{ name: "mean", kind: "f4", shape: [1, 3], offset: 0 }, { name: "arm", kind: "u1", shape: [2], offset: 16 }];
  const found = decode(layout, view);
  assert.deepEqual([...found.mean], [1.5, NaN, -2]);
  assert.deepEqual([...found.arm], [3, 255]);
  assert.deepEqual(row(Float64Array.from([1, 2, 3, 4, 5, 6]), 1, 3), [4, 5, 6]);
});

test("a range of beliefs has round ends and holds all hills and points", () => {
  // hills from 0.1 − 3·0.1 = −0.2 to 0.4, a point at 0.45; six ticks of 0.65/6 ≈ 0.108 are 0.2 apart
  const [low, high] = beliefRange([0.1], [0.1], [0.45], 3);
  assert.ok(Math.abs(low + 0.2) < 1e-9 && Math.abs(high - 0.6) < 1e-9, `${low} ${high}`);
  assert.deepEqual(beliefRange([NaN], [], [NaN], 3), [0, 1]);
});

test("a box holds its edges", () => {
  const box = { x: 10, y: 20, w: 5, h: 5 };
  assert.deepEqual([[10, 20], [15, 25], [9.9, 22], [12, 25.1]].map(([x, y]) => inside(box, x, y)), [true, true, false, false]);
});
