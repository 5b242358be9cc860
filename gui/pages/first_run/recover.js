// "I had Covey on another computer": group, password, words, and it is all there.

import { call, follow, live } from "../base/api.js";
import { bar, explain, field, notice, problemNotice, setBar } from "../base/controls.js";
import { fill, h } from "../base/element.js";
import { t, tn } from "../base/i18n.js";
import { link } from "../base/router.js";
import { told } from "../base/told.js";
import { passwordInput } from "./join.js";
import { stepHead } from "./steps.js";

const WORDS = 24;

const wordsOf = (text) => text.toLowerCase().split(/[^\p{L}]+/u).filter(Boolean); // numbers of the sheet are not words

export function recoverStep({ ends, recovered }) {
  const group = h("input", { class: "input", type: "text", autocomplete: "off", autocapitalize: "none", spellcheck: "false" });
  const password = passwordInput();
  const words = h("textarea", { class: "input mono", rows: 5, autocomplete: "off", autocapitalize: "none", spellcheck: "false" });
  const address = h("input", { class: "input", type: "url", placeholder: "https://", autocomplete: "off" });
  const fields = {
    group: field(t("Group"), group),
    password: field(t("Password"), password.input, "", password.box),
    words: field(t("Recovery words"), words, t("All {n}, in their order, as they are on the sheet.", { n: WORDS })),
  };
  words.addEventListener("input", () => {
    const n = wordsOf(words.value).length;
    fields.words.wrong("");
    fields.words.say(n === WORDS ? t("All {n} words are there.", { n }) : t("{n} of {all} words", { n, all: WORDS }));
  });
  const below = h("div", { class: "stack tight", "aria-live": "polite" });
  const button = h("button", { class: "button primary wide", type: "submit" }, t("Bring my backups back"));
  const form = h("form", { class: "card stack loose", novalidate: true }, fields.group, fields.password, fields.words, h("details", { class: "more" }, h("summary", {}, t("Our group has its own server")), field(t("Address of the server"), address)), below, button);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const given = { group: group.value.trim(), password: password.input.value, words: wordsOf(words.value).join(" ") };
    if (address.value.trim()) given.server = address.value.trim();
    if (!check(fields, given)) return;
    button.disabled = true;
    await work({ given, below, fields, ends, recovered });
    button.disabled = false;
  });
  return h(
    "div",
    { class: "stack loose" },
    stepHead(t("Welcome back"), t("With your recovery words everything comes back from your friends.")),
    form,
    h("p", { class: "center" }, h("a", { href: link("start") }, t("I am new here"))),
  );
}

function check(fields, { group, password, words }) {
  const n = words ? words.split(" ").length : 0;
  fields.group.wrong(group ? "" : t("Which group?"));
  fields.password.wrong(password ? "" : t("The password is missing."));
  fields.words.wrong(n === WORDS ? "" : tn("There is one word; the sheet has {all}.", "There are {n} words; the sheet has {all}.", n, { all: WORDS }));
  const first = Object.values(fields).map((one) => one.querySelector("[aria-invalid]")).find(Boolean);
  first?.focus();
  return !first;
}

async function work({ given, below, fields, ends, recovered }) {
  const progress = bar(null, t("Bringing your backups back"));
  fill(below, h("p", {}, t("Asking your friends…")), progress);
  try {
    const { job } = await call("recover", given);
    const last = await new Promise((resolve, reject) => {
      const end = follow(job, (event) => {
        if (event.event === "progress" && event.bytes_total) setBar(progress, event.bytes / event.bytes_total);
        if (event.event === "done") { end(); resolve(event); }
        if (event.event === "problem") { end(); reject({ text: event.text, nextStep: event.next_step, code: event.code }); }
      });
      ends(end);
    });
    if (!last.ok) throw { text: last.message, nextStep: last.next_step, code: "" };
    fill(below, notice("good", told(last.message), told(last.next_step)));
    await live.joined();
    recovered();
  } catch (problem) {
    const about = { wrong_password: "password", words: "words", unknown_group: "group" }[problem.code];
    if (!about) return fill(below, problemNotice(problem));
    fill(below);
    fields[about].wrong(explain(problem).filter(Boolean).join(" "));
    fields[about].querySelector(".input").focus();
  }
  return undefined;
}
