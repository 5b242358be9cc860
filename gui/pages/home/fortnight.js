// The last two weeks at a glance: a dot a night, filled when the backup was whole.

import { byDay, dayKey, mark } from "../activity/calendar.js";
import { h } from "../base/element.js";
import { day } from "../base/format.js";
import { t } from "../base/i18n.js";
import { link } from "../base/router.js";

const DAYS = 14;
const DAY_MS = 86_400_000;

/** Null where there is nothing to show yet. */
export function fortnight(nights, now = Date.now()) {
  if (!nights?.length) return null;
  const days = byDay(nights);
  const dots = Array.from({ length: DAYS }, (_, at) => {
    const when = new Date(now - (DAYS - 1 - at) * DAY_MS);
    return { when, how: mark(days.get(dayKey(when))) };
  });
  const good = dots.filter(({ how }) => how === "good").length;
  return h(
    "a",
    { class: "fortnight", href: link("activity"), "aria-label": t("Backed up on {good} of the last {all} days", { good, all: DAYS }) },
    h("span", { class: "soft small" }, t("the last two weeks")),
    h("span", { class: "fortnight-dots", "aria-hidden": "true" }, dots.map(({ when, how }) => h("i", { class: how || "none", title: day(when.getTime() * 1e6) }))),
  );
}
