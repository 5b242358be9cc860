// The way out of the group, at the end of the page: asked for twice, and seen through to its end.

import { cancel, run } from "../base/api.js";
import { ask, bar, busy, notice, setBar } from "../base/controls.js";
import { fill, h } from "../base/element.js";
import { bytes, names } from "../base/format.js";
import { t } from "../base/i18n.js";

/** A folded section with a button. */
export function leaving() {
  const course = h("div", { class: "stack tight", "aria-live": "polite" });
  const button = h("button", { class: "button danger", type: "button", onclick: () => busy(button, () => leave(course)) }, t("Leave the group…"));
  return h(
    "details",
    { class: "card leave" },
    h("summary", {}, t("Leave the group")),
    h(
      "div",
      { class: "stack" },
      h("p", { class: "soft" }, t("What friends keep here goes to others first. Your own files stay as they are; your backup at your friends goes after 14 days.")),
      course,
      h("div", { class: "row" }, button),
    ),
  );
}

async function leave(course) {
  const sure = await ask({
    title: t("Leave the group?"),
    body: [
      t("This computer is no member any more then, and backs up no longer."),
      t("For 14 days your recovery words can bring your backup back. After that nobody can."),
    ],
    yes: t("Leave"),
    danger: true,
  });
  if (!sure) return;
  const over = bar(null, t("Handing over"));
  const facts = h("p", { class: "soft small numbers" }, t("Friends take what they keep here elsewhere."));
  let job = null;
  const stop = h("button", { class: "button", type: "button", hidden: true, onclick: () => busy(stop, () => cancel(job)) }, t("Stay after all"));
  fill(course, over, facts, h("div", { class: "row" }, stop));
  try {
    await run("leave", {}, (event, id) => {
      job = id;
      if (event.event !== "progress") return;
      stop.hidden = false;
      setBar(over, event.bytes_total ? event.bytes / event.bytes_total : null);
      facts.textContent = event.waiting_for.length
        ? t("{n} of {all}, waiting for {names}.", { n: bytes(event.bytes), all: bytes(event.bytes_total), names: names(event.waiting_for) })
        : t("Saying goodbye…");
    });
    fill(course, notice("good", t("This computer has left the group.")));
  } catch (problem) {
    fill(course);
    throw problem;
  }
}
