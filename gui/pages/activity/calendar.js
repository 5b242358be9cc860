// Nights as a calendar: a month a block, a day a square, with what became of that night.

import { h } from "../base/element.js";
import { date, fullDay } from "../base/format.js";
import { locale, t } from "../base/i18n.js";

const MONTHS = 3;
const DAY_MS = 86_400_000;

/** "2026-05-03" in local time. */
export const dayKey = (when) => `${when.getFullYear()}-${String(when.getMonth() + 1).padStart(2, "0")}-${String(when.getDate()).padStart(2, "0")}`;

/** day key -> its nights, oldest first. */
export function byDay(nights) {
  const days = new Map();
  for (const night of nights) {
    const key = dayKey(date(night.time_ns));
    days.set(key, [...(days.get(key) ?? []), night]);
  }
  return days;
}

/** What a day looks like: "good", "bad" or "" for no backup. A later success heals the day. */
export function mark(nights) {
  if (!nights?.length) return "";
  return nights.at(-1).ok ? "good" : "bad";
}

/** `chosen(key, nights)` hears which day was touched. */
export function calendar(nights, chosen, now = new Date()) {
  const days = byDay(nights);
  const months = Array.from({ length: MONTHS }, (_, back) => new Date(now.getFullYear(), now.getMonth() - (MONTHS - 1 - back), 1));
  return h("div", { class: "calendar" }, months.map((month) => block(month, days, chosen, now)));
}

function block(month, days, chosen, now) {
  const name = new Intl.DateTimeFormat(locale, { month: "long", year: "numeric" }).format(month);
  const first = (month.getDay() + 6) % 7; // weeks begin on Monday
  const length = new Date(month.getFullYear(), month.getMonth() + 1, 0).getDate();
  const squares = Array.from({ length }, (_, at) => {
    const day = new Date(month.getFullYear(), month.getMonth(), at + 1);
    return square(day, days.get(dayKey(day)), chosen, now);
  });
  return h(
    "section",
    { class: "month" },
    h("h3", {}, name),
    h("div", { class: "month-days" }, weekdays(), Array.from({ length: first }, () => h("span", { "aria-hidden": "true" })), squares),
  );
}

function weekdays() {
  const monday = new Date(2024, 0, 1);
  return Array.from({ length: 7 }, (_, at) => {
    const letter = new Intl.DateTimeFormat(locale, { weekday: "narrow" }).format(new Date(monday.getTime() + at * DAY_MS));
    return h("span", { class: "weekday", "aria-hidden": "true" }, letter);
  });
}

function square(day, nights, chosen, now) {
  const how = mark(nights);
  const number = String(day.getDate());
  const isToday = dayKey(day) === dayKey(now);
  const say = { good: t("backed up"), bad: t("not finished"), "": t("no backup") }[how];
  if (!how) return h("span", { class: `day${day > now ? " future" : ""}${isToday ? " today" : ""}` }, number);
  return h(
    "button",
    { type: "button", class: `day ${how}${isToday ? " today" : ""}`, "aria-label": t("{day}: {what}", { day: fullDay(day.getTime() * 1e6), what: say }), onclick: () => chosen(dayKey(day), nights) },
    number,
  );
}
