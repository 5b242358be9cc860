// Line icons on a 24 grid, drawn for Covey. They are always beside words, so they are hidden from
// screen readers; a button that is only an icon has an aria-label.

import { svg } from "./element.js";

const PATHS = {
  home: ["M4 11.5 12 5l8 6.5", "M6 10v9h12v-9", "M10 19v-5h4v5"],
  files: ["M4 7.5V18a1.5 1.5 0 0 0 1.5 1.5h13A1.5 1.5 0 0 0 20 18V9a1.5 1.5 0 0 0-1.5-1.5H12L10 5H5.5A1.5 1.5 0 0 0 4 6.5z"],
  restore: ["M5 12a7.5 7.5 0 1 1 2.4 5.5", "M5 18v-4h4", "M12.5 8.5V13l3 1.8"],
  friends: ["M9 11.5a3 3 0 1 0 0-6 3 3 0 0 0 0 6z", "M3.5 19c0-3 2.4-5 5.5-5s5.5 2 5.5 5", "M15.5 6a3 3 0 0 1 0 5.4", "M17 14.3c2.2.6 3.6 2.3 3.6 4.7"],
  space: ["M4 7c0-1.5 3.6-2.7 8-2.7S20 5.5 20 7s-3.6 2.7-8 2.7S4 8.5 4 7z", "M4 7v5c0 1.5 3.6 2.7 8 2.7s8-1.2 8-2.7V7", "M4 12v5c0 1.5 3.6 2.7 8 2.7s8-1.2 8-2.7v-5"],
  activity: ["M5 6.5h14v13H5z", "M5 10.5h14", "M9 4v4", "M15 4v4", "M8.5 14h2", "M13.5 14h2", "M8.5 17h2"],
  good: ["M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18z", "m8 12.3 2.8 2.7L16 9.5"],
  warn: ["M12 4 2.8 19.5h18.4z", "M12 10v4.5", "M12 17.2v.1"],
  bad: ["M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18z", "M12 7.5V13", "M12 16.3v.1"],
  info: ["M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18z", "M12 11v5.5", "M12 7.7v.1"],
  plus: ["M12 5v14", "M5 12h14"],
  close: ["m6 6 12 12", "M18 6 6 18"],
  check: ["m5 12.5 4.5 4.5L19 7.5"],
  back: ["m14.5 5.5-6.5 6.5 6.5 6.5"],
  forward: ["m9.5 5.5 6.5 6.5-6.5 6.5"],
  up: ["M12 19V5", "m6.5 10.5 5.5-5.5 5.5 5.5"],
  down: ["M12 5v14", "m6.5 13.5 5.5 5.5 5.5-5.5"],
  folder: ["M4 7.5V18a1.5 1.5 0 0 0 1.5 1.5h13A1.5 1.5 0 0 0 20 18V9a1.5 1.5 0 0 0-1.5-1.5H12L10 5H5.5A1.5 1.5 0 0 0 4 6.5z"],
  file: ["M7 3.5h7l4 4v13H7z", "M14 3.5v4h4"],
  image: ["M4.5 5h15v14h-15z", "m4.5 16 4.5-4.5 4 4 2.5-2.5 4 4", "M15.5 9.2v.1"],
  search: ["M10.5 17a6.5 6.5 0 1 0 0-13 6.5 6.5 0 0 0 0 13z", "m15.5 15.5 5 5"],
  pause: ["M8.5 5.5v13", "M15.5 5.5v13"],
  play: ["M8 5.5v13l10.5-6.5z"],
  moon: ["M19.5 14.5A8 8 0 0 1 9.5 4.5a8 8 0 1 0 10 10z"],
  sun: ["M12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8z", "M12 2.5v2", "M12 19.5v2", "M2.5 12h2", "M19.5 12h2", "m5.3 5.3 1.4 1.4", "m17.3 17.3 1.4 1.4", "m18.7 5.3-1.4 1.4", "m6.7 17.3-1.4 1.4"],
  language: ["M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18z", "M3.5 9.5h17", "M3.5 14.5h17", "M12 3c-5 5-5 13 0 18", "M12 3c5 5 5 13 0 18"],
  print: ["M7 9V4h10v5", "M7 17H4.5V9h15v8H17", "M7 14h10v6H7z"],
  key: ["M8.5 15.5a4 4 0 1 0 0-8 4 4 0 0 0 0 8z", "M12.5 11.5H21v3.5", "M17.5 11.5v2.5"],
  more: ["M6 12v.1", "M12 12v.1", "M18 12v.1"],
};

export function icon(name) {
  return svg(
    "svg",
    {
      viewBox: "0 0 24 24", fill: "none", stroke: "currentColor", "stroke-width": 1.8,
      "stroke-linecap": "round", "stroke-linejoin": "round", "aria-hidden": "true", focusable: "false",
    },
    (PATHS[name] ?? []).map((d) => svg("path", { d })),
  );
}
