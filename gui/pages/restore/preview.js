// A look at a file of a night: its text, or its picture, or what can be said instead.

import { call } from "../base/api.js";
import { problemNotice, waiting } from "../base/controls.js";
import { fill, h } from "../base/element.js";
import { bytes } from "../base/format.js";
import { t } from "../base/i18n.js";
import { icon } from "../base/icons.js";

export const TEXT_BYTES = 64 * 1024; // enough to know a text again
const PICTURE_BYTES = 8 * 1024 * 1024;
const PICTURES = /\.(png|jpe?g|gif|webp|avif|bmp)$/i;

/** What the agent has of a file: { kind, type, whole, data: Uint8Array }. */
export async function fetchPreview(snapshot, entry, most = TEXT_BYTES) {
  const size_max = PICTURES.test(entry.path) ? PICTURE_BYTES : most;
  const told = await call("preview", { snapshot, path: entry.path, size_max });
  return { ...told, data: Uint8Array.from(atob(told.data), (letter) => letter.charCodeAt(0)) };
}

export const asText = ({ data }) => new TextDecoder().decode(data);

/** A picture of these bytes; its address ends with the element's load. */
export function asPicture({ data, type }, name) {
  const address = URL.createObjectURL(new Blob([data], { type }));
  const free = () => URL.revokeObjectURL(address);
  return h("img", { src: address, alt: t("A look at {name}", { name }), onload: free, onerror: free });
}

/** An element that shows a file as soon as it is known. */
export class Preview {
  constructor() {
    this.element = h("div", { class: "preview", "aria-live": "polite" });
  }

  async show(snapshot, entry) {
    const wanted = (this.wanted = Symbol(entry.path));
    fill(this.element, waiting(4));
    try {
      const found = await fetchPreview(snapshot, entry);
      if (wanted === this.wanted) fill(this.element, look(found, entry));
    } catch (problem) {
      if (wanted === this.wanted) fill(this.element, problemNotice(problem, () => this.show(snapshot, entry)));
    }
  }

  clear() {
    this.wanted = null;
    fill(this.element);
  }
}

function look(found, entry) {
  if (found.kind === "image") return asPicture(found, entry.name);
  if (found.kind === "text" && found.size === 0) return h("p", { class: "soft none" }, t("This file is empty."));
  if (found.kind === "text") {
    return [
      h("pre", { class: "preview-text", tabindex: 0, "aria-label": t("A look at {name}", { name: entry.name }) }, asText(found)),
      found.whole ? null : h("p", { class: "soft small" }, t("The first {part} of {all}.", { part: bytes(found.data.length), all: bytes(found.size) })),
    ];
  }
  return h("div", { class: "soft none" }, icon("file"), h("p", {}, t("This kind of file cannot be shown here. Restore it to open it.")));
}
