// Restore: pick a night, browse or search, look, compare, bring back.
//
// The address is #/restore/<night>/<folder>/<name of what is chosen in it>; the night may be `latest`,
// and what is not said is left to the page.

import { call, live } from "../base/api.js";
import { birdPicture } from "../base/bird.js";
import { empty, explain, notice, problemNotice, waiting } from "../base/controls.js";
import { fill, h, Page } from "../base/element.js";
import { bytes, moment, splitPath } from "../base/format.js";
import { t } from "../base/i18n.js";
import { icon } from "../base/icons.js";
import { link } from "../base/router.js";
import { Bringing, Wish } from "./bringing.js";
import { Preview } from "./preview.js";
import { Search } from "./search.js";
import { Timeline } from "./timeline.js";
import { Tree } from "./tree.js";
import { Versions } from "./versions.js";

const NAMES_ALIKE_MAX = 50; // names that differ in case alone, or begin alike

class Restore extends Page {
  open(rest) {
    this.wish = wishOf(rest);
    this.timeline = new Timeline({ chosen: (id) => this.#night(id) });
    this.tree = new Tree({
      load: (path, offset, begins = "") => call("tree", { snapshot: this.night.id, path, offset, begins }),
      chosen: (entry) => this.#chosen(entry),
      failed: (problem) => this.#said(notice("warn", ...explain(problem))),
    });
    this.follow(() => this.tree.close());
    this.search = new Search({ picked: (entry) => this.#picked(entry), active: (yes) => { this.browse.hidden = yes; } });
    this.preview = new Preview();
    this.versions = new Versions({ chosen: (version) => this.#night(version.snapshot) });
    this.bringing = new Bringing();
    this.way = h("nav", { class: "way", "aria-label": t("Where you are") });
    this.notes = h("div", { "aria-live": "polite" });
    this.browse = h("div", { class: "stack tight" }, this.way, this.notes, this.tree.element);
    this.about = h("section", { class: "card about stack", "aria-label": t("The chosen file") });
    this.all = h("button", { class: "button", type: "button", onclick: () => this.#bring([], false) }, icon("restore"), t("Restore everything"));
    this.body = h("div", { class: "stack" }, waiting(3));
    fill(this, h("div", { class: "page-head" }, h("div", {}, h("h1", {}, t("Restore")), h("p", {}, t("Pick a night, then a file or a folder."))), this.all), this.body);
    this.all.hidden = true;
    this.follow(live.on(({ status }) => {
      const newest = status?.last_snapshot?.id ?? "";
      if (newest !== this.newest) this.#nights();
      this.newest = newest;
    }));
  }

  moved(rest) {
    this.wish = wishOf(rest);
    if (this.nights?.length) this.#show();
  }

  async #nights() {
    try {
      this.nights = await call("snapshots");
    } catch (problem) {
      if (this.shown) fill(this.body, problemNotice(problem, () => this.#nights()));
      return;
    }
    if (!this.shown) return;
    this.all.hidden = !this.nights.length;
    if (!this.nights.length) {
      fill(this.body, h("div", { class: "card" }, empty(birdPicture(), t("There is no night yet"), t("After the first backup you find your files here, as they were each night."), h("a", { class: "button", href: link("home") }, t("Home")))));
      return;
    }
    if (!this.body.contains(this.about)) {
      const left = h("section", { class: "card stack tight files-card", "aria-label": t("Files") }, this.search.form, this.search.results, this.browse);
      fill(this.body, this.timeline.element, this.bringing.element, h("div", { class: "restore-grid" }, left, this.about));
      this.#nothingChosen();
    }
    await this.#show();
  }

  /** Show the night and the path that the address names. */
  async #show() {
    const { night, folder, name } = this.wish;
    this.night = this.nights.find((one) => one.id === night) ?? this.nights.at(-1);
    this.timeline.show(this.nights, this.night.id);
    fill(this.notes);
    if (folder) await this.#place(folder, name);
    else await this.#top();
  }

  /** The folder that all marked ones are in, or the only one that is marked. */
  async #top() {
    try {
      let path = "";
      for (;;) {
        const { total, entries } = await call("tree", { snapshot: this.night.id, path, count: 2 });
        if (total !== 1 || entries[0].kind !== "folder") break;
        path = entries[0].path;
        if (entries[0].mtime_ns) break; // itself in the backup: the only folder that is marked
      }
      this.top = path;
      await this.#folder(path);
    } catch (problem) {
      this.#said(problemNotice(problem, () => this.#show()));
    }
  }

  /** A folder, and what is chosen in it. */
  async #place(folder, name) {
    try {
      await this.#folder(folder, name ? below(folder, name) : null);
      if (name) await this.#choose(folder, name);
    } catch (problem) {
      this.#said(notice("info", t("«{name}» was not there that night.", { name: splitPath(folder).name }), "", h("p", { class: "soft small" }, explain(problem)[1])));
      this.#nothingChosen();
    }
  }

  async #folder(path, select = null) {
    fill(this.way, this.#crumbs(path));
    await this.tree.show(path, select);
    fill(this.notes);
  }

  /** Choose what is called so in a folder of this night. */
  async #choose(folder, name) {
    const page = (more) => call("tree", { snapshot: this.night.id, path: folder, ...more });
    const { at } = await page({ begins: name, count: 1 });
    const { entries } = at === null ? { entries: [] } : await page({ offset: at, count: NAMES_ALIKE_MAX });
    const entry = entries.find((one) => one.name === name);
    if (entry) this.#chosen(entry);
    else this.#nothingChosen(t("«{name}» was not there that night.", { name }));
  }

  #crumbs(path) {
    const parts = path.split("/").filter(Boolean);
    const crumb = (at) => {
      const here = `/${parts.slice(0, at).join("/")}`;
      const label = at ? parts[at - 1] : t("This computer");
      return at === parts.length ? h("span", { "aria-current": "location" }, label) : h("a", { href: link("restore", this.night.id, here) }, label);
    };
    return h("ol", {}, [...parts.keys(), parts.length].map((at) => h("li", {}, crumb(at))));
  }

  #said(words) {
    fill(this.notes, words);
  }

  // --- choosing -------------------------------------------------------------------------------

  /** Show another night, at the same place and the same file as it was then. */
  async #night(id) {
    const chosen = this.entry?.path;
    this.wish = { ...this.wish, night: id };
    history.replaceState(null, "", link("restore", id, ...[this.wish.folder, this.wish.name].filter(Boolean)));
    await this.#show();
    if (!chosen) return;
    const { name, above } = splitPath(chosen);
    await this.#choose(above, name).catch(() => this.#nothingChosen(t("«{name}» was not there that night.", { name })));
  }

  #picked(entry) {
    this.search.input.value = "";
    this.search.clear();
    const { name, above } = splitPath(entry.path);
    location.hash = entry.kind === "folder" ? link("restore", entry.snapshot, entry.path) : link("restore", entry.snapshot, above, name);
  }

  #nothingChosen(text = t("Choose a file to look at it, and to see its versions.")) {
    this.entry = null;
    this.versions.clear();
    fill(this.about, h("p", { class: "soft none" }, text));
  }

