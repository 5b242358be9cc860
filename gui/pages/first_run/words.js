// The recovery sheet: 24 words that alone can open the backups. Print, save, or later.

import { call } from "../base/api.js";
import { busy, explain, notice, say } from "../base/controls.js";
import { fill, h } from "../base/element.js";
import { t } from "../base/i18n.js";
import { icon } from "../base/icons.js";
import { stepCount, stepHead } from "./steps.js";

const SHEET = "/api/sheet.pdf";

/** `words` is null when the sheet is looked at later; `next()` goes on. */
export function wordsStep({ words, next }) {
  const list = h("ol", { class: "words", "aria-label": t("Recovery words") });
  if (words) showWords(list, words);
  else fetchWords(list);
  const done = h("button", { class: "button primary", type: "button", disabled: true, onclick: () => busy(done, async () => { await call("sheet", { saved: true }); next(); }) }, t("I have kept it"));
  // Only the person knows whether it was saved: a dialog can be left without.
  const tick = h("input", { type: "checkbox", id: "kept", onchange: () => { done.disabled = !tick.checked; } });
  const later = h("button", { class: "button quiet", type: "button", onclick: () => busy(later, async () => { await call("sheet", { later: true }); next(); }) }, t("I'll do it later"));
  return h(
    "div",
    { class: "stack loose" },
    stepHead(t("Your recovery words"), t("These words alone can open your backups. Whoever loses this computer needs them to get the files back."), words ? stepCount(2) : null),
    h(
      "section",
      { class: "card stack loose sheet" },
      h("div", { class: "sheet-body" }, list, qr()),
      h(
        "div",
        { class: "row no-print" },
        h("button", { class: "button", type: "button", onclick: () => print() }, icon("print"), t("Print")),
        h("a", { class: "button", href: SHEET, download: "covey-recovery-sheet.pdf" }, icon("down"), t("Save as PDF")),
      ),
      h("div", { class: "no-print" }, notice("info", t("Keep the sheet outside of this computer: with your papers, or at a friend's."), t("Nobody else has these words, not even your friends."))),
      h("label", { class: "row close no-print", for: "kept" }, tick, h("span", { class: "grow" }, t("The sheet is printed or saved somewhere safe."))),
      h("div", { class: "row no-print" }, done, later),
    ),
  );
}

function qr() {
  const image = h("img", { src: `/api/sheet.svg?${Date.now()}`, alt: t("The recovery words as a QR code"), width: 180, height: 180 });
  const figure = h("figure", { class: "qr" }, image, h("figcaption", { class: "small soft" }, t("for the camera of a new computer")));
  image.addEventListener("error", () => { figure.hidden = true; });
  return figure;
}

const showWords = (list, words) => fill(list, words.map((word) => h("li", {}, word)));

async function fetchWords(list) {
  try {
    const { words } = await call("sheet", {});
    if (words?.length) showWords(list, words);
    else list.hidden = true;
  } catch (problem) {
    say(explain(problem).join(" "));
    list.hidden = true;
  }
}
