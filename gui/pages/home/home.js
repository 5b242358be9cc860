// Home: one sentence, one picture of the group, the last night and the next, and a button.

import { call, live, start } from "../base/api.js";
import { busy, notice, problemNotice, say, waiting } from "../base/controls.js";
import { fill, h, Page } from "../base/element.js";
import { t } from "../base/i18n.js";
import { icon } from "../base/icons.js";
import { link } from "../base/router.js";
import { told } from "../base/told.js";
import { invitation } from "../friends/invite.js";
import { fortnight } from "./fortnight.js";
import { GroupPicture } from "./group_picture.js";
import { imagined, nights, sentence } from "./sentence.js";
import { WorkCard } from "./work.js";

const OVER = new Set(["done", "problem"]);

class Home extends Page {
  open() {
    this.friends = null;
    this.picture = new GroupPicture({ changed: () => this.#imagine() });
    this.work = new WorkCard({ carrying: (names) => this.picture.carry(names), over: () => this.#fetch() });
    this.say = h("h1", { class: "say" });
    this.more = h("p", { class: "soft" });
    this.nights = h("p", { class: "soft nights" });
    this.weeks = h("div", {});
    this.warnings = h("div", { class: "stack tight", "aria-live": "polite" });
    this.actions = h("div", { class: "row" });
    this.what = h("p", { class: "imagined", "aria-live": "polite" });
    this.figure = h("figure", { class: "card group-card" }, waiting(4));
    fill(this, h("div", { class: "home" }, h("div", { class: "home-words stack loose" }, h("div", { class: "stack tight" }, this.say, this.more, this.nights), this.actions, this.work.element, this.warnings, this.weeks), this.figure));
    this.follow(live.on((state) => this.#state(state)));
    this.follow(() => this.work.leave());
    const minute = setInterval(() => this.#state(live.state), 60_000);
    this.follow(() => clearInterval(minute));
  }

  #state(state) {
    if (!state?.joined) return;
    if (!state.status) {
      this.say.textContent = t("One moment, Covey is waking up…");
      return;
    }
    const { status } = state;
    this.status = status;
    this.#showWork(state);
    const { mood, text, more } = sentence(status, this.running);
    this.say.className = `say ${mood}`;
    if (this.say.textContent !== text) this.say.textContent = text;
    this.more.textContent = more;
    this.more.hidden = !more;
    this.nights.textContent = nights(status).join(" ");
    this.nights.hidden = !this.nights.textContent;
    this.#showActions(status);
    this.#showWarnings(status);
    const key = JSON.stringify([status.friends, status.friends_online, status.last_snapshot?.id, status.unsafe_packs]);
    if (key !== this.key) {
      this.key = key;
      this.#fetch();
      this.#fetchNights();
    }
  }

  #showWork(state) {
    const running = Object.entries(state.jobs ?? {}).find(([, job]) => job.what === "backup" && !OVER.has(job.last?.event));
    this.running = Boolean(running) || state.status.doing === "backing up";
    if (running) this.work.follow(running[0], running[1].last);
    else if (this.running) this.work.byItself();
    else if (this.wasRunning && !this.work.job && this.work.element.querySelector(".bar")) this.work.hide();
    this.wasRunning = this.running;
  }

  #showActions(status) {
    const paused = status.paused_until_ns > Date.now() * 1e6;
    const key = JSON.stringify([status.friends > 0, status.marks.length > 0, this.running, paused]);
    if (key === this.actionsKey) return;
    this.actionsKey = key;
    const now = h("button", { class: "button primary", type: "button", disabled: this.running, onclick: () => this.#backUp(now) }, icon("up"), this.running ? t("Backing up…") : t("Back up now"));
    const choose = h("a", { class: "button primary", href: link("files") }, icon("plus"), t("Choose folders"));
    const ask = h("button", { class: "button primary", type: "button", onclick: () => invitation(this.status) }, icon("friends"), t("Ask a friend"));
    const first = status.friends ? (status.marks.length ? now : choose) : ask;
    const second = !status.friends && !status.marks.length ? h("a", { class: "button", href: link("files") }, t("Choose folders")) : null;
    fill(this.actions, first, second, status.marks.length && status.friends ? this.#pauseButtons(paused) : null);
  }

  #pauseButtons(paused) {
    const pause = (until, said) => (event) => busy(event.currentTarget, async () => {
      await call("pause", { until });
      say(said);
    });
    if (paused) return h("button", { class: "button", type: "button", onclick: pause("no", t("Covey goes on.")) }, icon("play"), t("Go on"));
    return h(
      "details",
      { class: "menu" },
      h("summary", { class: "button" }, icon("pause"), t("Pause")),
      h(
        "div",
        { class: "menu-list card" },
        h("button", { class: "button quiet", type: "button", onclick: pause("hour", t("Paused for an hour.")) }, t("For an hour")),
        h("button", { class: "button quiet", type: "button", onclick: pause("tomorrow", t("Paused until tomorrow.")) }, t("Until tomorrow")),
      ),
    );
  }

  #showWarnings(status) {
    const all = [];
    if (!status.connected) all.push(notice("warn", t("The group cannot be reached at the moment."), t("Covey keeps trying. Is this computer online?")));
    else if (status.friends && !status.friends_online) all.push(notice("info", t("All your friends are asleep."), t("Covey goes on when one of them wakes up.")));
    if (status.waiting_because) all.push(notice("info", told(status.waiting_because)));
    for (const warning of status.warnings ?? []) all.push(notice("warn", told(warning)));
    if (status.sheet && status.sheet !== "done") {
      all.push(notice("warn", t("Your recovery words are not kept yet."), t("Without them nobody can bring your files back on a new computer."), h("div", { class: "row" }, h("a", { class: "button", href: link("start", "words") }, icon("key"), t("Keep them now")))));
    }
    const key = all.map((one) => one.textContent).join("\n");
    if (key === this.warningsKey) return;
    this.warningsKey = key;
    fill(this.warnings, all);
  }

  async #fetch() {
    try {
      this.friends = await call("friends");
    } catch (problem) {
      if (this.shown && !this.friends) fill(this.figure, problemNotice(problem, () => this.#fetch()));
      return;
    }
    if (!this.shown) return;
    if (!this.friends.length) return this.#alone();
    if (!this.picture.element.isConnected) fill(this.figure, this.picture.element, h("figcaption", { class: "stack tight" }, this.what, legend()));
    this.picture.show(this.friends, this.status.member);
    this.#imagine();
  }

  /** The last two weeks; Home is whole without them. */
  async #fetchNights() {
    const { nights } = await call("activity").catch(() => ({ nights: [] }));
    if (this.shown) fill(this.weeks, fortnight(nights));
  }

  #alone() {
    const lonely = new GroupPicture({ changed: () => {} });
    lonely.show([], this.status.member);
    fill(this.figure, lonely.element, h("figcaption", { class: "soft" }, t("Your friends will sit around you here.")));
  }

  #imagine() {
    const { safe, text } = imagined(this.status, this.picture.gone);
    this.what.className = `imagined ${safe === null ? "soft" : safe ? "safe" : "unsafe"}`;
    fill(this.what, safe === null ? null : icon(safe ? "good" : "warn"), h("span", {}, text));
  }

  async #backUp(button) {
    button.disabled = true;
    try {
      this.work.follow(await start("backup"), null);
    } catch (problem) {
      this.work.refused(problem);
      button.disabled = false;
    }
  }
}

function legend() {
  return h(
    "ul",
    { class: "legend row small soft" },
    [["awake", t("awake")], ["asleep", t("asleep")], ["away", t("away for days")]].map(([mood, label]) => h("li", {}, h("i", { class: `dot ${mood}` }), label)),
    h("li", {}, h("i", { class: "dot line-sample" }), t("how much they keep for you")),
  );
}

customElements.define("covey-home", Home);
