// Activity: what became of each night, what went over the network, and what Covey had to say.

import { call, live } from "../base/api.js";
import { birdPicture } from "../base/bird.js";
import { empty, notice, problemNotice, waiting } from "../base/controls.js";
import { fill, h, Page } from "../base/element.js";
import { bytes, count, date, duration, files, fullDay, when } from "../base/format.js";
import { t, tn } from "../base/i18n.js";
import { icon } from "../base/icons.js";
import { told } from "../base/told.js";
import { calendar, dayKey } from "./calendar.js";
import { trafficPlot } from "./traffic.js";

const MESSAGES_SHOWN = 30;
const LEVELS = { info: "info", good: "good", warning: "warn", warn: "warn", error: "bad", problem: "bad", bad: "bad" };

class Activity extends Page {
  open() {
    this.body = h("div", { class: "stack loose" }, waiting(4));
    fill(this, h("div", { class: "page-head" }, h("div", {}, h("h1", {}, t("Activity")), h("p", {}, t("What happened while you were not looking.")))), this.body);
    this.follow(live.on(({ status }) => {
      const key = JSON.stringify([status?.last_snapshot?.id, status?.doing]);
      if (key === this.key) return;
      this.key = key;
      this.#fetch();
    }));
  }

  async #fetch() {
    try {
      const told = await call("activity");
      if (this.shown) this.#show(told);
    } catch (problem) {
      if (this.shown) fill(this.body, problemNotice(problem, () => this.#fetch()));
    }
  }

  #show({ nights = [], messages = [], traffic = [] }) {
    if (!nights.length && !messages.length) {
      fill(this.body, h("div", { class: "card" }, empty(birdPicture({ awake: false }), t("No night has passed yet"), t("Covey works at night, when nobody needs this computer. In the morning this page tells how it went."))));
      return;
    }
    const details = h("div", { class: "night-details stack tight", "aria-live": "polite" });
    const chosen = (key, ones) => fill(details, ones.map(nightCard));
    fill(
      this.body,
      h("section", { class: "card stack", "aria-labelledby": "nights-head" }, h("div", { class: "row apart" }, h("h2", { id: "nights-head" }, t("Nights")), h("p", { class: "soft" }, streak(nights))), calendar(nights, chosen), details),
      h("section", { class: "card stack", "aria-labelledby": "traffic-head" }, h("h2", { id: "traffic-head" }, t("Traffic")), trafficPlot(traffic)),
      h("section", { class: "card stack", "aria-labelledby": "messages-head" }, h("h2", { id: "messages-head" }, t("Messages")), messageList(messages)),
    );
    const last = nights.at(-1);
    if (last) chosen(dayKey(date(last.time_ns)), [last]);
  }
}

/** How many nights in a row went well. */
function streak(nights) {
  const since = nights.findLastIndex((night) => !night.ok);
  const good = nights.length - 1 - since;
  return good > 1 ? tn("One good night in a row", "{n} good nights in a row", good) : "";
}

function nightCard(night) {
  const facts = [
    night.files === undefined ? null : files(night.files),
    night.new_bytes ? t("{size} new", { size: bytes(night.new_bytes) }) : null,
    night.shipped_bytes ? t("{size} carried to friends", { size: bytes(night.shipped_bytes) }) : null,
    night.seconds ? t("took {time}", { time: duration(night.seconds) }) : null,
    night.friends ? tn("one friend", "{n} friends", Array.isArray(night.friends) ? night.friends.length : Number(night.friends) || 0) : null,
  ].filter(Boolean);
  return notice(night.ok ? "good" : "warn", `${fullDay(night.time_ns)}: ${told(night.message)}`, "", h("p", { class: "soft small" }, facts.join(" · ")));
}

function messageList(messages) {
  if (!messages.length) return h("p", { class: "soft" }, t("Nothing to tell. That is good."));
  const newest = [...messages].sort((one, other) => other.time_ns - one.time_ns);
  const list = h("ul", { class: "messages" }, newest.slice(0, MESSAGES_SHOWN).map(line));
  const more = newest.length > MESSAGES_SHOWN && h("button", { class: "button", type: "button", onclick: (event) => { fill(list, newest.map(line)); event.target.remove(); } }, t("Show all {n}", { n: count(newest.length) }));
  return h("div", { class: "stack" }, list, more);
}

function line(message) {
  const kind = LEVELS[message.level] ?? "info";
  return h("li", { class: kind }, icon(kind), h("span", { class: "grow" }, told(message.text)), h("time", { class: "soft small nowrap", datetime: date(message.time_ns).toISOString() }, when(message.time_ns)));
}

customElements.define("covey-activity", Activity);
