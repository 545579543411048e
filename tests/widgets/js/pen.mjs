// A canvas' context that draws nothing and remembers the paths that it filled, each relative to where it began.
globalThis.document ??= { createElement: () => ({ getContext: () => ({}) }) };

/** `filled`: a text of every filled path; equal texts are equal shapes, wherever they lie. */
export function pen() {
  const state = { path: [], from: null, filled: [] };
  const note = (name) => (...numbers) => {
    state.from ??= numbers.slice(0, 2);
    const [x, y] = state.from;
    const moved = numbers.map((value, i) => (i === 0 ? value - x : i === 1 ? value - y : value));
    state.path.push([name, ...moved.map((value) => Math.round(4 * value + 1e-6) / 4 || 0)].join(" "));
  };
  const known = {
    filled: state.filled,
    beginPath: () => Object.assign(state, { path: [], from: null }),
    fill: () => state.filled.push(state.path.join("; ")),
    measureText: (text) => ({ width: 8 * text.length }),
    ...Object.fromEntries(["moveTo", "lineTo", "arc", "roundRect"].map((name) => [name, note(name)])),
  };
  const silent = () => {};
  return new Proxy(known, { get: (it, name) => it[name] ?? silent, set: () => true });
}
