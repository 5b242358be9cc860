// Friends: who is in the group, who is awake, what each gives and keeps, and who can be relied upon.

import { call, live } from "../base/api.js";
import { birdPicture } from "../base/bird.js";
import { bar, empty, problemNotice, waiting } from "../base/controls.js";
import { fill, h, Page } from "../base/element.js";
import { ago, bytes, duration, friends as friendsText, percent } from "../base/format.js";
import { t, tn } from "../base/i18n.js";
import { icon } from "../base/icons.js";
import { mood, parts } from "../home/group_picture.js";
import { invitation } from "./invite.js";
import { matrixTable } from "./matrix.js";

const ORDER = { awake: 0, asleep: 1, away: 2 };
const DAY_S = 86_400;
const AGAIN_MS = 30_000; // what changes without the state saying so: last seen, reliability

class Friends extends Page {
  open() {
    this.head = h("p", {});
    this.list = h("div", {}, waiting(4));
    this.matrix = h("section", { class: "card stack", hidden: true });
    fill(
      this,
      h("div", { class: "page-head" }, h("div", {}, h("h1", {}, t("Friends")), this.head), h("button", { class: "button", type: "button", onclick: () => invitation(live.state.status) }, icon("plus"), t("Ask a friend"))),
      h("div", { class: "stack loose" }, this.list, this.matrix),
    );
    this.follow(live.on((state) => this.#state(state)));
    const again = setInterval(() => this.#fetch(), AGAIN_MS);
    this.follow(() => clearInterval(again));
    this.follow(() => this.table?.leave());
  }

  #state({ status }) {
    if (!status) return;
    const key = JSON.stringify([status.friends, status.friends_online, status.last_snapshot?.id]);
    if (key === this.key) return;
    this.key = key;
    this.#fetch();
  }

  async #fetch() {
    try {
      const matrix = call("matrix");
      matrix.catch(() => {}); // asked at the same time; its problem is told below
      this.#show(await call("friends"));
      this.#showMatrix(await matrix);
    } catch (problem) {
      if (this.shown && !this.list.querySelector(".friend-list")) fill(this.list, problemNotice(problem, () => this.#fetch()));
    }
  }

  #show(friends) {
    if (!this.shown) return;
    if (!friends.length) {
      this.head.textContent = "";
      fill(this.list, h("div", { class: "card" }, empty(birdPicture(), t("Nobody else is here yet"), t("Covey keeps your files with friends. Two or three are a good beginning; with five or more any three may vanish."), h("button", { class: "button primary", type: "button", onclick: () => invitation(live.state.status) }, t("Ask a friend")))));
      return;
    }
    const awake = friends.filter((friend) => friend.online).length;
    this.head.textContent = t("{friends}, {awake}.", { friends: friendsText(friends.length), awake: tn("one of them awake", "{n} of them awake", awake) });
    const part = parts(friends);
    const held = new Map(friends.map((friend, at) => [friend, part[at]]));
    const most = Math.max(...held.values(), 1e-9);
    const sorted = [...friends].sort((one, other) => ORDER[mood(one)] - ORDER[mood(other)] || one.name.localeCompare(other.name));
    fill(this.list, h("ul", { class: "friend-list" }, sorted.map((friend) => card(friend, held.get(friend), most))));
  }

  #showMatrix(matrix) {
    if (!this.shown || !matrix?.packs) {
      this.matrix.hidden = true;
      return;
    }
    this.matrix.hidden = false;
    this.table?.leave();
    this.table = matrixTable(matrix);
    fill(
      this.matrix,
      h("div", { class: "stack tight" }, h("h2", {}, t("Who keeps what")), h("p", { class: "soft" }, t("Your backup from left to right, cut into {n} pieces. Each piece is with several friends, so that a few of them are enough to bring it back.", { n: matrix.packs }))),
      this.table.element,
    );
  }
}

function card(friend, part, most) {
  const how = mood(friend);
  const seen = friend.online ? t("awake now") : friend.last_seen_ns ? t("seen {ago}", { ago: ago(friend.last_seen_ns) }) : t("asleep");
  return h(
    "li",
    { class: `card friend-card ${how}` },
    h("div", { class: "friend-who" }, h("span", { class: "friend-bird" }, birdPicture({ awake: friend.online })), h("div", { class: "grow" }, h("h2", { class: "clip" }, friend.name), h("p", { class: "row small soft" }, seen, reliability(friend)))),
    h("div", { class: "stack tight" }, h("div", { class: "row apart small" }, h("span", { class: "soft" }, t("keeps of your backup")), h("span", { class: "numbers" }, percent(part))), bar(part / most, t("Keeps of your backup"))),
    h(
      "dl",
      { class: "facts small" },
      h("dt", {}, t("gives to the group")), h("dd", {}, bytes(friend.offer_bytes)),
      friend.held_bytes === undefined ? null : [h("dt", {}, t("you keep for them")), h("dd", {}, bytes(friend.held_bytes))],
      friend.stored_bytes === undefined ? null : [h("dt", {}, t("keep for you")), h("dd", {}, bytes(friend.stored_bytes))],
    ),
    away(friend),
    friend.audit ? h("p", { class: "small soft" }, t("Could not show all that they keep for you when asked.")) : null,
    friend.usage_bytes > friend.credit_bytes ? h("p", { class: "small soft" }, t("Takes more than they may, so that they get no more room for now.")) : null,
  );
}

/** What happens while a friend is away for days. */
function away({ gone, away_s = 0, grace_s = 0 }) {
  if (gone) return h("p", { class: "small soft" }, t("Away for so long that what they keep for you is made anew with others."));
  if (away_s < DAY_S) return null;
  return h("p", { class: "small soft" }, t("Away for {n}; after {grace} what they keep for you is made anew with others.", { n: duration(away_s), grace: duration(grace_s) }));
}

/** How often a friend is there, in a word. */
function reliability(friend) {
  if (friend.uptime === undefined || friend.uptime === null) return null;
  const often = percent(friend.uptime);
  if (mood(friend) === "away") return h("span", { class: "pill warn" }, t("away"));
  if (friend.uptime >= 0.6) return h("span", { class: "pill good", title: t("awake {often} of the time", { often }) }, t("often awake"));
  if (friend.uptime >= 0.2) return h("span", { class: "pill", title: t("awake {often} of the time", { often }) }, t("sometimes awake"));
  return h("span", { class: "pill", title: t("awake {often} of the time", { often }) }, t("seldom awake"));
}

customElements.define("covey-friends", Friends);
