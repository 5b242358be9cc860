// Small things that every page needs: notices, questions, bars, what to show when there is nothing.

import { fill, freshId, h, setStyle } from "./element.js";
import { t } from "./i18n.js";
import { icon } from "./icons.js";
import { told } from "./told.js";

/** A line that says something; `kind` is good, warn, bad or info, `next` what to do about it. */
export function notice(kind, text, next = "", ...more) {
  return h(
    "div",
    { class: `notice ${kind}`, role: kind === "bad" ? "alert" : null },
    icon(kind),
    h("div", { class: "grow stack tight" }, h("p", {}, text, next ? h("span", { class: "next" }, ` ${next}`) : null), more),
  );
}

/** What went wrong, for people: a `Problem` in its words, anything else in ours. */
export function problemNotice(problem, again = null) {
  const [text, next] = explain(problem);
  const retry = again && h("div", { class: "row" }, h("button", { class: "button", type: "button", onclick: again }, t("Try again")));
  return notice("bad", text, next, retry);
}

/** The words of a problem: [text, next step]. */
export function explain(problem) {
  if (typeof problem?.text !== "string") {
    console.error(problem);
    return [t("Something went wrong on this page."), t("Load it again.")];
  }
  return OWN_WORDS[problem.code]?.() ?? [told(problem.text), told(problem.nextStep)];
}

// Where the agent speaks of commands and options, which nobody sees here.
const OWN_WORDS = {
  unknown_group: () => [t("There is no such group yet."), t("See how your friends write it.")],
  weak_password: () => [t("This password would be guessed too easily."), t("Take four or more words that do not belong together.")],
  wrong_password: () => [t("The group has another password."), t("Ask a friend who is in it, and mind capital letters.")],
  disk_too_small: () => [t("This disk has not that much room."), t("Give less, or make room.")],
  unreachable: () => [t("The server of the group cannot be reached."), t("Is this computer online? Then try again in a moment.")],
  no_server: () => [t("No server was found for this group."), t("Ask your friends for its address, and put it in below.")],
  server_full: () => [t("The server is full."), t("Ask whoever runs it.")],
  replaced: () => [t("Another computer uses the same recovery words and has taken over."), t("Use them on one computer only.")],
  no_agent: () => [t("Covey is not running."), t("Open Covey again; your backups are where they were.")],
};

/** A bar; `part` is 0 to 1, or null where nobody knows yet. `label` says what it measures. */
export function bar(part, label) {
  const known = part !== null && Number.isFinite(part);
  const inner = h("i", { style: { "--done": known ? Math.min(1, Math.max(0, part)) : 0 } });
  return h(
    "div",
    {
      class: known ? "bar" : "bar unknown", role: "progressbar", "aria-label": label,
      "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": known ? Math.round(part * 100) : null,
    },
    inner,
  );
}

/** Give a `bar` another value without making it anew, so that it moves. */
export function setBar(element, part) {
  const known = part !== null && Number.isFinite(part);
  element.classList.toggle("unknown", !known);
  if (known) element.setAttribute("aria-valuenow", Math.round(part * 100));
  else element.removeAttribute("aria-valuenow");
  setStyle(element.firstElementChild, { "--done": known ? Math.min(1, Math.max(0, part)) : 0 });
}

/** Nothing here yet: a picture, what it means, and what to do. */
export function empty(picture, title, text, ...actions) {
  return h("div", { class: "empty" }, picture, h("h2", {}, title), text ? h("p", {}, text) : null, actions);
}

/** Shapes of what will come, until the first answer. */
export function waiting(lines = 3) {
  return h(
    "div",
    { class: "stack", role: "status" },
    h("span", { class: "unseen" }, t("One moment…")),
    Array.from({ length: lines }, () => h("div", { class: "waiting", "aria-hidden": "true" })),
  );
}

/** A labelled field; `wrong(text)` puts a problem below it, "" takes it away.
 *
 * `holder` is what stands in the field where the input has company, a button beside it say.
 */
export function field(label, input, hint = "", holder = input) {
  const id = input.id || (input.id = freshId("field"));
  const below = h("span", { id: `${id}-hint`, class: "hint" }, hint);
  const wrongLine = h("span", { id: `${id}-wrong`, class: "wrong", role: "alert" });
  input.setAttribute("aria-describedby", `${id}-hint ${id}-wrong`);
  const box = h("div", { class: "field" }, h("label", { for: id }, label), holder, below, wrongLine);
  box.wrong = (text) => {
    wrongLine.textContent = text;
    below.hidden = Boolean(text);
    if (text) input.setAttribute("aria-invalid", "true");
    else input.removeAttribute("aria-invalid");
  };
  box.say = (text) => { below.textContent = text; };
  return box;
}

/** Ask a person; gives true or false. `danger` marks what cannot be undone. */
export function ask({ title, body = [], yes, no = t("Cancel"), danger = false }) {
  const id = freshId("ask");
  const dialog = h("dialog", { class: "ask", "aria-labelledby": id });
  return new Promise((resolve) => {
    const answer = (value) => () => { dialog.close(); resolve(value); };
    fill(
      dialog,
      h("h2", { id }, title),
      h("div", { class: "stack" }, [body].flat().map((one) => (typeof one === "string" ? h("p", {}, one) : one))),
      h(
        "div",
        { class: "row" },
        no ? h("button", { class: "button", type: "button", onclick: answer(false) }, no) : null,
        h("button", { class: `button ${danger ? "danger" : "primary"}`, type: "button", autofocus: true, onclick: answer(true) }, yes),
      ),
    );
    dialog.addEventListener("cancel", () => resolve(false));
    dialog.addEventListener("close", () => dialog.remove());
    document.body.append(dialog);
    dialog.showModal();
  });
}

const TOAST_MS = 5_000;

/** Say something in passing, to eyes and to screen readers. */
export function say(text) {
  let box = document.querySelector(".toasts");
  if (!box) {
    box = h("div", { class: "toasts", role: "status", "aria-live": "polite" });
    document.body.append(box);
  }
  const toast = h("div", { class: "toast" }, text);
  box.append(toast);
  setTimeout(() => toast.remove(), TOAST_MS);
}

/** Do something on a button: it cannot be pressed twice, and a problem is said in passing. */
export async function busy(button, work) {
  button.setAttribute("aria-disabled", "true");
  button.disabled = true;
  try {
    return await work();
  } catch (problem) {
    say(explain(problem).filter(Boolean).join(" "));
    return undefined;
  } finally {
    button.disabled = false;
    button.removeAttribute("aria-disabled");
  }
}
