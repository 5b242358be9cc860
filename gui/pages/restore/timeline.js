// The nights as a line: one button for each, the newest at the right, months above.

import { fill, h } from "../base/element.js";
import { bytes, clock, date, files, when } from "../base/format.js";
import { locale, t } from "../base/i18n.js";

export class Timeline {
  /** `chosen(snapshot)` hears which night is wanted. */
  constructor({ chosen }) {
    this.chosen = chosen;
    this.nights = [];
    this.line = h("div", { class: "nights", role: "radiogroup", "aria-label": t("Nights"), onkeydown: (event) => this.#key(event) });
    this.said = h("p", { class: "nights-said", "aria-live": "polite" });
    this.element = h("section", { class: "card stack tight" }, this.said, this.line);
  }

  show(nights, id) {
    this.nights = nights;
    this.id = id;
    let month = "";
    const thisYear = new Date().getFullYear();
    fill(this.line, nights.map((night) => {
      const now = new Intl.DateTimeFormat(locale, { month: "short", year: date(night.time_ns).getFullYear() === thisYear ? undefined : "numeric" }).format(date(night.time_ns));
      const label = now === month ? null : h("span", { class: "night-month", "aria-hidden": "true" }, now);
      month = now;
      const chosen = night.id === id;
      return h(
        "button",
        { type: "button", role: "radio", class: "night", "aria-checked": String(chosen), tabindex: chosen ? 0 : -1, "aria-label": when(night.time_ns), title: `${when(night.time_ns)} · ${files(night.files)}`, onclick: () => this.#choose(night.id) },
        label ?? h("span", { class: "night-month" }),
        h("span", { class: "night-dot", "aria-hidden": "true" }),
        h("span", { class: "night-day" }, new Intl.DateTimeFormat(locale, { day: "numeric" }).format(date(night.time_ns))),
        h("span", { class: "night-time" }, this.#twin(night) ? clock(night.time_ns) : new Intl.DateTimeFormat(locale, { weekday: "short" }).format(date(night.time_ns))),
      );
    }));
    const night = nights.find((one) => one.id === id);
    fill(this.said, night ? [h("strong", {}, when(night.time_ns)), ` · ${files(night.files)} · ${bytes(night.bytes)}`] : "");
    this.line.querySelector("[aria-checked=true]")?.scrollIntoView({ block: "nearest", inline: "center" });
  }

  /** Whether another night is of the same day. */
  #twin(night) {
    const day = date(night.time_ns).toDateString();
    return this.nights.some((one) => one !== night && date(one.time_ns).toDateString() === day);
  }

  #choose(id) {
    if (id !== this.id) this.chosen(id);
  }

  #key(event) {
    const at = this.nights.findIndex((night) => night.id === this.id);
    const to = { ArrowLeft: at - 1, ArrowUp: at - 1, ArrowRight: at + 1, ArrowDown: at + 1, Home: 0, End: this.nights.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const night = this.nights[Math.max(0, Math.min(this.nights.length - 1, to))];
    this.#choose(night.id);
    this.line.querySelector("[aria-checked=true]")?.focus();
  }
}
