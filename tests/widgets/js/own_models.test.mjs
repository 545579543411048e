// Runs of other modules than the paper's: where arms stand, and runs whose rows are modules.
import assert from "node:assert/strict";
import { test } from "node:test";
import { load } from "./load.mjs";

const { layout, roomy, nodes, share, played, reason } = load(
  ["canvas.js", "replay.js"], ["layout", "roomy", "nodes", "share", "played", "reason"],
);

/** All non-empty sets of c modules, small sets first. */
function lattice(c) {
  const sets = Array.from({ length: 2 ** c - 1 }, (_, n) => [...Array(c).keys()].filter((m) => ((n + 1) >> m) & 1));
  return sets.sort((a, b) => a.length - b.length || (String(a) < String(b) ? -1 : 1)).map((modules) => ({ label: String(modules), modules }));
}

test("arms stand in rows by their size, apart from one another", () => {
  const box = { x: 0, y: 26, w: 360, h: 152 };
  for (const c of [1, 2, 3, 4]) {
    const at = nodes(box, lattice(c));
    assert.equal(at.length, 2 ** c - 1);
    for (const [n, node] of at.entries()) {
      assert.ok(node.y - node.tall / 2 >= box.y - 1 && node.y + node.tall / 2 <= box.y + box.h + 1);
      for (const other of at.slice(n + 1)) {
        const row = node.arm.modules.length === other.arm.modules.length;
        assert.ok(row ? node.y === other.y && Math.abs(node.x - other.x) >= 59 : Math.abs(node.y - other.y) >= node.tall, `${c}`);
      }
    }
  }
  const alone = Array.from({ length: 10 }, (_, m) => ({ label: `layer${m}`, modules: [m] }));
  const rows = nodes(box, alone);
  assert.ok(rows.every(({ x }) => x > 40 && x < 320), "inside of the box");
  assert.equal(new Set(rows.map(({ x, y }) => `${x} ${y}`)).size, 10, "modules alone: rows of four");
});

test("panels make room for more arms and stay off one another", () => {
  for (const width of [390, 700, 1000]) {
    assert.deepEqual(roomy(layout(width), 7), layout(width));
    const { tall, ...rest } = roomy(layout(width), 15);
    const list = Object.entries(rest).filter(([, box]) => Number.isFinite(box?.y));
    for (const [name, box] of list) {
      assert.ok(box.y + box.h <= tall, `${name} at ${width}`);
      for (const [other, its] of list.filter(([each]) => each > name)) {
        const apart = box.x + box.w <= its.x || its.x + its.w <= box.x || box.y + box.h <= its.y || its.y + its.h <= box.y;
        assert.ok(apart, `${name} and ${other} at ${width}`);
      }
    }
  }
});

test("a row of a run with many modules plays several", () => {
  const arms = ["a", "b", "c"].map((label, m) => ({ label, modules: [m] }));
  const track = { arms, member: Uint8Array.from([1, 1, 0, 0, 1, 0]), arm: Uint8Array.from([255, 255]), policy: "linear_ts" };
  assert.equal(played(track, 0), "a+b");
  assert.deepEqual([...share(track, 0, 2)], [0.5, 1, 0]);
  assert.match(reason({ ...track, draws: new Float64Array(6) }, 0), /^The set of modules whose draws/);
  assert.equal(played({ arms, arm: Uint8Array.from([255]) }, 0), "nothing");
});
