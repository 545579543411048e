// A film of bandits at play: recorded rollouts, round by round, in the playground's panels. Nothing is simulated here.

/** What the panels draw: one replication of each policy, what is still to come faint. */
function openRollouts(about, view) {
  const arrays = decode(about.layout, view);
  const settings = { arms: about.arms.length, horizon: arrays["0.arm"].length, replications: 1 };
  const of = (n, names) => Object.fromEntries(names.map((name) => [name === "arm" ? "arms" : name, arrays[`${n}.${name}`]]));
  const runs = about.names.map((name, n) => ({ name, ...of(n, ["arm", "regret", "reward", "mean", "deviation"]) }));
  return { ...digest({ settings, means: arrays.truth, changes: about.changes, runs }), veiled: true };
}

/** What happened in a round, for eyes and for screen readers. */
function roundInWords(data, about, t) {
  const told = data.runs.map((run) => `${about.policies[run.name].title} plays ${armName(about, run.arms[t])} (reward ${say(run.reward[t])}, regret so far ${say(run.regret[t])})`);
  return `Round ${t + 1} of ${data.settings.horizon}: ${told.join("; ")}.`;
}

/** Build the film in `el`; `host` keeps the round, where there is one. */
function mount(el, about, view, host = null) {
  return guarded(el, "Bandits at play, round by round", (root) => {
    const data = openRollouts(about, view);
    const last = data.settings.horizon - 1;
    const state = { t: 0, told: host?.get("round") ?? 0, look: null, boxes: null };
    const said = announcer();
    const tip = h("div", { class: "ol-tip", hidden: true });
    const canvas = h("canvas", { role: "img", "aria-label": "means, regret, choices and beliefs, told below in words" });
    const layer = document.createElement("canvas"); // what stays from round to round
    const words = h("p", { class: "ol-why" });
    const slider = h("input", { type: "range", min: 0, max: last, step: 1, "aria-label": "round", oninput: () => go(Number(slider.value)) });
    const count = data.runs.length;
    const picture = surface(canvas, (width) => boxesOf(width, count, data.settings.arms).tall, (context, width, tall, stale) => {
      if (stale || !state.look) {
        [state.look, state.boxes] = [theme(root), boxesOf(width, count, data.settings.arms)];
        [layer.width, layer.height] = [canvas.width, canvas.height];
        const inner = layer.getContext("2d");
        inner.setTransform(context.getTransform());
        inner.clearRect(0, 0, width, tall);
        drawStill(inner, state.look, state.boxes, data, about);
      }
      context.clearRect(0, 0, width, tall);
      context.drawImage(layer, 0, 0, width, tall);
      drawNow(context, state.look, state.boxes, data, state.t, about);
    });
    const go = (t, quiet = false) => {
      state.t = Math.max(0, Math.min(last, t));
      slider.value = state.t;
      words.textContent = roundInWords(data, about, state.t);
      slider.setAttribute("aria-valuetext", `round ${state.t + 1} of ${last + 1}`);
      said.tell(words.textContent, !film.playing());
      picture.request();
      if (host && !quiet && !film.playing()) keep();
    };
    const keep = () => {
      state.told = state.t;
      host.set("round", state.t);
      host.save();
    };
    const film = playButton(() => state.t, () => last, (t) => go(t));
    root.append(h("div", { class: "ol-row" }, film.button, h("span", { class: "ol-grow" }, slider)), canvas, words, said.node, tip);
    canvas.addEventListener("click", (event) => {
      const box = canvas.getBoundingClientRect();
      const t = roundAt(state.boxes, last + 1, event.clientX - box.left, event.clientY - box.top);
      if (t >= 0) go(t);
    });
    hover(root, canvas, tip, (x, y) => state.boxes && tipOf(state.boxes, data, about, state.t, x, y));
    const freeKeys = ownKeys(root, (event) => {
      const actions = { " ": () => film.toggle(), Home: () => go(0), End: () => go(last) };
      if (!actions[event.key] || (event.key === " " && event.target.closest("button"))) return;
      event.preventDefault();
      actions[event.key]();
    });
    const outside = () => {
      if (host.get("round") === state.told) return;
      state.told = host.get("round");
      go(state.told, true);
    };
    host?.listen(outside, "round");
    go(state.told, true);
    return () => {
      picture.stop();
      film.stop();
      freeKeys();
      host?.silence(outside, "round");
    };
  });
}

export { mount };

export default {
  render({ model, el }) {
    return mount(el, model.get("about"), model.get("data"), hostOf(model));
  },
};
