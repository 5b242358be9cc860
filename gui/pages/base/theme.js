// Light or dark: what the system wants, unless the person chose one here.

import { remember, remembered } from "./remembered.js";

const CHOICE = "covey.theme";
const system = matchMedia("(prefers-color-scheme: dark)");

/** "light", "dark", or "" for whatever the system says. */
export const chosenTheme = () => remembered(CHOICE);

export function chooseTheme(theme) {
  remember(CHOICE, theme);
  show();
}

export const isDark = () => document.documentElement.dataset.theme === "dark";

function show() {
  const theme = chosenTheme() || (system.matches ? "dark" : "light");
  document.documentElement.dataset.theme = theme;
}

system.addEventListener("change", show);
show();
