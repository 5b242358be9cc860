// The one sentence: how safe everything is. Pure: from what the agent tells to words and a mood.

import { friends, names, when } from "../base/format.js";
import { t, tn } from "../base/i18n.js";

const NAMED_MAX = 4;

/** { mood: "good" | "warn" | "new", text, more } of a status; `running` while a backup is. */
export function sentence(status, running = false) {
  const last = status.last_snapshot;
  if (!status.friends) {
    return { mood: "new", text: t("You are the only one here so far."), more: t("Covey keeps your files with friends. Ask one to join: same group, same password.") };
  }
  if (!status.marks.length) {
    return { mood: "new", text: t("Nothing is marked for backup yet."), more: t("Choose the folders that you would miss.") };
  }
  if (!last && running) {
    return { mood: "new", text: t("Your first backup is under way."), more: t("You may close this window; Covey goes on.") };
  }
  if (!last) {
    return { mood: "new", text: t("Nothing is backed up yet."), more: t("Tonight Covey does it by itself, or you start it now.") };
  }
  if (status.unsafe_packs) {
    return { mood: "warn", text: t("A newer backup waits for friends."), more: t("The one of {when} is complete.", { when: when(last.time_ns) }) };
  }
  const all = tn("Your one file is safe", "All {n} files are safe", last.files);
  const where = tn("with one friend", "with {n} friends", status.friends);
  if (!status.can_vanish) {
    return { mood: "warn", text: t("{all} {where}, but none of them may vanish.", { all, where }), more: t("One more friend in the group would change that.") };
  }
  const spare = tn("any one can vanish", "any {n} can vanish", status.can_vanish);
  return { mood: "good", text: t("{all} {where}; {spare}.", { all, where, spare }), more: "" };
}

/** When the last backup was and when the next one is, as two short sentences. */
export function nights(status) {
  const told = [];
  if (status.last_snapshot) told.push(t("Last backup {when}.", { when: when(status.last_snapshot.time_ns) }));
  if (status.paused_until_ns > Date.now() * 1e6) told.push(t("Paused until {when}.", { when: when(status.paused_until_ns) }));
  else if (status.next_night_ns && status.marks.length) told.push(t("Next {when}, when this computer is idle.", { when: when(status.next_night_ns) }));
  return told;
}

/** What would be if some friends were gone: { safe: true | false | null, text }. */
export function imagined(status, gone) {
  if (!gone.length) return { safe: null, text: t("Touch friends to see what would be without them.") };
  if (!status.last_snapshot) return { safe: null, text: t("Nothing is backed up yet.") };
  const who = gone.length > NAMED_MAX ? friends(gone.length) : names(gone);
  if (gone.length <= (status.can_vanish ?? 0)) return { safe: true, text: t("Without {who} everything would still be there.", { who }) };
  return { safe: false, text: t("Without {who} some files could be lost.", { who }) };
}
