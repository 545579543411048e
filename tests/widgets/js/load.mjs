// The functions of a widget's files as a browser has them: one module of all files, which exports its `mount` alone.
import { readFileSync } from "node:fs";

const VIEWS = new URL("../../../optima_lab/widgets/", import.meta.url);

/** load(["canvas.js", "replay.js"], ["share", "reason"]): an object of these functions. */
export function load(files, names) {
  const source = files.map((name) => readFileSync(new URL(name, VIEWS), "utf8")).join("\n");
  const inside = source.slice(0, source.indexOf("\nexport "));
  return new Function(`${source.includes("\nexport ") ? inside : source}\nreturn { ${names.join(", ")} };`)();
}
