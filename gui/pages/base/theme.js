// Light or dark: what the system wants, unless the person chose one here.

const CHOICE = "covey.theme";
const system = matchMedia("(prefers-color-scheme: dark)");

/** "light", "dark", or "" for whatever the system says. */
export const chosenTheme = () => localStorage.getItem(CHOICE) ?? "";

export function chooseTheme(theme) {
  if (theme) localStorage.setItem(CHOICE, theme);
  else localStorage.removeItem(CHOICE);
  show();
}

export const isDark = () => document.documentElement.dataset.theme === "dark";

function show() {
  const theme = chosenTheme() || (system.matches ? "dark" : "light");
  document.documentElement.dataset.theme = theme;
}

system.addEventListener("change", show);
show();
