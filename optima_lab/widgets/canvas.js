// What both widgets share: elements, typed arrays, canvases, the theme's colours, axes and lines. No framework, no network.

const FONT = '16px system-ui, "DejaVu Sans", Verdana, Arial, sans-serif';
const BOLD = `600 ${FONT}`;

/** An element with attributes (`onclick` listens) and children; text is never read as HTML. */
function h(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== false && value != null) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}

/** A labelled native <select>; options are [value, text]. */
function chooser(label, options, value, onchange) {
  const select = h("select", { "aria-label": label, onchange: () => onchange(select.value) });
  for (const [key, text] of options) select.append(h("option", { value: key, selected: String(key) === String(value) }, text));
  return { select, node: h("label", {}, label, select) };
}

/** The arrays of `layout` (see widgets.pack) out of their bytes. */
function decode(layout, view) {
  const bytes = view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength);
  const kinds = { f4: Float32Array, u4: Uint32Array, u1: Uint8Array };
  const found = {};
  for (const { name, kind, shape, offset } of layout) {
    found[name] = new kinds[kind](bytes, offset, shape.reduce((a, b) => a * b, 1));
  }
  return found;
}

/** A number with four digits; a dash where there is none. */
function say(value) {
  if (value == null || !Number.isFinite(value)) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  const text = size < 1e-3 || size >= 1e5 ? value.toExponential(2) : String(Number(value.toPrecision(4)));
  return text.replace("-", "−").replace("e-", "e−");
}

/** Follow a canvas' width and the theme; `draw(context, width)` is called, once a frame at most. */
function surface(canvas, height, draw) {
  const state = { width: 0, waiting: 0, stale: true };
  const request = () => {
    if (!state.waiting) state.waiting = requestAnimationFrame(paint);
  };
  const paint = () => {
    state.waiting = 0;
    if (state.width < 50) return;
    const ratio = window.devicePixelRatio || 1;
    const tall = height(state.width);
    if (canvas.width !== Math.round(state.width * ratio) || canvas.height !== Math.round(tall * ratio)) {
      canvas.width = Math.round(state.width * ratio);
      canvas.height = Math.round(tall * ratio);
      canvas.style.height = `${tall}px`;
      state.stale = true;
    }
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    draw(context, state.width, tall, state.stale);
    state.stale = false;
  };
  const watch = new ResizeObserver((entries) => {
    state.width = Math.floor(entries[0].contentRect.width);
    request();
  });
  watch.observe(canvas);
  const renew = () => {
    state.stale = true;
    request();
  };
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  dark.addEventListener("change", renew);
  const theme = new MutationObserver(renew);
  theme.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light", "data-jp-theme-name"] });
  const stop = () => {
    cancelAnimationFrame(state.waiting);
    watch.disconnect();
    theme.disconnect();
    dark.removeEventListener("change", renew);
  };
  return { request, renew, stop };
}

/** The theme's colours as the page has them now. */
function theme(element) {
  const read = (name) => getComputedStyle(element).getPropertyValue(`--ol-${name}`).trim();
  const colours = { paper: read("paper"), ink: read("ink"), faint: read("faint"), line: read("line"), soft: read("soft") };
  const [r, g, b] = rgb(colours.paper);
  colours.dark = luminance(r, g, b) < 0.2;
  return colours;
}

function rgb(colour) {
  rgb.context ??= document.createElement("canvas").getContext("2d");
  const probe = rgb.context;
  probe.fillStyle = colour;
  return [1, 3, 5].map((i) => parseInt(probe.fillStyle.slice(i, i + 2), 16));
}

