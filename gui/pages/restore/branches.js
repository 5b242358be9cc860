// The rows of a tree of which only what is looked at is known.
//
// A branch is one open folder: how many entries it has, the pages of them that were fetched, and
// the branches open inside it. Rows are counted, never listed, so that a folder of 100,000 files
// costs what is on the screen. `load(path, offset)` gives a page: { total, offset, entries }.

export const PAGE = 200;

export class Branch {
  constructor(path, level, parent = null, index = -1) {
    Object.assign(this, { path, level, parent, index });
    this.total = 0;
    this.pages = new Map(); // number -> entries, or null while they are fetched
    this.open = new Map(); // index -> Branch
  }

  /** Rows of this branch and of all that is open in it. */
  get rows() {
    let rows = this.total;
    for (const branch of this.open.values()) rows += branch.rows;
    return rows;
  }

  /** The row of an entry, counted from this branch's first. */
  rowOf(index) {
    let row = index;
    for (const [at, branch] of this.open) if (at < index) row += branch.rows;
    return row;
  }

  /** What is in a row: { branch, index }. */
  at(row) {
    let before = 0; // rows of branches that are open above
    for (const [index, branch] of [...this.open].sort(([one], [other]) => one - other)) {
      const first = index + 1 + before;
      if (row < first) break;
      if (row < first + branch.rows) return branch.at(row - first);
      before += branch.rows;
    }
    return { branch: this, index: row - before };
  }

  entry(index) {
    return this.pages.get(Math.floor(index / PAGE))?.[index % PAGE] ?? null;
  }
}

export class Branches {
  /** `changed()` is called when rows came; `failed(problem)` when they cannot be had. */
  constructor({ load, changed, failed }) {
    Object.assign(this, { load, changed, failed });
    this.wanted = new Set(); // paths of folders that are open, whatever night is shown
    this.root = null;
  }

  /** Begin at a folder; what was open stays open. Throws what `load` throws. */
  async begin(path) {
    const root = new Branch(path, 1);
    const asked = (this.asked = Symbol("begin"));
    const page = await this.load(path, 0);
    if (asked !== this.asked) return;
    this.root = root;
    this.#take(root, page);
    this.changed();
  }

  get rows() {
    return this.root?.rows ?? 0;
  }

  at(row) {
    return this.root.at(row);
  }

  /** The row of an entry, from the top. */
  rowOf(branch, index) {
    let row = branch.rowOf(index);
    for (let one = branch; one.parent; one = one.parent) row += one.parent.rowOf(one.index) + 1;
    return row;
  }

  isOpen(branch, index) {
    return branch.open.has(index);
  }

  async expand(branch, index) {
    const entry = branch.entry(index);
    if (!entry || entry.kind !== "folder" || branch.open.has(index)) return;
    this.wanted.add(entry.path);
    const inner = new Branch(entry.path, branch.level + 1, branch, index);
    branch.open.set(index, inner);
    await this.#fetch(inner, 0);
  }

  collapse(branch, index) {
    this.wanted.delete(branch.open.get(index)?.path);
    branch.open.delete(index);
    this.changed();
  }

  /** Fetch the page of an entry that is about to be seen. */
  need(branch, index) {
    const page = Math.floor(index / PAGE);
    if (branch.pages.has(page)) return;
    branch.pages.set(page, null);
    this.#fetch(branch, page);
  }

  async #fetch(branch, page) {
    branch.pages.set(page, null);
    const root = this.root;
    try {
      const answer = await this.load(branch.path, page * PAGE);
      if (root !== this.root) return;
      this.#take(branch, answer);
      this.changed();
    } catch (problem) {
      branch.pages.delete(page);
      if (!branch.pages.size) branch.parent?.open.delete(branch.index);
      if (root === this.root) this.failed(problem);
    }
  }

  #take(branch, { total, offset, entries }) {
    branch.total = total;
    branch.pages.set(Math.floor(offset / PAGE), entries);
    entries.forEach((entry, at) => {
      if (entry.kind === "folder" && this.wanted.has(entry.path)) this.expand(branch, offset + at);
    });
  }
}
