// Sizes, numbers and times as people say them, in their language.

import { locale, t, tn } from "./i18n.js";

const DAY_S = 86_400;

export const count = (n) => new Intl.NumberFormat(locale).format(n);
export const percent = (part) => new Intl.NumberFormat(locale, { style: "percent", maximumFractionDigits: 0 }).format(part);

/** Bytes as `1.4 GB`: decimal units, as disks are sold. */
export function bytes(n) {
  const units = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte", "petabyte"];
  let size = Math.max(0, n);
  let at = 0;
  while (size >= 999.5 && at < units.length - 1) { size /= 1000; at += 1; }
  const digits = at === 0 || size >= 99.5 ? 0 : size >= 9.95 ? (at >= 3 ? 1 : 0) : 1;
  return new Intl.NumberFormat(locale, {
    style: "unit", unit: units[at], unitDisplay: at === 0 ? "long" : "short", maximumFractionDigits: digits,
  }).format(size);
}

export const rate = (bytesPerSecond) => t("{size} a second", { size: bytes(bytesPerSecond) });

/** A point of time, in nanoseconds since 1970, as a Date. */
export const date = (ns) => new Date(ns / 1e6);

export const clock = (ns) => new Intl.DateTimeFormat(locale, { hour: "numeric", minute: "2-digit" }).format(date(ns));
export const day = (ns) => new Intl.DateTimeFormat(locale, { weekday: "long", day: "numeric", month: "long" }).format(date(ns));
export const fullDay = (ns) => new Intl.DateTimeFormat(locale, { dateStyle: "long" }).format(date(ns));
export const moment = (ns) => new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "short" }).format(date(ns));

/** `today at 02:14`, `yesterday at 02:14`, `Sunday, 3 May at 02:14`. */
export function when(ns, now = Date.now()) {
  const days = Math.round((midnight(now) - midnight(ns / 1e6)) / (DAY_S * 1000));
  const time = clock(ns);
  if (days === 0) return t("today at {time}", { time });
  if (days === 1) return t("yesterday at {time}", { time });
  if (days === -1) return t("tomorrow at {time}", { time });
  return t("{day} at {time}", { day: day(ns), time });
}

const midnight = (ms) => new Date(ms).setHours(0, 0, 0, 0);

/** `3 hours ago`; `just now` below a minute. */
export function ago(ns, now = Date.now()) {
  const seconds = (now - ns / 1e6) / 1000;
  if (seconds < 60) return t("just now");
  const relative = new Intl.RelativeTimeFormat(locale, { numeric: "auto" });
  if (seconds < 3600) return relative.format(-Math.floor(seconds / 60), "minute");
  if (seconds < DAY_S) return relative.format(-Math.floor(seconds / 3600), "hour");
  if (seconds < 60 * DAY_S) return relative.format(-Math.floor(seconds / DAY_S), "day");
  return relative.format(-Math.floor(seconds / (30 * DAY_S)), "month");
}

/** Seconds as `about 2 minutes`, for what is still to come. */
export function duration(seconds) {
  if (seconds < 60) return tn("one second", "{n} seconds", Math.max(1, Math.round(seconds)));
  if (seconds < 3600) return tn("one minute", "{n} minutes", Math.round(seconds / 60));
  if (seconds < 2 * DAY_S) return tn("one hour", "{n} hours", Math.round(seconds / 3600));
  return tn("one day", "{n} days", Math.round(seconds / DAY_S));
}

export const files = (n) => tn("one file", "{n} files", n);
export const friends = (n) => tn("one friend", "{n} friends", n);

/** The last part of a path, and the rest of it. */
export function splitPath(path) {
  const cut = path.replace(/\/+$/, "").lastIndexOf("/");
  return { name: path.slice(cut + 1) || "/", above: path.slice(0, cut) || "/" };
}

/** Names as a sentence has them: `Ann, Bob and Cy`, `Ann, Bob and 4 others`. */
export function names(all, most = 3) {
  const shown = all.length > most + 1 ? [...all.slice(0, most), tn("one other", "{n} others", all.length - most)] : all;
  return new Intl.ListFormat(locale, { type: "conjunction" }).format(shown);
}
