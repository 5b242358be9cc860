// "What shall I back up?": the folders that most people would miss, with their sizes as they come.

import { call, start } from "../base/api.js";
import { busy, empty, explain, problemNotice, say, waiting } from "../base/controls.js";
import { birdPicture } from "../base/bird.js";
import { fill, freshId, h } from "../base/element.js";
import { bytes, files, splitPath } from "../base/format.js";
import { t, tn } from "../base/i18n.js";
import { icon } from "../base/icons.js";
import { link } from "../base/router.js";
import { stepCount, stepHead } from "./steps.js";

const AGAIN_MS = 1_000; // sizes come while folders are counted

/** `ends(fn)` takes what must end with the page; `next()` goes on. */
export function suggestStep({ ends, next }) {
  const list = h("ul", { class: "suggestions" });
  const sum = h("p", { class: "soft numbers", "aria-live": "polite" });
  const box = h("section", { class: "card stack" }, waiting(3));
  const go = h("button", { class: "button primary", type: "button" }, t("Back these up"));
  const state = { chosen: new Map(), lines: new Map() };
  const count = () => {
    const all = [...state.chosen.values()];
    go.disabled = !all.length;
    const size = all.reduce((total, { bytes: n }) => total + (n ?? 0), 0);
    const unsure = all.some(({ bytes: n }) => n === null || n === undefined);
    sum.textContent = all.length ? `${tn("One folder", "{n} folders", all.length)}, ${unsure ? t("{size} or more", { size: bytes(size) }) : bytes(size)}` : t("Nothing chosen");
  };
  go.addEventListener("click", () => busy(go, () => begin([...state.chosen.keys()], next)));
  const load = async () => {
    try {
      const found = (await call("suggest")).filter((one) => one.exists);
      if (!box.contains(list)) fill(box, found.length ? list : nothing(), sum, h("div", { class: "row" }, go, h("a", { class: "button", href: link("files") }, icon("plus"), t("Other folders")), h("button", { class: "button quiet", type: "button", onclick: next }, t("Later"))));
      found.forEach((one) => update(list, one, state, count));
      count();
      return found.some(({ bytes: n }) => n === null);
    } catch (problem) {
      if (!box.contains(list)) fill(box, problemNotice(problem, load));
      return false;
    }
  };
  let timer = 0;
  const again = async () => { if (await load()) timer = setTimeout(again, AGAIN_MS); };
  again();
  ends(() => clearTimeout(timer));
  return h("div", { class: "stack loose" }, stepHead(t("What shall I back up?"), t("What you would miss. You can change it any time, here or in your file manager."), stepCount(3)), box);
}

function nothing() {
  return empty(birdPicture(), t("No usual folders were found"), t("Choose your own."));
}

function update(list, folder, state, count) {
  if (state.chosen.has(folder.path)) state.chosen.set(folder.path, folder);
  const size = folder.bytes === null ? t("counting…") : `${bytes(folder.bytes)} · ${files(folder.files ?? 0)}`;
  const known = state.lines.get(folder.path);
  if (known) {
    known.textContent = size;
    return;
  }
  const id = freshId("folder");
  const line = h("span", { class: "soft small numbers" }, size);
  const tick = h("input", { type: "checkbox", id, checked: true, onchange: () => {
    if (tick.checked) state.chosen.set(folder.path, folder);
    else state.chosen.delete(folder.path);
    count();
  } });
  state.lines.set(folder.path, line);
  state.chosen.set(folder.path, folder);
  list.append(h("li", {}, h("label", { for: id }, tick, icon("folder"), h("span", { class: "grow stack-name" }, h("span", {}, folder.name), h("span", { class: "soft small clip" }, splitPath(folder.path).above)), line)));
}

async function begin(paths, next) {
  await call("mark", { paths });
  try {
    await start("backup");
  } catch (problem) {
    if (problem.code === "no_cookie" || problem.code === "agent_gone") throw problem;
    say(explain(problem).join(" ")); // nobody there yet: the next night does it
  }
  next();
}
