// Who gives and takes how much: what all members' signed statements add up to.

import { h } from "../base/element.js";
import { bytes } from "../base/format.js";
import { t } from "../base/i18n.js";

/** `ledger` as the agent tells it in `space`: a line a member. */
export function ledgerTable(ledger) {
  const heads = [t("Member"), t("gives"), t("keeps for others"), t("takes"), t("may take")];
  return h(
    "details",
    { class: "card stack" },
    h("summary", {}, h("h2", {}, t("Who gives and takes how much"))),
    h("p", { class: "soft" }, t("Every member signs what it keeps for the others, and everybody adds it up. Nobody gets more than they give.")),
    h(
      "div",
      { class: "ledger-scroll", tabindex: 0, role: "region", "aria-label": t("Who gives and takes how much") },
      h(
        "table",
        { class: "ledger small" },
        h("thead", {}, h("tr", {}, heads.map((head) => h("th", { scope: "col" }, head)))),
        h("tbody", {}, ledger.map(line)),
      ),
    ),
  );
}

function line({ name, you, offer_bytes, held_bytes, usage_bytes, credit_bytes }) {
  const over = usage_bytes > credit_bytes;
  return h(
    "tr",
    {},
    h("th", { scope: "row", class: "clip" }, you ? t("{name} (you)", { name }) : name),
    [offer_bytes, held_bytes, usage_bytes, credit_bytes].map((size) => h("td", { class: "numbers" }, bytes(size))),
    over ? h("td", {}, h("span", { class: "pill warn" }, t("gets no more for now"))) : null,
  );
}
