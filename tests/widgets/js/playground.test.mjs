// The game of the playground: arms are shuffled, policies are not, and nothing but rewards tells which arm is best.
import assert from "node:assert/strict";
import { test } from "node:test";
import { load } from "./load.mjs";

const names = ["shuffled", "startGame", "simulate", "ownRuns", "recordedSettings", "departures"];
const { shuffled, startGame, simulate, ownRuns, recordedSettings, departures } = load(["canvas.js", "bandits.js", "panels.js", "playground.js"], names);
const quantiles = Float32Array.from([0.5, 2]);
const about = { streams: { world: 0, random: 1 }, policies: { random: { title: "random" } } };
const settings = {
  world: "still", policies: ["random"], arms: 3, gap: 0.04, noise: 0.01, first_change: 50, second_change: 75,
  decay: 0.9, initial_plays: 0, horizon: 20, replications: 2, seed: 0,
};

test("every order comes, and each arm once", () => {
  assert.deepEqual(shuffled(3, () => 0), [1, 2, 0]);
  assert.deepEqual(shuffled(3, () => 0.999), [0, 1, 2]);
  const seen = new Set(Array.from({ length: 300 }, () => shuffled(3).join("")));
  assert.equal(seen.size, 6);
});

test("the last button is not always the best arm", () => {
  const best = Array.from({ length: 100 }, () => startGame(settings, 20, about, quantiles).best(0));
  assert.deepEqual([...new Set(best)].sort(), [1, 2, 3]);
});

test("an order moves the means and what a pull brings, and no policy's regret", () => {
  const usual = startGame(settings, 20, about, quantiles, [0, 1, 2]);
  const other = startGame(settings, 20, about, quantiles, [2, 0, 1]);
  assert.equal(other.means[0], usual.means[2]);
  assert.equal(other.pull(0), usual.pull(2));
  assert.equal(other.order[other.best(0) - 1], usual.best(0) - 1);
  assert.deepEqual(other.runs[0].regret, usual.runs[0].regret);
});

test("a game is going between its first pull and its last", () => {
  const game = startGame(settings, 20, about, quantiles);
  const told = [game.going()];
  for (let t = 0; t < 20; t += 1) {
    game.pull(t % 3);
    told.push(game.going());
  }
  assert.deepEqual(told, [false, ...Array(19).fill(true), false]);
});

test("a policy that Python alone knows is drawn where Python has played it, and left out elsewhere", () => {
  const asked = { ...settings, policies: ["Mine", "random"] };
  const arrays = { "0 arms": new Uint8Array(40), "0 regret": new Float32Array(40), "0 mean": new Float32Array(63), "0 deviation": new Float32Array(63) };
  const own = { names: ["Mine"], settings: asked };
  const shown = (now) => simulate(now, about.streams, quantiles, ownRuns(own, arrays, now)).runs.map(({ name }) => name);
  assert.deepEqual(shown(asked), ["Mine", "random"]);
  assert.deepEqual(shown({ ...asked, policies: ["random", "Mine"] }), ["random", "Mine"]);
  assert.deepEqual(shown({ ...asked, gap: 0.05 }), ["random"]);
  assert.deepEqual(startGame(asked, 20, about, quantiles).runs.map(({ name }) => name), ["random"]);
});

test("a departure is a round in which a known arm had a larger mean than the one pulled, unless that was new", () => {
  const found = departures([0, 1, 0, 2, 1, 1, 0], [0.5, 0.25, 0.25, 0.125, 0.75, 0.25, 0], 3);
  // means before: round 3: 0.5, 0.25; round 4: arm 2 is new; rounds 5 to 7: 0.375, then 0.25, 0.5 and 0.41666…
  assert.deepEqual(found.map(({ t, arm, best }) => [t, arm, best]), [[4, 1, 0], [6, 0, 1]]);
  assert.deepEqual([found[0].mean, found[0].top], [0.25, 0.375]);
  assert.deepEqual(departures([], [], 3), []);
});

test("on recorded rewards a pull brings the record's number, and everybody's sum is of the same table", () => {
  const table = Float32Array.from([0.5, 0.25, 0.125, 0, 1, 0.75, 0.25, 0.5, 0.125, 2, 0.25, 0.5]); // 4 rounds, 3 arms
  const asked = { ...recordedSettings(settings, { decay: 0.98, initial_plays: 2 }, table, 3), policies: ["random"] };
  const game = startGame(asked, 4, about, new Float32Array(32768).fill(1), [2, 0, 1]);
  assert.deepEqual([0, 1, 2, 0].map((arm) => game.pull(arm)), [0.125, 0, 0.5, 0.5]);
  const sums = Object.fromEntries(game.sums().map(({ title, value }) => [title, value]));
  assert.equal(sums.you, 1.125);
  assert.equal(sums.LWD, 0.125 + 0.75 + 0.125 + 0.5);
  assert.equal(sums.random, [...game.runs[0].arms].filter((_, i) => i % 2 === 0).reduce((sum, arm, t) => sum + table[t * 3 + arm], 0));
  assert.deepEqual(game.range, [0, 2]);
  assert.equal(game.world.initial_plays, 0); // half of four rounds is less than one play of each arm
});
