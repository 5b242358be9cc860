// The tree of a night as a WAI-ARIA treegrid. Only rows in sight are elements.
//
// Arrows move, right and left open and close, Home and End go to the ends, letters go to the next
// name that begins so, Enter opens. The focus stays on the grid and `aria-activedescendant` says
// which row is meant, since rows come and go while one scrolls.

import { fill, freshId, h, setStyle } from "../base/element.js";
import { bytes, date } from "../base/format.js";
import { locale, t } from "../base/i18n.js";
import { icon } from "../base/icons.js";
import { Branches } from "./branches.js";

const ROW_PX = 42;
const SPARE_ROWS = 8; // above and below what is in sight
const TYPING_MS = 900; // letters within that time belong to one name

export class Tree {
  /** `load(path, offset, begins)` gives pages, `chosen(entry)` hears what is selected. */
  constructor({ load, chosen, failed }) {
    this.load = load;
    this.chosen = chosen;
    this.stem = freshId("row");
    this.branches = new Branches({ load, changed: () => this.draw(), failed });
    this.active = 0;
    this.selected = null; // a path
    this.typed = "";
    this.space = h("div", { class: "tree-space", role: "rowgroup" });
    const heads = [t("Name"), t("Size"), t("Changed")].map((text, at) => h("span", { role: "columnheader", class: `tree-${["name", "size", "time"][at]}` }, text));
    this.head = h("div", { class: "tree-head", role: "rowgroup" }, h("div", { role: "row", class: "tree-row", "aria-rowindex": 1 }, heads));
    this.element = h("div", { class: "tree", role: "treegrid", tabindex: 0, "aria-label": t("Files of that night"), "aria-colcount": 3, onkeydown: (event) => this.#key(event), onclick: (event) => this.#click(event) }, this.head, this.space);
    this.element.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    this.sized = new ResizeObserver(() => this.draw());
    this.sized.observe(this.element);
  }

  /** Show a folder as the top of the tree; with `select`, that path is chosen when it is there. */
  async show(path, select = null) {
    await this.branches.begin(path);
    this.active = 0;
    this.element.scrollTop = 0;
    this.selected = select;
    if (select) await this.#reveal(path, select);
    this.draw();
  }

  async #reveal(path, select) {
    const name = select.slice(path.length).replace(/^\//, "");
    const { at } = await this.load(path, 0, name);
    if (at === null || at === undefined) return;
    this.branches.need(this.branches.root, at);
    this.#go(this.branches.rowOf(this.branches.root, at));
  }

  close() {
    this.sized.disconnect();
  }

  draw() {
    const rows = this.branches.rows;
    this.element.setAttribute("aria-rowcount", rows + 1);
    setStyle(this.space, { height: `${rows * ROW_PX}px` });
    const first = Math.max(0, Math.floor(this.element.scrollTop / ROW_PX) - SPARE_ROWS);
    const last = Math.min(rows, Math.ceil((this.element.scrollTop + this.element.clientHeight) / ROW_PX) + SPARE_ROWS);
    if (this.active >= rows) this.active = Math.max(0, rows - 1);
    const shown = [];
    for (let row = first; row < last; row += 1) shown.push(this.#row(row));
    if (rows && (this.active < first || this.active >= last)) shown.push(this.#row(this.active));
    fill(this.space, shown);
    if (rows) this.element.setAttribute("aria-activedescendant", `${this.stem}-${this.active}`);
    else this.element.removeAttribute("aria-activedescendant");
  }

  #scrolled() {
    this.frame ??= requestAnimationFrame(() => { this.frame = null; this.draw(); });
  }

  #row(row) {
    const { branch, index } = this.branches.at(row);
    const entry = branch.entry(index);
    if (!entry) this.branches.need(branch, index);
    const folder = entry?.kind === "folder";
    const open = this.branches.isOpen(branch, index);
    return h(
      "div",
      {
        role: "row", id: `${this.stem}-${row}`, class: row === this.active ? "tree-row active" : "tree-row",
        "aria-rowindex": row + 2, "aria-level": branch.level, "aria-posinset": index + 1, "aria-setsize": branch.total,
        "aria-expanded": folder ? String(open) : null, "aria-selected": String(entry?.path === this.selected),
        "data-row": row, style: { top: `${row * ROW_PX}px`, "--level": branch.level - 1 },
      },
      h("span", { role: "gridcell", class: "tree-name" }, folder ? h("span", { class: open ? "twisty open" : "twisty", "data-twisty": true }, icon("forward")) : h("span", { class: "twisty" }), icon(picture(entry)), entry ? h("span", { class: "clip" }, entry.name) : h("span", { class: "soft" }, "…")),
      h("span", { role: "gridcell", class: "tree-size soft small numbers" }, entry && entry.kind === "file" ? bytes(entry.size) : ""),
      h("span", { role: "gridcell", class: "tree-time soft small numbers" }, entry?.mtime_ns ? shortDay(entry.mtime_ns) : ""),
    );
  }

  #click(event) {
    const element = event.target.closest("[data-row]");
    if (!element) return;
    this.active = Number(element.dataset.row);
    const { branch, index } = this.branches.at(this.active);
    const again = branch.entry(index)?.path === this.selected;
    this.#choose();
    if (event.target.closest("[data-twisty]") || again || branch.entry(index)?.kind === "folder") this.#toggle(branch, index);
  }

  #choose() {
    const { branch, index } = this.branches.at(this.active);
    const entry = branch.entry(index);
    if (!entry) return;
    this.selected = entry.path;
    this.draw();
    this.chosen(entry);
  }

