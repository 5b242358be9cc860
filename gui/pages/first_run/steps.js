// What the steps of the first run have in common.

import { h } from "../base/element.js";
import { t } from "../base/i18n.js";

/** The head of a step: its title is where a screen reader begins. */
export const stepHead = (title, ...more) => h("div", { class: "stack tight first-head" }, h("h1", { tabindex: -1 }, title), more.map((one) => h("p", { class: "soft" }, one)));

export const stepCount = (at) => h("p", { class: "soft small" }, t("Step {at} of 3", { at }));
