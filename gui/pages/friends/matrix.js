// Who keeps which parts: a row a friend, a column a slice of the backup, the darker the more of it.

import { h } from "../base/element.js";
import { percent } from "../base/format.js";
import { t } from "../base/i18n.js";

const CELL = 8; // device-independent pixels; the picture is scaled to the width there is
const ROW = 18;
const CELL_MAX = 22; // a few pieces are not drawn wider than that
const GAPS_MAX = 120; // with more columns gaps between them would only shimmer

/** `matrix` as the agent gives it: friends: [names], packs, rows: [[counts]].
 *
 * Gives { element, leave }; `leave()` when it is no longer shown.
 */
export function matrixTable({ friends, rows }) {
  const columns = Math.max(1, ...rows.map((row) => row.length));
  const most = Math.max(1, ...rows.map((row) => Math.max(0, ...row)));
  const strips = friends.map((_, at) => h("canvas", { width: columns * CELL, height: ROW, "aria-hidden": "true", style: { "max-width": `${columns * CELL_MAX}px` } }));
  const draw = () => {
    const colours = getComputedStyle(document.documentElement);
    const [ink, ground] = [colours.getPropertyValue("--accent"), colours.getPropertyValue("--sunken")];
    strips.forEach((strip, at) => paint(strip.getContext("2d"), rows[at] ?? [], { columns, most, ink, ground }));
  };
  draw();
  const themes = new MutationObserver(draw);
  themes.observe(document.documentElement, { attributeFilter: ["data-theme"] });
  const element = h(
    "table",
    { class: "matrix", "aria-label": t("Which parts of your backup each friend keeps") },
    h("tbody", {}, friends.map((name, at) => line(name, rows[at] ?? [], columns, strips[at]))),
  );
  return { element, leave: () => themes.disconnect() };
}

function line(name, row, columns, strip) {
  const kept = row.filter((cell) => cell > 0).length / columns;
  return h(
    "tr",
    {},
    h("th", { scope: "row", class: "clip" }, name),
    h("td", {}, strip, h("span", { class: "unseen" }, t("keeps something of {part} of it", { part: percent(kept) }))),
  );
}

function paint(context, row, { columns, most, ink, ground }) {
  context.globalAlpha = 1;
  context.fillStyle = ground;
  context.fillRect(0, 0, columns * CELL, ROW);
  context.fillStyle = ink;
  row.forEach((count, at) => {
    if (!count) return;
    context.globalAlpha = 0.35 + 0.65 * (count / most);
    context.fillRect(at * CELL, 0, columns > GAPS_MAX ? CELL : CELL - 1, ROW);
  });
}
