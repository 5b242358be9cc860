// Space: what still fits, what to give for more, and what friends keep here.

import { call, live } from "../base/api.js";
import { bar, busy, notice, problemNotice, say, waiting } from "../base/controls.js";
import { fill, h, Page } from "../base/element.js";
import { bytes, percent } from "../base/format.js";
import { t } from "../base/i18n.js";
import { link } from "../base/router.js";
import { told } from "../base/told.js";
import { leaving } from "./leave.js";
import { ledgerTable } from "./ledger.js";
import { spaceSlider } from "./slider.js";

class Space extends Page {
  open() {
    this.body = h("div", { class: "stack loose" }, waiting(4));
    this.leaving = leaving();
    fill(this, h("div", { class: "page-head" }, h("div", {}, h("h1", {}, t("Space")), h("p", {}, t("What you give to your friends, you may use at theirs.")))), this.body);
    this.follow(live.on(({ status }) => {
      const key = JSON.stringify([status?.last_snapshot?.id, status?.friends]);
      if (key === this.key) return;
      this.key = key;
      this.#fetch();
    }));
  }

  async #fetch() {
    try {
      const [space, disk] = await Promise.all([call("space"), call("space_free")]);
      if (this.shown) this.#show(space, disk);
    } catch (problem) {
      if (this.shown) fill(this.body, problemNotice(problem, () => this.#fetch()));
    }
  }

  #show(space, disk) {
    fill(this.body, h("div", { class: "space-grid" }, yours(space), this.#theirs(space, disk)), space.ledger.length > 1 ? ledgerTable(space.ledger) : null, this.leaving);
  }

  #theirs(space, disk) {
    const wish = h("div", { class: "stack tight", "aria-live": "polite" });
    const save = h("button", { class: "button primary", type: "button", hidden: true, onclick: () => busy(save, () => this.#save(slider.value)) }, t("Give this much"));
    const usable = { ...disk, free_bytes: disk.free_bytes + space.held_bytes };
    const slider = spaceSlider({ disk: usable, value: space.offer_bytes, label: t("You give"), changed: (value) => {
      save.hidden = value === space.offer_bytes;
      fill(wish, value < space.held_bytes ? notice("warn", t("Friends already keep {held} here.", { held: bytes(space.held_bytes) }), t("What is too much moves to other friends over the next nights.")) : null);
    } });
    return h(
      "section",
      { class: "card stack", "aria-labelledby": "space-here" },
      h("h2", { id: "space-here" }, t("On this computer")),
      slider.element,
      wish,
      h("div", { class: "row" }, save),
      h("div", { class: "stack tight" }, h("div", { class: "row apart small" }, h("span", { class: "soft" }, t("used by friends")), h("span", { class: "numbers" }, t("{n} of {all}", { n: bytes(space.held_bytes), all: bytes(space.offer_bytes) }))), bar(space.offer_bytes ? space.held_bytes / space.offer_bytes : 0, t("used by friends"))),
    );
  }

  async #save(offer) {
    await call("set_space", { offer_bytes: offer });
    say(t("You give {size} now.", { size: bytes(offer) }));
    this.#fetch();
  }
}

function yours(space) {
  const limit = Math.min(space.credit_bytes, space.friends_offer_bytes);
  const nobody = space.friends_offer_bytes === 0;
  const spares = space.stored_bytes ? Math.max(0, 1 - space.packed_bytes / space.stored_bytes) : 0;
  return h(
    "section",
    { class: "card stack", "aria-labelledby": "space-there" },
    h("h2", { id: "space-there" }, t("At your friends")),
    nobody
      ? notice("info", t("Nobody gives space yet."), t("Ask a friend to join."), h("div", { class: "row" }, h("a", { class: "button", href: link("friends") }, t("Friends"))))
      : h("p", { class: "big-fact" }, t("You can back up {size} more.", { size: bytes(space.fits_bytes) })),
    (space.warnings ?? []).map((warning) => notice("warn", told(warning))),
    nobody ? null : h("div", { class: "stack tight" }, h("div", { class: "row apart small" }, h("span", { class: "soft" }, t("used by you")), h("span", { class: "numbers" }, t("{n} of {all}", { n: bytes(space.usage_bytes), all: bytes(limit) }))), bar(limit ? space.usage_bytes / limit : 0, t("used by you"))),
    nobody ? null : advice(space),
    h(
      "dl",
      { class: "facts small" },
      h("dt", {}, t("your files, packed")), h("dd", {}, bytes(space.packed_bytes)),
      h("dt", {}, t("spread over friends, with spares")), h("dd", {}, bytes(space.stored_bytes)),
      h("dt", {}, t("of that, spares")), h("dd", {}, percent(spares)),
      h("dt", {}, t("given by all friends")), h("dd", {}, bytes(space.friends_offer_bytes)),
      h("dt", {}, t("of what you keep, friends have checked")), h("dd", {}, bytes(space.shown_bytes)),
    ),
  );
}

/** What makes room: the agent has worked it out (peer/space/fitting.py). */
function advice({ bound, proposal }) {
  if (bound === "friends") return notice("info", t("Your friends have no room for more."), t("More room comes when one of them gives more, or another friend joins."));
  if (bound === "shown") return notice("info", t("More room comes by itself."), t("Every night your friends check some of what you keep for them; you may take as much again and once more."));
  if (!proposal) return null;
  return h("p", { class: "soft" }, t("Give {give} more for about {gain} more of your own files.", { give: bytes(proposal.give_bytes), gain: bytes(proposal.gain_bytes) }));
}

customElements.define("covey-space", Space);
