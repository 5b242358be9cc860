// Choosing a folder: by the system's own chooser where the window has one, else by a list here.

import { call } from "../base/api.js";
import { problemNotice, waiting } from "../base/controls.js";
import { fill, freshId, h } from "../base/element.js";
import { splitPath } from "../base/format.js";
import { t } from "../base/i18n.js";
import { icon } from "../base/icons.js";

/** Gives the path of a folder, or null when the person thought better of it. */
export async function chooseFolder({ title = t("Which folder?"), yes = t("Back up {name}") } = {}) {
  try {
    const answer = await call("choose_folder");
    return (typeof answer === "string" ? answer : answer?.path) || null;
  } catch (problem) {
    if (problem.code !== "no_chooser") throw problem;
    return new FolderList(title, yes).ask();
  }
}

class FolderList {
  constructor(title, yes) {
    this.words = yes;
    const id = freshId("folders");
    this.where = h("p", { class: "mono small clip soft" });
    this.list = h("ul", { class: "folders" });
    this.up = h("button", { class: "button icon", type: "button", "aria-label": t("The folder above") }, icon("up"));
    this.take = h("button", { class: "button primary clip", type: "button", disabled: true });
    this.cancel = h("button", { class: "button", type: "button" }, t("Cancel"));
    this.dialog = h(
      "dialog",
      { class: "ask chooser", "aria-labelledby": id },
      h("h2", { id }, title),
      h("div", { class: "row close chooser-where" }, this.up, this.where),
      this.list,
      h("div", { class: "row" }, this.cancel, this.take),
    );
  }

  ask() {
    return new Promise((resolve) => {
      const end = (path) => { resolve(path); this.dialog.close(); };
      this.take.addEventListener("click", () => end(this.path));
      this.cancel.addEventListener("click", () => end(null));
      this.up.addEventListener("click", () => this.#open(this.parent));
      this.dialog.addEventListener("close", () => { resolve(null); this.dialog.remove(); });
      document.body.append(this.dialog);
      this.dialog.showModal();
      this.#open("");
    });
  }

  async #open(path) {
    fill(this.list, h("li", {}, waiting(4)));
    try {
      const found = await call("folders", { path });
      this.path = found.path;
      this.parent = found.parent;
      this.where.textContent = found.path;
      this.up.disabled = !found.parent || found.parent === found.path;
      this.take.disabled = false;
      this.take.textContent = this.words.replace("{name}", splitPath(found.path).name);
      const lines = found.folders.map((one) => h("li", {}, h("button", { class: "folder", type: "button", onclick: () => this.#open(one.path) }, icon("folder"), h("span", { class: "grow clip" }, one.name), icon("forward"))));
      fill(this.list, lines.length ? lines : h("li", { class: "soft small none" }, t("No folders in here.")));
      this.list.querySelector("button")?.focus();
    } catch (problem) {
      fill(this.list, h("li", {}, problemNotice(problem, () => this.#open(""))));
    }
  }
}