  #chosen(entry) {
    this.entry = entry;
    const facts = entry.kind === "file" ? `${bytes(entry.size)} · ${t("changed {when}", { when: moment(entry.mtime_ns) })}` : entry.kind === "link" ? t("points to {target}", { target: entry.target }) : t("A folder");
    const folder = entry.kind === "folder";
    fill(
      this.about,
      h("div", {}, h("h2", { class: "about-name" }, entry.name), h("p", { class: "soft small numbers" }, facts)),
      h("div", { class: "row" }, h("button", { class: "button primary", type: "button", onclick: () => this.#bring([entry.path], !folder) }, icon("restore"), t("Restore")), folder ? h("a", { class: "button", href: link("restore", this.night.id, entry.path) }, t("Only this folder")) : null),
      entry.kind === "file" ? [this.preview.element, this.versions.element] : null,
    );
    if (entry.kind === "file") {
      this.preview.show(this.night.id, entry);
      this.versions.show(entry.path, this.night);
    }
  }

  async #bring(paths, oneFile) {
    const night = this.night;
    const wish = await new Wish(night, paths, { oneFile }).ask();
    if (wish && this.shown) await this.bringing.start(night, paths, wish);
  }
}

const wishOf = ([night, folder, name]) => ({ night: night ?? "latest", folder: folder ?? null, name: name ?? null });
const below = (folder, name) => (folder === "/" ? `/${name}` : `${folder}/${name}`);

customElements.define("covey-restore", Restore);
