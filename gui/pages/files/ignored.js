// What need not be backed up: caches, build folders and the like as switches, with what they would
// spare. Own patterns are behind a fold, for those who know what they are.

import { call } from "../base/api.js";
import { explain, field, say, waiting } from "../base/controls.js";
import { fill, freshId, h } from "../base/element.js";
import { bytes, files, splitPath } from "../base/format.js";
import { t } from "../base/i18n.js";
import { icon } from "../base/icons.js";

const topics = () => ({
  caches: [t("Caches"), t("Programs fill them again by themselves.")],
  packages: [t("Downloaded packages"), t("What a project's tools fetch again.")],
  builds: [t("Build results"), t("Made anew from what you wrote.")],
  thumbnails: [t("Thumbnails"), t("Small previews that file managers draw again.")],
  trash: [t("The trash"), t("What you threw away already.")],
  unfinished: [t("Unfinished downloads"), t("Pieces that no program can open yet.")],
});

export class WantedOut {
  #patterns = [];
  #waiting = Promise.resolve();

  constructor() {
    this.switches = h("ul", { class: "switches" }, h("li", {}, waiting(2)));
    this.own = h("ul", { class: "patterns" });
    this.input = h("input", { class: "input mono", autocomplete: "off", spellcheck: "false", placeholder: "*.iso" });
    this.field = field(t("A name, or a path"), this.input, t("*.iso leaves out every file with that ending, drafts/ every folder of that name."));
    const form = h("form", { class: "row own-form", onsubmit: (event) => { event.preventDefault(); this.#addOwn(); } }, this.field, h("button", { class: "button", type: "submit" }, t("Leave it out")));
    this.fold = h("details", {}, h("summary", {}, t("Something else")), h("div", { class: "stack" }, this.own, form));
    this.element = h(
      "section",
      { class: "card stack", "aria-labelledby": "wanted-out" },
      h("div", {}, h("h2", { id: "wanted-out" }, t("Not worth a backup?")), h("p", { class: "soft" }, t("You would hardly miss these, and without them your space lasts longer. Earlier nights keep what they have."))),
      this.switches,
      this.fold,
    );
  }

  async load() {
    try {
      const [{ patterns }, found] = await Promise.all([call("ignore"), call("suggest_ignore")]);
      this.#patterns = patterns;
      this.suggestions = found.suggestions;
      this.whole = found.whole;
      this.#draw();
    } catch (problem) {
      fill(this.switches, h("li", { class: "soft" }, explain(problem)[0]));
    }
  }

  #draw() {
    const lines = this.suggestions.map((one) => this.#switch(one));
    fill(this.switches, lines.length ? lines : h("li", { class: "soft none" }, t("Nothing of that sort lies in your folders.")));
    const offered = new Set(this.suggestions.flatMap((one) => one.patterns));
    const own = this.#patterns.filter((pattern) => !offered.has(pattern));
    fill(this.own, own.map((pattern) => h("li", { class: "pill" }, h("span", { class: "mono" }, pattern), h("button", { type: "button", class: "drop", "aria-label": t("Back up {pattern} again", { pattern }), onclick: () => this.#without([pattern]) }, icon("close")))));
    this.own.hidden = !own.length;
    if (own.length) this.fold.open = true;
  }

  #switch(one) {
    const id = freshId("out");
    const [title, why] = topics()[one.topic] ?? [splitPath(one.patterns[0]).name, t("It says itself that it is a cache.")];
    const toggle = h("input", { type: "checkbox", role: "switch", class: "switch", id, checked: one.on, "aria-describedby": `${id}-why`, onchange: () => {
      one.on = toggle.checked;
      if (toggle.checked) this.#save([...this.#patterns, ...one.patterns]);
      else this.#without(one.patterns);
    } });
    const spared = one.files ? t("{size} or more in {files}", { size: bytes(one.bytes), files: files(one.files) }) : "";
    const exact = one.files ? `${bytes(one.bytes)} · ${files(one.files)}` : "";
    return h(
      "li",
      {},
      h("label", { for: id, class: "grow", title: one.places.join("\n") }, h("span", { class: "switch-name" }, title), h("span", { class: "soft small", id: `${id}-why` }, why)),
      h("span", { class: "soft small numbers switch-size" }, this.whole ? exact : spared),
      toggle,
    );
  }

  #addOwn() {
    const pattern = this.input.value.trim();
    this.field.wrong("");
    if (pattern) this.#save([...this.#patterns, pattern]).then((done) => { if (done) this.input.value = ""; });
  }

  #without(patterns) {
    return this.#save(this.#patterns.filter((one) => !patterns.includes(one)));
  }

  /** One after the other, so that two quick switches do not undo each other. */
  #save(patterns) {
    this.#patterns = [...new Set(patterns)];
    this.#waiting = this.#waiting.then(async () => {
      try {
        this.#patterns = (await call("set_ignore", { patterns: this.#patterns })).patterns;
        say(t("From the next night on."));
        return true;
      } catch (problem) {
        this.field.wrong(explain(problem).join(" "));
        this.fold.open = true;
        this.#patterns = (await call("ignore")).patterns;
        return false;
      } finally {
        this.#draw();
      }
    });
    return this.#waiting;
  }
}