function luminance(...channels) {
  const [r, g, b] = channels.map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

/** The same hue, lightened on dark paper until it stands out from it (contrast of 3.5 at least). */
function readable(colour, look) {
  if (!look.dark) return colour;
  let parts = rgb(colour);
  const paper = luminance(...rgb(look.paper));
  while ((luminance(...parts) + 0.05) / (paper + 0.05) < 3.5) parts = parts.map((c) => Math.round(c + (255 - c) * 0.12));
  return `rgb(${parts.join(",")})`;
}

/** Black or white, whichever is read better on this colour. */
function onTop(colour) {
  const parts = colour.startsWith("rgb") ? colour.match(/\d+/g).map(Number) : rgb(colour);
  return luminance(...parts) > 0.28 ? "#000000" : "#ffffff";
}

/** A colour between two, share from 0 to 1. */
function between(first, second, share) {
  const [a, b] = [rgb(first), rgb(second)];
  return `rgb(${a.map((c, i) => Math.round(c + (b[i] - c) * share)).join(",")})`;
}

/** Round steps (1, 2, 5 · 10^n) for about `count` ticks between low and high. */
function ticks(low, high, count) {
  const rough = (high - low) / Math.max(1, count);
  if (!(rough > 0) || !Number.isFinite(rough)) return [low];
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5, 10].find((m) => m * power >= rough * 0.999) ?? 10);
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i += 1) found.push(i * step);
  return found.map((value) => Number(value.toPrecision(12)));
}

/** A number on an axis, short. */
function short(value) {
  const size = Math.abs(value);
  const text = value === 0 ? "0" : size < 1e-3 || size >= 1e6 ? value.toExponential(0) : String(Number(value.toPrecision(3)));
  return text.replace("-", "−");
}

/** A straight scale from values to pixels. */
function scale(low, high, start, end) {
  const factor = (end - start) / (high - low || 1);
  return (value) => start + (value - low) * factor;
}

/** Text; align 'left', 'right', 'center'. */
function write(context, text, x, y, colour, align = "left", font = FONT) {
  context.font = font;
  context.textAlign = align;
  context.textBaseline = "middle";
  context.fillStyle = colour;
  context.fillText(text, x, y);
}

/** The first of these texts that is at most `width` pixels wide, in the font of titles; the last where none is. */
function fitting(context, width, ...texts) {
  context.font = BOLD;
  return texts.find((text) => context.measureText(text).width <= width) ?? texts[texts.length - 1];
}

function rule(context, x1, y1, x2, y2, colour, width = 1, dash = []) {
  context.save();
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.setLineDash(dash);
  context.beginPath();
  context.moveTo(x1, y1);
  context.lineTo(x2, y2);
  context.stroke();
  context.restore();
}

/** The frame of a plot: title above, ticks left, grid lines; box = {x, y, w, h} is where the data lie. */
function axis(context, look, box, title, low, high, count = 2) {
  const y = scale(low, high, box.y + box.h, box.y);
  for (const value of ticks(low, high, count)) {
    rule(context, box.x, y(value), box.x + box.w, y(value), look.line);
    write(context, short(value), box.x - 6, y(value), look.faint, "right");
  }
  write(context, title, box.x - 4, box.y - 12, look.ink, "left", BOLD);
  return y;
}

/** Ticks below a plot, about `apart` pixels from one another, with lines up; returns the scale from left to right. */
function axisBelow(context, look, box, [low, high], apart, drop) {
  const x = scale(low, high, box.x, box.x + box.w);
  for (const value of ticks(low, high, Math.max(2, box.w / apart))) {
    rule(context, x(value), box.y, x(value), box.y + box.h, look.line);
    write(context, short(value), x(value), box.y + box.h + drop, look.faint, "center");
  }
  return x;
}

/** A range with round ends, so that it jumps rarely: it holds hills of `wide` deviations to each side, and `points`. */
function beliefRange(means, deviations, points, wide) {
  const ends = [...points, ...means];
  if (deviations.length) ends.push(...means.flatMap((m, k) => [m - wide * deviations[k], m + wide * deviations[k]]));
  const known = ends.filter(Number.isFinite);
  if (!known.length) return [0, 1];
  const [low, high] = [Math.min(...known), Math.max(...known)];
  const [first, second] = ticks(low, Math.max(high, low + 1e-9), 6);
  const step = (second ?? first + 1) - first || 1;
  return [Math.floor(low / step + 1e-9) * step, Math.ceil(high / step - 1e-9) * step];
}

