// What stays while pages change: the name, the way between the pages, and the words at the top when
// the agent does not answer. The navigation is beside the page, or below it on a small screen.

import { live } from "./api.js";
import { birdPicture } from "./bird.js";
import { notice } from "./controls.js";
import { fill, h } from "./element.js";
import { language, languages, speak, t } from "./i18n.js";
import { icon } from "./icons.js";
import { link } from "./router.js";
import { chooseTheme, isDark } from "./theme.js";

const entries = () => [
  ["home", t("Home"), "home"],
  ["files", t("Files"), "files"],
  ["restore", t("Restore"), "restore"],
  ["friends", t("Friends"), "friends"],
  ["space", t("Space"), "space"],
  ["activity", t("Activity"), "activity"],
];

export class Layout {
  constructor() {
    this.main = h("main", { id: "main", tabindex: -1 });
    this.links = new Map(
      entries().map(([name, label, picture]) => [name, h("a", { href: link(name) }, icon(picture), h("span", {}, label))]),
    );
    this.nav = h("nav", { "aria-label": t("Pages") }, h("ul", {}, [...this.links.values()].map((one) => h("li", {}, one))));
    this.group = h("p", { class: "brand-group clip" });
    this.above = h("div", { class: "above", "aria-live": "polite" });
    this.element = h(
      "div",
      { class: "layout" },
      h("a", { class: "skip", href: "#main", onclick: (event) => this.#skip(event) }, t("Skip to the page")),
      h(
        "header",
        { class: "side" },
        h(
          "div",
          { class: "brand" },
          h("span", { class: "brand-bird" }, birdPicture()),
          h("div", { class: "grow" }, h("p", { class: "brand-name" }, "Covey"), this.group),
        ),
        this.nav,
        h("div", { class: "wishes" }, themeSwitch(), languageSwitch()),
      ),
      h("div", { class: "page" }, this.above, this.main),
    );
    live.on((state) => this.#state(state));
  }

  /** Put a page in place and let a screen reader begin at it. */
  show(name, page, { focus }) {
    for (const [one, element] of this.links) {
      if (one === name) element.setAttribute("aria-current", "page");
      else element.removeAttribute("aria-current");
    }
    fill(this.main, page);
    scrollTo(0, 0);
    if (focus) this.main.focus({ preventScroll: true });
  }

  /** Without the navigation, for the first run. */
  bare(yes) {
    this.element.classList.toggle("bare", yes);
    this.nav.hidden = yes;
  }

  #state(state) {
    this.group.textContent = state?.status?.group ?? "";
    fill(this.above, live.here ? null : notice("bad", t("Covey is not running."), t("Open Covey again; your backups are where they were.")));
  }

  #skip(event) {
    event.preventDefault(); // the address is the page's
    this.main.focus();
  }
}

function themeSwitch() {
  const button = h("button", { class: "button quiet icon", type: "button", onclick: () => { chooseTheme(isDark() ? "light" : "dark"); draw(); } });
  const draw = () => {
    const label = isDark() ? t("Light colours") : t("Dark colours");
    button.setAttribute("aria-label", label);
    button.title = label;
    fill(button, icon(isDark() ? "sun" : "moon"));
  };
  draw();
  return button;
}

function languageSwitch() {
  return h(
    "select",
    { class: "language", "aria-label": t("Language"), onchange: (event) => speak(event.target.value) },
    languages().map(([code, name]) => h("option", { value: code, selected: code === language, lang: code }, name)),
  );
}
