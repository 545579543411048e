// Exercises with fields to answer in. Numbers, yes and no are judged here by value (lessons.judges does the same in
// Python); policies by the kernel, which plays them, or on a page by recorded simulations.

const TRIES = 3; // before the solution is shown
const SAID = { wrong: "Not yet: ", near: "Nearly: ", right: "Right. ", open: "" };

const close = (value, expected, tolerance) => Math.abs(value - expected) <= tolerance * Math.abs(expected);
const plainNumber = (value) => String(Number(value.toPrecision(6)));

/** A number as people write it: 0.6, 0,6, −0.4 or 3/5; NaN for anything else. */
function readNumber(text) {
  const parts = text.trim().replaceAll(",", ".").replaceAll("−", "-").split("/");
  const values = parts.map((part) => (part.trim() === "" ? NaN : Number(part)));
  return parts.length === 2 ? values[0] / values[1] : parts.length === 1 ? values[0] : NaN;
}

/** judges.Number: {state, text}. */
function judgeNumber({ expected, tolerance, slips, hint, near, nearly, why }, text) {
  const value = readNumber(text);
  if (!Number.isFinite(value)) return { state: "wrong", text: `the answer is a number, got “${text}”` };
  if (close(value, expected, tolerance)) return { state: "right", text: why };
  const slip = slips.find(([known]) => close(value, known, tolerance));
  if (slip) return { state: "wrong", text: `${plainNumber(value)} it is not; ${slip[1]}` };
  const off = Math.abs(value / expected - 1);
  if (off <= near) return { state: "near", text: `${plainNumber(value)} is ${(100 * off).toFixed(1)} % off; ${nearly}` };
  return { state: "wrong", text: `${plainNumber(value)} it is not; ${hint}` };
}

/** What is said of an answer where no kernel is needed; null where a policy has to be played. */
function judged(exercise, text) {
  if (!text.trim()) return { state: "open", text: "There is no answer yet." };
  if (exercise.kind === "number") return judgeNumber(exercise, text);
  if (exercise.kind === "yes or no") {
    const right = text === (exercise.expected ? "True" : "False");
    return right ? { state: "right", text: exercise.why } : { state: "wrong", text: exercise.hint };
  }
  return exercise.recorded?.[text] ?? null;
}

/** Text with `code` between backticks. */
function marked(text) {
  return text.split("`").map((part, n) => (n % 2 ? h("code", {}, part) : part));
}

/** The field of an exercise: what it is, and how to read it. */
function answerField(exercise, label) {
  const options = exercise.kind === "yes or no" ? ["True", "False"] : exercise.recorded ? exercise.options : null;
  if (options) {
    const choice = h("select", { "aria-label": label }, h("option", { value: "" }, "choose …"));
    choice.append(...options.map((option) => h("option", { value: option }, option)));
    return { nodes: [choice], read: () => choice.value };
  }
  const list = `ol-${exercise.number}-${Math.random().toString(36).slice(2)}`;
  const hint = exercise.kind === "policy" ? "name:parameter=value" : "a number";
  const input = h("input", { type: "text", class: "ol-answer", "aria-label": label, placeholder: hint, autocomplete: "off", spellcheck: "false", list: exercise.options && list });
  const known = exercise.options ? [h("datalist", { id: list }, ...exercise.options.map((option) => h("option", { value: option })))] : [];
  return { nodes: [input, ...known], read: () => input.value };
}

/** One exercise: question, field, what was said; `ask(number, text)` has a policy played. */
function exercisePanel(exercise, ask, changed) {
  const state = { tries: 0, right: false };
  const field = answerField(exercise, `answer to ${exercise.number}`);
  const box = h("div", { class: "ol-hint", role: "status", hidden: true });
  const show = (verdict) => {
    state.tries += verdict.state === "wrong" || verdict.state === "near" ? 1 : 0;
    state.right ||= verdict.state === "right";
    box.hidden = false;
    box.dataset.state = verdict.state;
    box.replaceChildren(h("b", {}, SAID[verdict.state]), ...marked(verdict.text));
    if (!state.right && state.tries >= TRIES) box.append(h("p", {}, "The solution: ", h("code", {}, exercise.solution), ". ", ...marked(exercise.why)));
    changed();
  };
  const submit = () => {
    const verdict = judged(exercise, field.read());
    if (verdict) return show(verdict);
    box.hidden = false;
    box.dataset.state = "open";
    box.replaceChildren("It is being played …");
    return ask(exercise.number, field.read());
  };
  const node = h("div", { class: "ol-exercise" },
    h("p", {}, h("b", {}, `${exercise.number}  `), ...marked(exercise.question)),
    h("div", { class: "ol-row" }, ...field.nodes, h("button", { onclick: submit }, "Check")), box);
  return { node, state, show, submit };
}

/** Build the exercises of `about.lessons` in `el`; `host` plays policies, where there is one. */
function mount(el, about, _, host = null) {
  return guarded(el, "Exercises", (root) => {
    const panels = new Map();
    const ask = (number, text) => {
      if (host) host.ask(number, text);
      else panels.get(number).show({ state: "open", text: "Only recorded simulations are judged here." });
    };
    for (const lesson of about.lessons) {
      const score = h("p", { class: "ol-head", role: "status" });
      const ours = lesson.exercises.map((exercise) => exercisePanel(exercise, ask, () => count()));
      const count = () => {
        score.textContent = `${ours.filter(({ state }) => state.right).length} of ${ours.length} right`;
      };
      lesson.exercises.forEach((exercise, n) => {
        panels.set(exercise.number, ours[n]);
      });
      count();
      root.append(...(about.lessons.length > 1 ? [h("h2", {}, lesson.title)] : []), ...ours.map(({ node }) => node), score);
    }
    const heard = ({ number, ...verdict }) => panels.get(number)?.show(verdict);
    host?.listen(heard);
    const freeKeys = ownKeys(root, (event) => {
      const panel = [...panels.values()].find(({ node }) => node.contains(event.target));
      if (event.key === "Enter" && event.target.closest("input")) panel.submit();
    });
    return () => {
      freeKeys();
      host?.silence(heard);
    };
  });
}

export { mount };

export default {
  render({ model, el }) {
    const host = {
      ask: (number, text) => model.send({ number, text }),
      listen: (action) => model.on("msg:custom", action),
      silence: (action) => model.off("msg:custom", action),
    };
    return mount(el, model.get("about"), null, host);
  },
};