/** The `i`-th row of a matrix with K columns, and whether a point lies in a box. */
const row = (array, i, K) => Array.from(array.subarray(i * K, (i + 1) * K));
const inside = (box, x, y) => x >= box.x && x <= box.x + box.w && y >= box.y && y <= box.y + box.h;

/** Join the points x(i), y(i); what is not finite is a gap. Of a long line only what a pixel can show is drawn. */
function polyline(context, count, x, y) {
  context.beginPath();
  let open = false;
  let column = NaN;
  let low = 0;
  let high = 0;
  let last = 0;
  const flush = () => {
    if (high - low < 0.5) return;
    context.moveTo(column + 0.5, low);
    context.lineTo(column + 0.5, high);
    context.moveTo(column + 0.5, last);
  };
  for (let i = 0; i < count; i += 1) {
    const py = y(i);
    if (!Number.isFinite(py)) {
      flush();
      low = high = 0;
      open = false;
      continue;
    }
    const px = x(i);
    if (open && Math.floor(px) === column) {
      low = Math.min(low, py);
      high = Math.max(high, py);
      last = py;
      continue;
    }
    if (open) {
      flush();
      if (last !== undefined) context.lineTo(px, py);
    } else context.moveTo(px, py);
    open = true;
    column = Math.floor(px);
    low = high = last = py;
  }
  if (open) flush();
  context.stroke();
}

/** A mark of an arm's own shape; shapes are matplotlib's letters. */
function marker(context, shape, x, y, size, fill, stroke) {
  const r = size / 2;
  const corners = {
    s: [[-1, -1], [1, -1], [1, 1], [-1, 1]],
    "^": [[0, -1.15], [1.1, 0.9], [-1.1, 0.9]],
    v: [[0, 1.15], [1.1, -0.9], [-1.1, -0.9]],
    D: [[0, -1.3], [1.1, 0], [0, 1.3], [-1.1, 0]],
    P: [[-0.4, -1.2], [0.4, -1.2], [0.4, -0.4], [1.2, -0.4], [1.2, 0.4], [0.4, 0.4], [0.4, 1.2], [-0.4, 1.2], [-0.4, 0.4], [-1.2, 0.4], [-1.2, -0.4], [-0.4, -0.4]],
    X: [[-1.2, -0.7], [-0.7, -1.2], [0, -0.5], [0.7, -1.2], [1.2, -0.7], [0.5, 0], [1.2, 0.7], [0.7, 1.2], [0, 0.5], [-0.7, 1.2], [-1.2, 0.7], [-0.5, 0]],
  }[shape];
  context.beginPath();
  if (corners) for (const [dx, dy] of corners) context.lineTo(x + dx * r, y + dy * r);
  else context.arc(x, y, r, 0, 2 * Math.PI);
  context.closePath();
  context.fillStyle = fill;
  context.fill();
  if (stroke) {
    context.strokeStyle = stroke;
    context.lineWidth = 1.5;
    context.stroke();
  }
}

/** Marks of a line's own shape along it, about 110 pixels apart, so that shapes tell lines as colours do; `shift` (0–1)
 * keeps those of several lines off one another. */
function marksAlong(context, count, x, y, shape, shift, fill, stroke) {
  const pieces = Math.max(2, Math.floor((x(count) - x(0)) / 110));
  for (let piece = 0; piece < pieces; piece += 1) {
    const i = Math.floor(((piece + shift) / pieces) * count);
    if (Number.isFinite(y(i))) marker(context, shape, x(i), y(i), 9, fill, stroke);
  }
}

