// How much of the disk to give: a slider, the disk as a bar, and the same in words.

import { freshId, h, setStyle } from "../base/element.js";
import { bytes } from "../base/format.js";
import { t } from "../base/i18n.js";

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

/** Positions of a slider from 0 to 1000 and sizes from `least` to `most`, finer where it is small. */
function scale(least, most) {
  const bend = 2.2;
  return {
    size: (at) => nice(least + (most - least) * (at / 1000) ** bend, least, most),
    at: (size) => Math.round(1000 * (Math.max(0, size - least) / Math.max(1, most - least)) ** (1 / bend)),
  };
}

/** A size that people would say: steps of 1, 5, 10, 50 GB, never outside of the bounds. */
function nice(size, least, most) {
  const step = [0.1, 0.5, 1, 5, 10, 50, 100].map((gb) => gb * 1e9).find((one) => size < one * 25) ?? 1e11;
  return Math.min(most, Math.max(least, Math.round(size / step) * step));
}
