// The versions of one file: a list, and two of them side by side.

import { call } from "../base/api.js";
import { explain, notice, problemNotice, waiting } from "../base/controls.js";
import { fill, freshId, h } from "../base/element.js";
import { bytes, moment, splitPath, when } from "../base/format.js";
import { t, tn } from "../base/i18n.js";
import { difference } from "./difference.js";
import { asPicture, asText, fetchPreview } from "./preview.js";

const COMPARED_BYTES = 512 * 1024;
const ROWS_SHOWN_MAX = 2_000;
const AROUND = 3; // lines of what is the same, shown about what differs

/** Lists the versions of a file; `chosen(version)` hears which one is wanted. */
export class Versions {
  constructor({ chosen }) {
    this.chosen = chosen;
    this.element = h("div", { class: "stack tight" });
  }

  async show(path, snapshot) {
    const wanted = (this.wanted = Symbol(path));
    fill(this.element, waiting(1));
    try {
      const found = await call("versions", { path });
      if (wanted === this.wanted) fill(this.element, this.#list(found, path, snapshot));
    } catch (problem) {
      if (wanted === this.wanted) fill(this.element, h("p", { class: "soft small" }, explain(problem)[0]));
    }
  }

  clear() {
    this.wanted = null;
    fill(this.element);
  }

  #list(found, path, snapshot) {
    if (found.length < 2) return h("p", { class: "soft small" }, found.length ? t("It was the same in every night that has it.") : "");
    const current = found.find((one) => one.snapshot === snapshot.id) ?? found.find((one) => one.since_ns <= snapshot.time_ns) ?? found[0];
    const other = found.find((one) => one !== current);
    return [
      h("div", { class: "row apart" }, h("h3", {}, tn("one version", "{n} versions", found.length)), h("button", { class: "button quiet", type: "button", onclick: () => new SideBySide(path, found).open(other, current) }, t("Compare"))),
      h("ul", { class: "versions" }, found.map((one) => h("li", {}, h("button", { type: "button", class: "version", "aria-current": String(one === current), onclick: () => this.chosen(one) }, h("span", { class: "grow" }, when(one.time_ns)), h("span", { class: "soft small numbers" }, bytes(one.size)))))),
    ];
  }
}

/** Two versions beside each other: what differs in a text, or two pictures. */
class SideBySide {
  constructor(path, versions) {
    this.path = path;
    this.versions = versions;
    const id = freshId("compare");
    const select = (label) => h("select", { class: "input", "aria-label": label, onchange: () => this.#compare() }, versions.map((one, at) => h("option", { value: at }, `${when(one.time_ns)} · ${bytes(one.size)}`)));
    this.left = select(t("On the left"));
    this.right = select(t("On the right"));
    this.body = h("div", { class: "compared" });
    this.dialog = h(
      "dialog",
      { class: "ask wide", "aria-labelledby": id },
      h("h2", { id, class: "clip" }, splitPath(path).name),
      h("div", { class: "compare-head" }, this.left, this.right),
      this.body,
      h("div", { class: "row" }, h("button", { class: "button", type: "button", onclick: () => this.dialog.close() }, t("Close"))),
    );
    this.dialog.addEventListener("close", () => this.dialog.remove());
  }

  open(left, right) {
    const older = left.time_ns < right.time_ns ? [left, right] : [right, left];
    [this.left.value, this.right.value] = older.map((one) => this.versions.indexOf(one));
    document.body.append(this.dialog);
    this.dialog.showModal();
    this.#compare();
  }

  async #compare() {
    const sides = [this.left, this.right].map((select) => this.versions[Number(select.value)]);
    const wanted = (this.wanted = Symbol("compare"));
    fill(this.body, waiting(5));
    try {
      const found = await Promise.all(sides.map((one) => fetchPreview(one.snapshot, { path: this.path }, COMPARED_BYTES)));
      if (wanted === this.wanted) fill(this.body, this.#shown(found, sides));
    } catch (problem) {
      if (wanted === this.wanted) fill(this.body, problemNotice(problem, () => this.#compare()));
    }
  }

  #shown(found, sides) {
    const { name } = splitPath(this.path);
    if (found.every(({ kind }) => kind === "image")) {
      return h("div", { class: "pair" }, found.map((one, at) => h("figure", {}, asPicture(one, name), h("figcaption", { class: "soft small" }, moment(sides[at].mtime_ns)))));
    }
    if (found.every(({ kind }) => kind === "text")) return texts(found);
    return h("dl", { class: "pair facts-pair" }, sides.map((one) => h("div", { class: "soft" }, h("p", {}, bytes(one.size)), h("p", {}, t("changed {when}", { when: moment(one.mtime_ns) })))));
  }
}

function texts(found) {
  const rows = difference(...found.map(asText));
  const cut = found.some(({ whole }) => !whole);
  const lines = near(rows);
  if (!lines.some((line) => line && !line.same)) return [notice("info", cut ? t("The beginning is the same in both.") : t("Both say the same.")), null];
  const cell = (text, kind) => h("td", { class: text === null ? "void" : kind }, kind && text !== null ? h("span", { class: "unseen" }, kind === "gone" ? t("removed: ") : t("added: ")) : null, text ?? "");
  return [
    cut ? notice("info", t("Only the beginning of this long text is compared.")) : null,
    h("div", { class: "table-box" }, h("table", { class: "difference mono" }, h("tbody", {}, lines.slice(0, ROWS_SHOWN_MAX).map((line) =>
      line === null ? h("tr", { class: "gap" }, h("td", { colspan: 2 }, "⋯")) : h("tr", {}, cell(line.left, line.same ? "" : "gone"), cell(line.right, line.same ? "" : "new")),
    )))),
  ];
}

/** Rows that differ with a few about them; null where some are left out. */
function near(rows) {
  const kept = new Set();
  rows.forEach((row, at) => {
    if (!row.same) for (let one = at - AROUND; one <= at + AROUND; one += 1) kept.add(one);
  });
  return rows.flatMap((row, at) => (kept.has(at) ? [row] : kept.has(at - 1) || at === 0 ? [null] : []));
}