/** A hill N(mean, deviation) standing on `base`, `tall` pixels high, between the pixels `from` and `to`. */
function hill(context, x, mean, deviation, base, tall, from, to, colour, weight) {
  if (!Number.isFinite(mean) || !Number.isFinite(deviation)) return;
  const sd = Math.max(Math.abs(x(mean + deviation) - x(mean)), 0.4);
  const middle = x(mean);
  const [start, end] = [Math.max(from, middle - 3.5 * sd), Math.min(to, middle + 3.5 * sd)];
  if (end <= start) return;
  context.beginPath();
  context.moveTo(start, base);
  const step = Math.max((end - start) / 48, 0.25);
  for (let px = start; px <= end; px += step) context.lineTo(px, base - tall * Math.exp(-0.5 * ((px - middle) / sd) ** 2));
  context.lineTo(end, base);
  context.globalAlpha = weight;
  context.fillStyle = colour;
  context.fill();
  context.globalAlpha = 1;
  context.strokeStyle = colour;
  context.lineWidth = 1.3;
  context.stroke();
}

/** A tip that follows the pointer inside `root`; `text(x, y)` gives its lines or ''. */
function hover(root, canvas, tip, text) {
  const hide = () => {
    tip.hidden = true;
  };
  canvas.addEventListener("pointerleave", hide);
  canvas.addEventListener("pointermove", (event) => {
    const [inner, outer] = [canvas.getBoundingClientRect(), root.getBoundingClientRect()];
    const lines = text(event.clientX - inner.left, event.clientY - inner.top);
    tip.hidden = !lines;
    if (!lines) return;
    tip.textContent = lines;
    const left = Math.min(event.clientX - outer.left + 16, outer.width - tip.offsetWidth - 4);
    tip.style.left = `${Math.max(0, left)}px`;
    const below = event.clientY - outer.top + 18;
    tip.style.top = `${below + tip.offsetHeight > outer.height ? below - tip.offsetHeight - 30 : below}px`;
  });
}

/** Say what happened to screen readers: at once when asked to, else at most every three seconds. */
function announcer() {
  const node = h("p", { class: "ol-said", role: "status", "aria-live": "polite" });
  let last = -1e9;
  const tell = (text, now = true) => {
    if (!now && performance.now() - last < 3000) return;
    last = performance.now();
    if (node.textContent !== text) node.textContent = text;
  };
  return { node, tell };
}

/**
 * Keys inside `root` are the widget's: JupyterLab, which would take arrows and letters for its cells, does not see them.
 * `act(event)` does what the browser would not do by itself. Keys with Ctrl, Alt or Meta, Shift+Enter and Escape go on.
 * Returns how to end it.
 */
function ownKeys(root, act) {
  const listen = (event) => {
    const passes = event.ctrlKey || event.metaKey || event.altKey || event.key === "Escape" || (event.shiftKey && event.key === "Enter");
    if (passes || !root.contains(event.target)) return;
    event.stopImmediatePropagation();
    act(event);
  };
  window.addEventListener("keydown", listen, true);
  return () => window.removeEventListener("keydown", listen, true);
}

/** A notebook's model as widgets use it: `listen(action, …names)` acts when one of these is set, `silence` no more. */
function hostOf(model) {
  const events = (names) => names.map((name) => `change:${name}`).join(" ");
  return {
    get: (name) => model.get(name),
    set: (name, value) => model.set(name, value),
    save: () => model.save_changes(),
    listen: (action, ...names) => model.on(events(names), action),
    silence: (action, ...names) => model.off(events(names), action),
  };
}

/** Fill `el` by `build(root)`; whatever goes wrong is one plain message in its place. Returns how to end it. */
function guarded(el, label, build) {
  const root = h("section", { class: "ol", "aria-label": label });
  el.replaceChildren(root);
  try {
    return build(root) ?? (() => {});
  } catch (error) {
    console.warn(error);
    root.replaceChildren(message(`This cannot be drawn here: ${error.message}`));
    return () => {};
  }
}

function message(text) {
  return h("p", { class: "ol-message", role: "alert" }, text);
}
