// How to bring a friend into the group: the words to send, never with the password.

import { ask, say } from "../base/controls.js";
import { h } from "../base/element.js";
import { t } from "../base/i18n.js";

/** The `covey:` address that fills in the group and the server on a friend's computer. */
export function joinLink({ group, server }) {
  const known = server && /^https?:/.test(server) ? `?server=${encodeURIComponent(server)}` : "";
  return `covey:${encodeURIComponent(group)}${known}`;
}

export async function invitation(status) {
  const letter = t(
    "I keep my backups with friends, and would like to keep yours. Install Covey, open it, and join the group «{group}». Or open this link: {link} – I will tell you the password when we talk.",
    { group: status.group, link: status.join_link || joinLink(status) },
  );
  const text = h("textarea", { class: "input", rows: 6, readonly: true, "aria-label": t("A message for your friend") });
  text.value = letter;
  const sure = await ask({
    title: t("Ask a friend"),
    body: [t("Send this, and tell the password in person or by phone."), text],
    yes: t("Copy"),
    no: t("Close"),
  });
  if (!sure) return;
  try {
    await navigator.clipboard.writeText(letter);
    say(t("Copied."));
  } catch {
    say(t("This could not be copied; mark the text and copy it by hand."));
  }
}
