// What the steps of the first run have in common.

import { h } from "../base/element.js";
import { t } from "../base/i18n.js";

/** The head of a step: its title is where a screen reader begins. `count` may be null. */
export function stepHead(title, text, count = null) {
  return h("div", { class: "stack tight first-head" }, count, h("h1", { tabindex: -1 }, title), h("p", { class: "soft" }, text));
}

export const stepCount = (at) => h("p", { class: "step-count" }, t("Step {at} of 3", { at }));
