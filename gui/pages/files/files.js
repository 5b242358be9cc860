// Files: what is backed up, what was left out and why, and what need not be backed up.

import { call, live } from "../base/api.js";
import { birdPicture } from "../base/bird.js";
import { ask, busy, empty, problemNotice, say, waiting } from "../base/controls.js";
import { fill, h, Page } from "../base/element.js";
import { bytes, files, splitPath } from "../base/format.js";
import { t, tn } from "../base/i18n.js";
import { icon } from "../base/icons.js";
import { link } from "../base/router.js";
import { told } from "../base/told.js";
import { chooseFolder } from "./chooser.js";
import { WantedOut } from "./ignored.js";

const LEFT_OUT_SHOWN = 20;

class Files extends Page {
  open() {
    this.add = h("button", { class: "button primary", type: "button", onclick: () => this.#add() }, icon("plus"), t("Add a folder"));
    this.list = h("section", { class: "card", "aria-label": t("Backed up") }, waiting(3));
    this.left = h("div", {});
    this.out = new WantedOut();
    fill(
      this,
      h("div", { class: "page-head" }, h("div", {}, h("h1", {}, t("Files")), h("p", {}, t("What Covey keeps safe. Every night, whatever is new in it goes to your friends."))), this.add),
      h("div", { class: "stack loose" }, this.list, this.left, this.out.element),
    );
    this.out.load();
    this.follow(live.on(({ status }) => {
      const key = JSON.stringify([status?.marks, status?.last_snapshot?.id]);
      if (key !== this.key) this.#fetch();
      this.key = key;
    }));
  }

  async #fetch() {
    try {
      const [marks, left] = await Promise.all([call("marks_detail"), call("left_out")]);
      if (!this.shown) return;
      this.#show(marks);
      fill(this.left, leftOut(left));
    } catch (problem) {
      if (this.shown) fill(this.list, problemNotice(problem, () => this.#fetch()));
    }
  }

  #show(marks) {
    if (!marks.length) {
      fill(this.list, empty(birdPicture(), t("Nothing is backed up yet"), t("Add the folders that you would miss: documents, pictures, what you work on.")));
      return;
    }
    const known = marks.filter((mark) => mark.bytes !== null);
    const total = { files: known.reduce((sum, mark) => sum + mark.files, 0), bytes: known.reduce((sum, mark) => sum + mark.bytes, 0) };
    fill(
      this.list,
      h("ul", { class: "marks" }, marks.map((mark) => this.#mark(mark))),
      known.length > 1 ? h("p", { class: "soft small numbers marks-sum" }, t("{size} in {files}", { size: bytes(total.bytes), files: files(total.files) })) : null,
    );
  }

  #mark(mark) {
    const { name, above } = splitPath(mark.path);
    const remove = h("button", { class: "button quiet icon", type: "button", "aria-label": t("Stop backing up {name}", { name }), title: t("Stop backing up {name}", { name }), onclick: () => this.#remove(mark, remove) }, icon("close"));
    return h(
      "li",
      {},
      h("span", { class: "mark-picture" }, icon(mark.kind === "folder" ? "folder" : "file")),
      h("div", { class: "grow" }, h("p", { class: "mark-name clip", title: mark.path }, name), h("p", { class: "soft small clip" }, above)),
      h("div", { class: "mark-facts" }, mark.there ? null : h("span", { class: "pill warn" }, t("not there now")), mark.tagged ? h("span", { class: "pill" }, t("by its tag")) : null, h("span", { class: "soft small numbers nowrap" }, size(mark))),
      mark.bytes !== null && h("a", { class: "button quiet icon", href: kept(mark), "aria-label": t("What is kept of {name}", { name }), title: t("What is kept of {name}", { name }) }, icon("restore")),
      remove,
    );
  }

  async #add() {
    await busy(this.add, async () => {
      const path = await chooseFolder();
      if (!path) return;
      await call("mark", { paths: [path] });
      say(t("{name} goes to your friends with the next night.", { name: splitPath(path).name }));
      await Promise.all([this.#fetch(), this.out.load()]);
    });
  }

  async #remove(mark, button) {
    const { name } = splitPath(mark.path);
    const sure = await ask({
      title: t("Stop backing up {name}?", { name }),
      body: t("Your files stay where they are, and earlier nights keep what they have. New nights leave it out."),
      yes: t("Stop backing it up"),
    });
    if (!sure) return;
    await busy(button, async () => {
      await call("unmark", { paths: [mark.path] });
      say(t("{name} is no longer backed up.", { name }));
      await Promise.all([this.#fetch(), this.out.load()]);
      this.add.focus();
    });
  }
}

/** Where Restore has it. */
function kept(mark) {
  const { name, above } = splitPath(mark.path);
  return mark.kind === "folder" ? link("restore", "latest", mark.path) : link("restore", "latest", above, name);
}

function size(mark) {
  if (mark.bytes === null) return t("from the next night on");
  return mark.kind === "folder" ? `${bytes(mark.bytes)} · ${files(mark.files)}` : bytes(mark.bytes);
}

/** What the last night left out, with the reason of each. */
function leftOut(notes) {
  if (!notes.length) return null;
  const shown = notes.slice(0, LEFT_OUT_SHOWN);
  const line = ({ path, text }) => h("li", {}, h("p", { class: "mono small left-path" }, path), h("p", { class: "soft small" }, reason(text)));
  return h(
    "section",
    { class: "card stack tight", "aria-labelledby": "left-out" },
    h("h2", { id: "left-out" }, t("Notes of the last night")),
    h("ul", { class: "left-out" }, shown.map(line)),
    notes.length > shown.length ? h("details", {}, h("summary", {}, tn("one more", "{n} more", notes.length - shown.length)), h("ul", { class: "left-out" }, notes.slice(LEFT_OUT_SHOWN).map(line))) : null,
  );
}

function reason(text) {
  const [what, why] = text.startsWith("left out: ") ? [t("left out"), text.slice(10)] : ["", text];
  const known = {
    "permission denied": t("Covey may not read it"),
    "not a file, a folder or a link": t("it is a device or a connection between programs, not a file"),
    "not there tonight; what was backed up before is kept": t("not there that night; what was backed up before is kept"),
    "no longer backed up, as you wished; earlier nights still have it": t("no longer backed up, as you wished; earlier nights still have it"),
  }[why] ?? told(why);
  return what ? `${what}: ${known}` : known;
}

customElements.define("covey-files", Files);
