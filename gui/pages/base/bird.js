// The bird of Covey: a quail, drawn once, awake or asleep. A covey sleeps in a ring, tails
// together, each bird looking out; that is also how a group keeps backups.

import { svg } from "./element.js";

const BODY = "M4 21c0-7 5-12 11.5-12 1.4 0 2.6.2 3.8.6C20 6.8 22.3 5 25 5c3.3 0 5.7 2.5 5.7 5.8 0 2-.8 3.5-2 4.7.3 1 .5 2 .5 3.2C29.2 25.5 23.8 30 17 30c-4 0-7-1-9.5-3L2 28.5z";
const PLUME = "M26 5c-.3-2 .6-3.6 2.6-4.2 1 1.8.6 3.6-1.3 4.7z";
const BEAK = "m30.5 9.8 2.9 1.1-2.9 1.3z";

/** A group of shapes, 34 wide and 32 high, coloured by `currentColor`. */
export function bird({ awake = true } = {}) {
  const eye = awake
    ? svg("circle", { cx: 26.2, cy: 9.6, r: 1.25, class: "bird-eye" })
    : svg("path", { d: "M24.6 9.6q1.5 1.3 3 0", class: "bird-lid", fill: "none", "stroke-width": 1.1, "stroke-linecap": "round" });
  return svg(
    "g",
    { class: awake ? "bird awake" : "bird asleep", fill: "currentColor" },
    svg("path", { d: BODY }),
    svg("path", { d: PLUME }),
    svg("path", { d: BEAK }),
    svg("path", { d: "M8.5 21.5c3.5 3.5 9.5 3.5 12.5-1.5", class: "bird-wing", fill: "none", "stroke-width": 1.3, "stroke-linecap": "round" }),
    eye,
  );
}

/** A few of them side by side, for where there is room: [left, top, scale, awake, turned]. */
const FLOCK = [
  [0, 12, 0.8, true, true],
  [24, 3, 1.1, true, false],
  [58, 10, 0.85, false, true],
  [84, 0, 1.2, true, false],
  [124, 15, 0.7, true, true],
];

export function coveyPicture() {
  const birds = FLOCK.map(([x, y, scale, awake, turned], at) => svg(
    "g",
    { transform: `translate(${x + (turned ? 34 * scale : 0)} ${y}) scale(${turned ? -scale : scale} ${scale})`, class: `flock-${at}` },
    bird({ awake }),
  ));
  return svg("svg", { viewBox: "0 -2 150 42", "aria-hidden": "true", focusable: "false" }, birds);
}

/** The same as a picture of its own. */
export function birdPicture(wishes) {
  return svg("svg", { viewBox: "0 -1 35 32", "aria-hidden": "true", focusable: "false" }, bird(wishes));
}
