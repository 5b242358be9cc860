// Search through all nights: names as they are found, each version once.

import { cancel, run } from "../base/api.js";
import { explain, notice } from "../base/controls.js";
import { fill, freshId, h } from "../base/element.js";
import { bytes, moment, splitPath } from "../base/format.js";
import { t, tn } from "../base/i18n.js";
import { icon } from "../base/icons.js";

const SHOWN_MAX = 300;

export class Search {
  /** `found(entry)` hears what was picked (it has `snapshot`); `active(yes)` whether results are shown. */
  constructor({ picked, active }) {
    this.picked = picked;
    this.active = active;
    const id = freshId("search");
    this.input = h("input", { class: "input", id, type: "search", placeholder: t("Find a file by its name"), autocomplete: "off", spellcheck: "false", oninput: () => { if (!this.input.value) this.clear(); } });
    this.form = h("form", { class: "search", role: "search", onsubmit: (event) => { event.preventDefault(); this.#find(); } }, h("label", { class: "unseen", for: id }, t("Find a file by its name")), this.input, h("button", { class: "button icon", type: "submit", "aria-label": t("Search") }, icon("search")));
    this.said = h("p", { class: "soft small", role: "status" });
    this.list = h("ul", { class: "found" });
    this.results = h("div", { class: "stack tight", hidden: true }, this.said, this.list);
  }

  clear() {
    this.#stop();
    this.results.hidden = true;
    this.active(false);
  }

  #stop() {
    this.asked = null;
    if (this.job) cancel(this.job).catch(() => {}); // ended by itself meanwhile
    this.job = null;
  }

  async #find() {
    const pattern = this.input.value.trim();
    if (!pattern) return this.clear();
    this.#stop();
    const asked = (this.asked = Symbol(pattern));
    let n = 0;
    fill(this.list);
    this.said.textContent = t("Looking through all nights…");
    this.results.hidden = false;
    this.active(true);
    try {
      await run("find", { pattern }, (event, job) => {
        if (asked !== this.asked) { cancel(job).catch(() => {}); return; }
        this.job = job;
        if (event.event !== "found") return;
        n += 1;
        if (n <= SHOWN_MAX) this.list.append(this.#line(event));
      });
      if (asked !== this.asked) return;
      this.said.textContent = n > SHOWN_MAX ? t("{n} found; here are the first {shown}.", { n, shown: SHOWN_MAX }) : n ? tn("One found.", "{n} found.", n) : t("Nothing of that name was ever backed up.");
    } catch (problem) {
      if (asked === this.asked) fill(this.said, notice("bad", ...explain(problem)));
    }
    return undefined;
  }

  #line(entry) {
    const { above } = splitPath(entry.path);
    return h("li", {}, h("button", { type: "button", class: "hit", onclick: () => this.picked(entry) }, icon(entry.kind === "folder" ? "folder" : "file"), h("span", { class: "grow hit-words" }, h("span", { class: "clip" }, entry.name), h("span", { class: "soft small clip" }, above)), h("span", { class: "soft small numbers hit-facts" }, entry.kind === "file" ? `${bytes(entry.size)} · ` : "", moment(entry.mtime_ns))));
  }
}
