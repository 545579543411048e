// Answers in fields: how numbers are read, and what is said of right, nearly right and wrong ones. The same table is
// judged by Python in tests/lessons/test_quiz.py.
import assert from "node:assert/strict";
import { test } from "node:test";
import { load } from "./load.mjs";

const { readNumber, judged } = load(["canvas.js", "exercises.js"], ["readNumber", "judged"]);
const halfLife = {
  kind: "number", expected: 34.3, tolerance: 0.005, near: 0.1, nearly: "do not round", hint: "solve it", why: "−1/log2",
  slips: [[50, "that is 1/(1 − γ)"]],
};

test("numbers are read as people write them", () => {
  const said = { "0.6": 0.6, " 0,6 ": 0.6, "−0.4": -0.4, "3/5": 0.6, "22,499": 22.499, "1e3": 1000 };
  for (const [text, value] of Object.entries(said)) assert.equal(readNumber(text), value, text);
  for (const text of ["", "half", "1/2/3", "1/", "?"]) assert.ok(Number.isNaN(readNumber(text)), text);
});

test("an answer is right, nearly right or wrong, and says why", () => {
  assert.deepEqual(judged(halfLife, "34.31"), { state: "right", text: "−1/log2" });
  assert.deepEqual(judged(halfLife, "35"), { state: "near", text: "35 is 2.0 % off; do not round" });
  assert.deepEqual(judged(halfLife, "50"), { state: "wrong", text: "50 it is not; that is 1/(1 − γ)" });
  assert.deepEqual(judged(halfLife, "-34.3"), { state: "wrong", text: "-34.3 it is not; solve it" });
  assert.equal(judged(halfLife, "much").text, "the answer is a number, got “much”");
  assert.equal(judged(halfLife, "  ").state, "open");
});

test("yes and no by value, policies by what is recorded", () => {
  const no = { kind: "yes or no", expected: false, hint: "look again", why: "it contains 0" };
  assert.deepEqual(judged(no, "False"), { state: "right", text: "it contains 0" });
  assert.deepEqual(judged(no, "True"), { state: "wrong", text: "look again" });
  const policy = { kind: "policy", recorded: { beta_ts: { state: "right", text: "it stops" } } };
  assert.equal(judged(policy, "beta_ts").state, "right");
  assert.equal(judged({ kind: "policy" }, "beta_ts"), null, "a kernel is to play it");
});
