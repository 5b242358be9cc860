// Who keeps which parts: a row a friend, a column a slice of the backup, the darker the more of it.

import { h, setStyle } from "../base/element.js";
import { percent } from "../base/format.js";
import { t } from "../base/i18n.js";

const CELL = 8; // device-independent pixels; the picture is scaled to the width there is
const ROW = 18;

/** `matrix` as the agent gives it: friends: [names], packs, rows: [[counts]]. */
export function matrixTable({ friends, rows }) {
  const columns = Math.max(0, ...rows.map((row) => row.length));
  const most = Math.max(1, ...rows.flat());
  return h(
    "table",
    { class: "matrix", "aria-label": t("Which parts of your backup each friend keeps") },
    h("tbody", {}, friends.map((name, at) => {
      const row = rows[at] ?? [];
      const kept = row.filter((cell) => cell > 0).length / Math.max(1, columns);
      return h(
        "tr",
        {},
        h("th", { scope: "row", class: "clip" }, name),
        h("td", { class: "matrix-cells" }, strip(row, columns, most), h("span", { class: "unseen" }, t("keeps something of {part} of it", { part: percent(kept) }))),
      );
    })),
  );
}

function strip(row, columns, most) {
  const canvas = h("canvas", { width: Math.max(1, columns) * CELL, height: ROW, "aria-hidden": "true" });
  const draw = () => {
    const context = canvas.getContext("2d");
    const style = getComputedStyle(document.documentElement);
    const [ink, empty] = [style.getPropertyValue("--accent"), style.getPropertyValue("--sunken")];
    context.globalAlpha = 1;
    context.fillStyle = empty;
    context.fillRect(0, 0, canvas.width, ROW);
    context.fillStyle = ink;
    row.forEach((count, at) => {
      if (!count) return;
      context.globalAlpha = 0.35 + 0.65 * (count / most);
      context.fillRect(at * CELL, 0, columns > 120 ? CELL : CELL - 1, ROW);
    });
  };
  draw();
  new MutationObserver(draw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  setStyle(canvas, { "max-width": `${Math.max(1, columns) * 22}px` });
  return canvas;
}
