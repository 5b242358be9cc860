// What went out and what came in, a bar for each day: up above the line, down below it.

import { h, svg } from "../base/element.js";
import { bytes, date } from "../base/format.js";
import { locale, t } from "../base/i18n.js";
import { dayKey } from "./calendar.js";

const DAYS = 30;
const WIDTH = 720;
const TALL = 110; // the highest bar
const DAY_MS = 86_400_000;

/** Sums of the last days: [{ day: Date, up, down }], oldest first. */
export function daily(traffic, now = Date.now()) {
  const days = Array.from({ length: DAYS }, (_, at) => ({ day: new Date(now - (DAYS - 1 - at) * DAY_MS), up: 0, down: 0 }));
  const byKey = new Map(days.map((one) => [dayKey(one.day), one]));
  for (const { time_ns, up_bytes, down_bytes } of traffic) {
    const one = byKey.get(dayKey(date(time_ns)));
    if (!one) continue;
    one.up += up_bytes;
    one.down += down_bytes;
  }
  return days;
}

export function trafficPlot(traffic) {
  const days = daily(traffic);
  const most = Math.max(1, ...days.flatMap(({ up, down }) => [up, down]));
  const step = WIDTH / DAYS;
  const short = new Intl.DateTimeFormat(locale, { day: "numeric", month: "short" });
  const height = (n) => (n ? Math.max(2, (n / most) * TALL) : 0);
  const base = height(Math.max(...days.map((one) => one.up))) + 6;
  const tall = base + height(Math.max(...days.map((one) => one.down))) + 6;
  const [up, down] = [days.reduce((sum, one) => sum + one.up, 0), days.reduce((sum, one) => sum + one.down, 0)];
  const said = t("In {n} days {up} went to friends and {down} came from friends.", { n: DAYS, up: bytes(up), down: bytes(down) });
  return h(
    "figure",
    { class: "traffic stack tight" },
    svg(
      "svg",
      { viewBox: `0 0 ${WIDTH} ${tall + 22}`, role: "img", "aria-label": said },
      svg("line", { x1: 0, x2: WIDTH, y1: base, y2: base, class: "traffic-line" }),
      days.map((one, at) => svg(
        "g",
        {},
        svg("title", {}, t("{day}: {up} to friends, {down} from friends", { day: short.format(one.day), up: bytes(one.up), down: bytes(one.down) })),
        svg("rect", { x: at * step, y: 0, width: step, height: tall, class: "traffic-day" }),
        svg("rect", { x: at * step + 4, y: base - 1 - height(one.up), width: step - 8, height: height(one.up), rx: 3, class: "traffic-up" }),
        svg("rect", { x: at * step + 4, y: base + 1, width: step - 8, height: height(one.down), rx: 3, class: "traffic-down" }),
      )),
      [0, 10, 20, DAYS - 1].map((at) => svg("text", { x: at === DAYS - 1 ? WIDTH : at * step, y: tall + 16, class: "traffic-label", "text-anchor": at === DAYS - 1 ? "end" : "start" }, short.format(days[at].day))),
    ),
    h("figcaption", { class: "row small soft" }, h("span", { class: "key up" }, t("to friends")), h("span", { class: "key down" }, t("from friends")), h("span", {}, said)),
  );
}
