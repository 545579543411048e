// The game of the playground: arms are shuffled, policies are not, and nothing but rewards tells which arm is best.
import assert from "node:assert/strict";
import { test } from "node:test";
import { load } from "./load.mjs";

const { shuffled, startGame, simulate, ownRuns } = load(["canvas.js", "bandits.js", "panels.js", "playground.js"], ["shuffled", "startGame", "simulate", "ownRuns"]);
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
