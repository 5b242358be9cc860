// How much of the disk to give: a slider, the disk as a bar, and the same in words.

import { freshId, h, setStyle } from "../base/element.js";
import { bytes } from "../base/format.js";
import { t } from "../base/i18n.js";
import { scale } from "./room.js";

const LEAST_BYTES = 1e9;
const KEEP_FREE = 0.1; // of the disk's free space, for the person

/** `{ element, value }` for a disk with { free_bytes, total_bytes }; `changed(bytes)` as it moves. */
export function spaceSlider({ disk, value, changed = () => {}, least = LEAST_BYTES, label = t("Space for your friends") }) {
  const most = Math.max(least, Math.floor(disk.free_bytes * (1 - KEEP_FREE)));
  const { size, at } = scale(Math.min(least, most), most);
  const id = freshId("space");
  const said = h("output", { for: id, class: "space-said" });
  const input = h("input", { id, type: "range", min: 0, max: 1000, step: 1, value: at(value), "aria-describedby": `${id}-hint` });
  const parts = [h("i", { class: "second" }), h("i")];
  const slider = { element: null, value };
  const draw = () => {
    const given = slider.value;
    said.textContent = bytes(given);
    input.setAttribute("aria-valuetext", t("{size} of {free} free", { size: bytes(given), free: bytes(disk.free_bytes) }));
    setStyle(parts[0], { "--done": 1 - disk.free_bytes / disk.total_bytes });
    setStyle(parts[1], { "--done": given / disk.total_bytes });
  };
  input.addEventListener("input", () => {
    slider.value = size(Number(input.value));
    draw();
    changed(slider.value);
  });
  slider.element = h(
    "div",
    { class: "field space-slider" },
    h("div", { class: "row apart" }, h("label", { for: id }, label), said),
    input,
    h("div", { class: "bar disk", "aria-hidden": "true" }, parts),
    h("span", { class: "hint", id: `${id}-hint` }, t("This disk has {free} free of {total}.", { free: bytes(disk.free_bytes), total: bytes(disk.total_bytes) })),
  );
  draw();
  return slider;
}
