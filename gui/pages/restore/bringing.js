// Bringing files back: where to, what may be replaced, what that would do, and then doing it.

import { cancel, run } from "../base/api.js";
import { bar, busy, explain, notice, setBar, waiting } from "../base/controls.js";
import { fill, freshId, h } from "../base/element.js";
import { bytes, count, duration, files, names, splitPath, when } from "../base/format.js";
import { t, tn } from "../base/i18n.js";
import { told } from "../base/told.js";
import { chooseFolder } from "../files/chooser.js";

const replacing = () => [
  ["older", t("Replace only what is older")],
  ["always", t("Replace whatever differs")],
  ["never", t("Replace nothing, only bring back what is missing")],
];

/** Asks; gives { to, overwrite } or null. `paths` empty is the whole night. */
export class Wish {
  /** Who chose one file means it; among many, what is newer than that night stays. */
  constructor(snapshot, paths, { oneFile }) {
    Object.assign(this, { snapshot, paths, to: "/", overwrite: oneFile ? "always" : "older" });
    const [id, place, rule] = [freshId("wish"), freshId("place"), freshId("rule")];
    const radio = (name, value, label, checked, change) => h("label", { class: "choice" }, h("input", { type: "radio", name, value, checked, onchange: change }), label);
    this.other = h("span", {}, t("Into another folder…"));
    this.elsewhere = h("input", { type: "radio", name: place, value: "other" });
    this.elsewhere.addEventListener("click", () => this.#choose());
    this.here = h("input", { type: "radio", name: place, value: "here", checked: true, onchange: () => this.#put("/") });
    this.would = h("div", { class: "would", "aria-live": "polite" });
    this.go = h("button", { class: "button primary", type: "button" }, t("Restore"));
    this.no = h("button", { class: "button", type: "button" }, t("Cancel"));
    const what = paths.length === 1 ? t("Restore {name}", { name: splitPath(paths[0]).name }) : t("Restore everything");
    this.dialog = h(
      "dialog",
      { class: "ask wish", "aria-labelledby": id },
      h("h2", { id }, what),
      h("p", { class: "soft" }, t("As it was {when}.", { when: when(snapshot.time_ns) })),
      h("fieldset", {}, h("legend", {}, t("Where to?")), h("label", { class: "choice" }, this.here, t("Back to where it was")), h("label", { class: "choice" }, this.elsewhere, this.other)),
      h("fieldset", {}, h("legend", {}, t("If something is there already")), replacing().map(([value, label]) => radio(rule, value, label, value === this.overwrite, () => { this.overwrite = value; this.#try(); }))),
      this.would,
      h("div", { class: "row" }, this.no, this.go),
    );
  }

  ask() {
    return new Promise((resolve) => {
      const end = async (value) => {
        this.go.disabled = this.no.disabled = true;
        await this.#endLook();
        resolve(value);
        this.dialog.close();
      };
      this.go.addEventListener("click", () => end({ to: this.to, overwrite: this.overwrite }));
      this.no.addEventListener("click", () => end(null));
      this.dialog.addEventListener("close", () => { this.#endLook(); resolve(null); this.dialog.remove(); });
      document.body.append(this.dialog);
      this.dialog.showModal();
      this.#try();
    });
  }

  async #choose() {
    const path = await busy(this.go, () => chooseFolder({ title: t("Restore into which folder?"), yes: t("Into {name}") }));
    if (path) {
      this.other.textContent = t("Into {folder}", { folder: path });
      this.#put(path);
    } else if (this.to === "/") this.here.checked = true;
  }

  #put(to) {
    this.to = to;
    this.#try();
  }

  /** See out the look that is under way: the agent does one such thing at a time. */
  async #endLook() {
    this.trying = null;
    if (this.job) await cancel(this.job).catch(() => {});
    await this.look?.catch(() => {});
  }

  /** Tell what would be done, without doing it. */
  async #try() {
    fill(this.would, waiting(2));
    const ended = this.#endLook();
    const trying = (this.trying = Symbol("try"));
    await ended;
    if (trying !== this.trying) return;
    try {
      const given = { snapshot: this.snapshot.id, to: this.to, paths: this.paths, overwrite: this.overwrite, dry_run: true };
      this.look = run("restore", given, (_, job) => {
        this.job = job;
        if (trying !== this.trying) cancel(job).catch(() => {});
      });
      const event = await this.look;
      if (trying === this.trying) fill(this.would, wouldDo(event));
    } catch (problem) {
      if (trying === this.trying) fill(this.would, notice("warn", ...explain(problem)));
    }
    this.job = null;
  }
}

function wouldDo({ ok, summary, message, next_step }) {
  if (!ok) return notice("warn", told(message), told(next_step));
  const { files: all, same, replaced, kept, to_fetch_bytes } = summary;
  const fresh = all - same - replaced;
  const lines = [
    fresh ? tn("One file comes back.", "{n} files come back.", fresh) : null,
    same ? tn("One is there already, just as it was.", "{n} are there already, just as they were.", same) : null,
    kept ? tn("One stays as it is now.", "{n} stay as they are now.", kept) : null,
  ].filter(Boolean);
  return [
    replaced ? notice("warn", tn("One file that is there now is replaced.", "{n} files that are there now are replaced.", replaced), t("What they have now is lost unless a later night has it.")) : null,
    h("p", {}, lines.join(" ") || (replaced ? "" : t("Nothing has to be done."))),
    h("p", { class: "soft small" }, t("About {size} comes from your friends.", { size: bytes(to_fetch_bytes) })),
  ];
}

/** A restore under way, as a card. */
export class Bringing {
  constructor() {
    this.stage = h("h2", { role: "status" });
    this.bar = bar(null, t("Restore"));
    this.facts = h("p", { class: "soft numbers" });
    this.element = h("section", { class: "card stack", hidden: true, "aria-label": t("Restore") });
  }

  async start(snapshot, paths, { to, overwrite }) {
    const stop = h("button", { class: "button", type: "button", onclick: () => busy(stop, () => cancel(this.job)) }, t("Stop"));
    fill(this.element, h("div", { class: "row apart close" }, this.stage, stop), this.bar, this.facts);
    this.stage.textContent = t("Beginning…");
    this.facts.textContent = "";
    setBar(this.bar, null);
    this.element.hidden = false;
    this.element.scrollIntoView({ block: "nearest" });
    const notes = [];
    try {
      const event = await run("restore", { snapshot: snapshot.id, to, paths, overwrite }, (event, job) => {
        this.job = job;
        if (event.event === "progress") this.#progress(event);
        if (event.event === "note") notes.push(event);
      });
      this.#over(event, notes, to);
    } catch (problem) {
      this.#end(notice("bad", ...explain(problem)));
    }
  }

  #progress(event) {
    const stages = { fetch: t("Fetching from friends"), wait: t("Waiting for friends"), write: t("Writing") };
    this.stage.textContent = stages[event.stage] ?? t("Working");
    setBar(this.bar, event.bytes_total ? event.bytes / event.bytes_total : null);
    const facts = [];
    if (event.files_total) facts.push(t("{n} of {all} files", { n: count(event.files), all: count(event.files_total) }));
    if (event.seconds_left) facts.push(t("{time} to go", { time: duration(event.seconds_left) }));
    if (event.waiting_for?.length) facts.push(t("{names} are away and may have what is missing.", { names: names(event.waiting_for) }));
    this.facts.textContent = facts.join(" · ");
  }

  #over({ ok, message, next_step, summary }, notes, to) {
    const { files: n, same, kept } = summary;
    const place = to === "/" ? t("where it was") : to;
    const good = [t("{files} back: {place}.", { files: files(n), place }), same ? tn("One was right already.", "{n} were right already.", same) : "", kept ? tn("One stayed as it was.", "{n} stayed as they were.", kept) : ""].filter(Boolean).join(" ");
    const list = notes.slice(0, 50).map(({ path, text }) => h("li", {}, h("span", { class: "mono small" }, path), " ", h("span", { class: "soft small" }, told(text))));
    this.#end(notice(ok ? "good" : "bad", ok ? good : told(message), ok ? "" : told(next_step), list.length ? h("details", {}, h("summary", {}, t("Details")), h("ul", { class: "notes" }, list)) : null));
  }

  #end(words) {
    this.job = null;
    fill(this.element, words, h("div", { class: "row" }, h("button", { class: "button", type: "button", onclick: () => { this.element.hidden = true; } }, t("All right"))));
  }
}
