// A backup under way, as a card: what is being done, how far it is, to whom, and what came of it.

import { cancel, follow } from "../base/api.js";
import { ask, bar, busy, explain, notice, setBar } from "../base/controls.js";
import { fill, h } from "../base/element.js";
import { bytes, count, duration, names, rate } from "../base/format.js";
import { t, tn } from "../base/i18n.js";
import { told } from "../base/told.js";

const STAGES = () => ({
  scan: t("Looking for what is new"),
  ship: t("Carrying it to your friends"),
  finish: t("Telling everyone"),
  wait: t("Waiting for friends"),
  fetch: t("Fetching from friends"),
  write: t("Writing"),
  check: t("Looking at what friends keep"),
  drill: t("Trying to bring a few files back"),
  care: t("Looking after the group"),
});

export class WorkCard {
  #end = null;

  /** `carrying(names)` hears to whom something goes; `over()` when it has ended. */
  constructor({ carrying, over }) {
    this.carrying = carrying;
    this.over = over;
    this.stage = h("h2", { role: "status" });
    this.bar = bar(null, t("Backup"));
    this.facts = h("p", { class: "soft numbers" });
    this.note = h("p", { class: "soft small" });
    this.stop = h("button", { class: "button", type: "button", onclick: () => this.#stop() }, t("Stop"));
    this.left = 0;
    this.element = h("section", { class: "card stack work", hidden: true, "aria-label": t("Backup") });
  }

  /** Show the job `id`; `last` is its newest event, where there is one.
   *
   * A job may be heard of, and over, before the answer to its start is here.
   */
  follow(id, last) {
    if (id === this.job || id === this.ended) return;
    this.leave();
    this.job = id;
    this.left = 0;
    this.element.classList.add("card");
    fill(this.element, h("div", { class: "row apart close" }, this.stage, this.stop), this.bar, this.facts, this.note);
    this.element.hidden = false;
    this.stop.hidden = false;
    this.stage.textContent = t("Beginning…");
    setBar(this.bar, null);
    this.facts.textContent = this.note.textContent = "";
    if (last) this.#hear(last);
    this.#end = follow(id, (event) => this.#hear(event));
  }

  /** Show that the agent works by itself. */
  byItself() {
    if (this.job) return;
    this.element.classList.add("card");
    fill(this.element, this.stage, this.bar);
    this.stage.textContent = t("Covey is backing up by itself.");
    setBar(this.bar, null);
    this.element.hidden = false;
  }

  /** Show why a backup could not begin. */
  refused(problem) {
    this.element.classList.remove("card");
    fill(this.element, notice("bad", ...explain(problem)));
    this.element.hidden = false;
  }

  hide() {
    this.element.hidden = true;
  }

  leave() {
    this.#end?.();
    this.#end = null;
    this.job = null;
  }

  #hear(event) {
    if (event.event === "progress") this.#progress(event);
    if (event.event === "note") this.#note();
    if (event.event === "done") this.#done(event);
    if (event.event === "problem") this.#done({ ok: false, message: event.text, next_step: event.next_step });
  }

  #progress(event) {
    this.stage.textContent = STAGES()[event.stage] ?? t("Working");
    const part = event.bytes_total ? event.bytes / event.bytes_total : event.files_total ? event.files / event.files_total : null;
    setBar(this.bar, event.stage === "finish" ? 1 : part);
    const facts = [];
    if (event.files) facts.push(event.files_total ? t("{n} of {all} files", { n: count(event.files), all: count(event.files_total) }) : tn("one file", "{n} files", event.files));
    if (event.bytes_total) facts.push(t("{n} of {all}", { n: bytes(event.bytes), all: bytes(event.bytes_total) }));
    if (event.rate > 1) facts.push(rate(event.rate));
    if (event.seconds_left) facts.push(t("{time} to go", { time: duration(event.seconds_left) }));
    this.facts.textContent = facts.join(" · ");
    const to = Object.entries(event.friends ?? {}).filter(([, n]) => n > 0).map(([name]) => name);
    this.carrying(event.stage === "ship" ? to : []);
    if (event.waiting_for?.length) this.note.textContent = tn("{names} is away and may have what is missing.", "{names} are away and may have what is missing.", event.waiting_for.length, { names: names(event.waiting_for) });
  }

  #note() {
    this.left += 1;
    this.note.textContent = tn("One file could not be read so far; Files says which.", "{n} files could not be read so far; Files says which.", this.left);
  }

  #done(event) {
    this.carrying([]);
    this.ended = this.job;
    this.leave();
    this.element.classList.remove("card");
    const hide = h("button", { class: "button", type: "button", onclick: () => this.hide() }, t("All right"));
    fill(this.element, notice(event.ok ? "good" : "bad", told(event.message), told(event.next_step ?? ""), h("div", { class: "row" }, hide)));
    this.element.hidden = false;
    this.over();
  }

  async #stop() {
    const sure = await ask({ title: t("Stop this backup?"), body: t("What friends have by now is kept; the next one goes on from there."), yes: t("Stop"), no: t("Go on") });
    if (sure && this.job) await busy(this.stop, () => cancel(this.job));
  }
}
