// Join: group, password, space. Nothing else is asked, unless nobody has used the name yet.

import { call } from "../base/api.js";
import { explain, field, notice, problemNotice, waiting } from "../base/controls.js";
import { fill, h } from "../base/element.js";
import { t } from "../base/i18n.js";
import { link } from "../base/router.js";
import { spaceSlider } from "../space/slider.js";
import { stepCount, stepHead } from "./steps.js";

const TIGHT_BYTES = 2e9; // with less free disk there is nothing to give

// Problems that belong to a field rather than below the form.
const ABOUT = {
  wrong_password: "password", weak_password: "password", password: "password", empty_password: "password",
  bad_name: "group", group_name: "group",
};

/** `joined(words)` hears the 24 recovery words. */
export function joinStep({ group = "", server = "", joined }) {
  const name = h("input", { class: "input", type: "text", autocomplete: "off", autocapitalize: "none", spellcheck: "false", required: true, value: group });
  const password = passwordInput();
  const address = h("input", { class: "input", type: "url", placeholder: "https://", autocomplete: "off", value: server });
  const fields = {
    group: field(t("Group"), name, t("The name that you and your friends agreed on.")),
    password: field(t("Password"), password.input, t("The same for everyone in the group."), password.box),
  };
  const below = h("div", { "aria-live": "polite" });
  const space = h("div", {}, waiting(1));
  const button = h("button", { class: "button primary wide", type: "submit" }, t("Join"));
  const state = { slider: null };
  const more = h("details", { class: "more", open: Boolean(server) }, h("summary", {}, t("Our group has its own server")), field(t("Address of the server"), address, t("Leave it empty if nobody told you one.")));
  const form = h("form", { class: "card stack loose", novalidate: true }, fields.group, fields.password, space, more, below, button);
  loadDisk(space, state);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    fill(below);
    if (!check(fields, name, password.input)) return;
    if (!state.slider) return;
    const given = { group: name.value.trim(), password: password.input.value, space_bytes: state.slider.value, create: false };
    if (address.value.trim()) given.server = address.value.trim();
    await tryToJoin({ given, fields, below, button, joined, more });
  });
  return h(
    "div",
    { class: "stack loose" },
    stepHead(t("Backups with friends"), t("Your files, sealed, on your friends' computers. Theirs on yours."), stepCount(1)),
    form,
    h("p", { class: "center" }, h("a", { href: link("start", "recover") }, t("I had Covey on another computer"))),
  );
}

/** A password field with a button that shows it. */
export function passwordInput() {
  const input = h("input", { class: "input", type: "password", autocomplete: "current-password", required: true });
  const button = h("button", { class: "button quiet", type: "button", "aria-pressed": "false", onclick: () => {
    const shown = input.type === "text";
    input.type = shown ? "password" : "text";
    button.textContent = shown ? t("Show") : t("Hide");
    button.setAttribute("aria-pressed", String(!shown));
  } }, t("Show"));
  return { input, box: h("div", { class: "password" }, input, button) };
}

function check(fields, name, password) {
  fields.group.wrong(name.value.trim() ? "" : t("Which group?"));
  fields.password.wrong(password.value ? "" : t("The password is missing."));
  const first = [name, password].find((one) => one.getAttribute("aria-invalid"));
  first?.focus();
  return !first;
}

async function loadDisk(box, state) {
  try {
    const disk = await call("space_free");
    if (disk.free_bytes < TIGHT_BYTES) fill(box, notice("warn", t("This disk is almost full."), t("Make room first, or give a little now and more later.")));
    else fill(box);
    state.slider = spaceSlider({ disk, value: disk.default_offer_bytes });
    box.append(state.slider.element);
  } catch (problem) {
    fill(box, problemNotice(problem, () => loadDisk(box, state)));
  }
}

async function tryToJoin({ given, fields, below, button, joined, more }) {
  button.disabled = true;
  button.textContent = given.create ? t("Starting the group…") : t("Joining…");
  try {
    const { words } = await call("join", given);
    joined(words);
  } catch (problem) {
    button.hidden = false;
    if (problem.code === "unknown_group" && !given.create) firstHere({ given, fields, below, button, joined, more });
    else tell(problem, fields, below);
    if (problem.code === "no_server") more.open = true; // the field that would help
  } finally {
    button.disabled = false;
    button.textContent = t("Join");
  }
}

function tell(problem, fields, below) {
  const about = fields[ABOUT[problem.code]];
  if (!about) return fill(below, problemNotice(problem));
  about.wrong(explain(problem).filter(Boolean).join(" "));
  about.querySelector("input").focus();
  return undefined;
}

/** Nobody has used the name yet: a typing mistake, or a beginning. The password is asked again. */
function firstHere({ given, fields, below, button, joined, more }) {
  const again = h("input", { class: "input", type: "password", autocomplete: "new-password" });
  const box = field(t("The password once more"), again, t("Your friends will need exactly this one."));
  const begin = h("button", { class: "button primary", type: "button", onclick: () => {
    if (again.value !== given.password) {
      box.wrong(t("The two passwords differ."));
      again.focus();
      return;
    }
    tryToJoin({ given: { ...given, create: true }, fields, below, button, joined, more });
  } }, t("Start «{group}»", { group: given.group }));
  const back = h("button", { class: "button", type: "button", onclick: () => { fill(below); button.hidden = false; fields.group.querySelector("input").select(); } }, t("Change the name"));
  fill(below, notice("info", t("You are the first in «{group}».", { group: given.group }), t("Start it? If your friends are there already, the name is written differently."), box, h("div", { class: "row" }, begin, back)));
  again.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    begin.click();
  });
  button.hidden = true; // one way on is enough
  again.focus();
}