  #toggle(branch, index) {
    if (this.branches.isOpen(branch, index)) this.branches.collapse(branch, index);
    else this.branches.expand(branch, index);
  }

  #go(row) {
    this.active = Math.max(0, Math.min(this.branches.rows - 1, row));
    const top = this.active * ROW_PX;
    const head = this.head.offsetHeight;
    const { scrollTop, clientHeight } = this.element;
    if (top < scrollTop) this.element.scrollTop = top;
    else if (top + ROW_PX + head > scrollTop + clientHeight) this.element.scrollTop = top + ROW_PX + head - clientHeight;
    this.draw();
  }

  #key(event) {
    if (!this.branches.rows || event.ctrlKey || event.metaKey || event.altKey) return;
    const { branch, index } = this.branches.at(this.active);
    const page = Math.max(1, Math.floor(this.element.clientHeight / ROW_PX) - 2);
    const acts = {
      ArrowDown: () => this.#go(this.active + 1),
      ArrowUp: () => this.#go(this.active - 1),
      PageDown: () => this.#go(this.active + page),
      PageUp: () => this.#go(this.active - page),
      Home: () => this.#go(0),
      End: () => this.#go(this.branches.rows - 1),
      ArrowRight: () => {
        if (this.branches.isOpen(branch, index)) this.#go(this.active + 1);
        else this.branches.expand(branch, index);
      },
      ArrowLeft: () => {
        if (this.branches.isOpen(branch, index)) this.branches.collapse(branch, index);
        else if (branch.parent) this.#go(this.branches.rowOf(branch.parent, branch.index));
      },
      Enter: () => { this.#choose(); if (branch.entry(index)?.kind === "folder") this.#toggle(branch, index); },
      " ": () => (this.typed ? this.#type(" ") : this.#choose()),
    };
    const act = acts[event.key] ?? (event.key.length === 1 ? () => this.#type(event.key) : null);
    if (!act) return;
    event.preventDefault();
    act();
  }

  /** Go to the next name of the same folder that begins with what is being typed. */
  async #type(letter) {
    clearTimeout(this.forget);
    this.forget = setTimeout(() => { this.typed = ""; }, TYPING_MS);
    const fresh = !this.typed;
    this.typed += letter;
    const { branch, index } = this.branches.at(this.active);
    const wanted = this.typed;
    const { at } = await this.load(branch.path, index + (fresh ? 1 : 0), wanted);
    if (at !== null && at !== undefined && wanted === this.typed) this.#go(this.branches.rowOf(branch, at));
  }
}

const shortDay = (ns) => new Intl.DateTimeFormat(locale, { dateStyle: "medium" }).format(date(ns));

const PICTURES = /\.(png|jpe?g|gif|webp|avif|bmp|heic|tiff?|svg)$/i;
function picture(entry) {
  if (!entry || entry.kind === "file") return entry && PICTURES.test(entry.name) ? "image" : "file";
  return entry.kind === "folder" ? "folder" : "forward";
}
