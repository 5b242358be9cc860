// Words in the person's language.
//
//   t("Back up now")        t("Last seen {when}", { when })
//   tn("one friend", "{n} friends", n)        also with further values
//
// English is in the code; `make words` collects it into ../locale/covey.pot, and the catalogues
// become ../locale/<language>.json. What a catalogue lacks stays English.

import { remember, remembered } from "./remembered.js";

const LANGUAGES = ["en", "de"];
const CHOICE = "covey.language";

export let language = "en";
export let locale = "en"; // the language as it is spoken where the person lives: en-GB, de-AT
let words = {};
let plural = new Intl.PluralRules("en");

/** The language that was chosen, or the browser's where we speak it, or English. */
function wanted() {
  const chosen = remembered(CHOICE);
  if (LANGUAGES.includes(chosen)) return chosen;
  for (const one of navigator.languages ?? [navigator.language]) {
    const short = one.slice(0, 2).toLowerCase();
    if (LANGUAGES.includes(short)) return short;
  }
  return "en";
}

/** Fetch the words; before it is done everything is English. */
export async function loadWords() {
  language = wanted();
  locale = (navigator.languages ?? []).find((one) => one.slice(0, 2).toLowerCase() === language) ?? language;
  plural = new Intl.PluralRules(language);
  document.documentElement.lang = language;
  if (language === "en") return;
  try {
    const response = await fetch(`/pages/locale/${language}.json`);
    words = response.ok ? await response.json() : {};
  } catch {
    words = {};
  }
}

export const languages = () => LANGUAGES.map((code) => [code, ownName(code)]);

/** Speak another language from now on. */
export function speak(code) {
  remember(CHOICE, code);
  location.reload();
}

export function t(english, values = {}) {
  const known = words[english];
  return put(typeof known === "string" && known ? known : english, values);
}

export function tn(one, many, n, values = {}) {
  const all = { n: new Intl.NumberFormat(locale).format(n), ...values };
  const known = words[one];
  if (Array.isArray(known)) return put(known[form(n, known.length)] || many, all);
  return put(n === 1 ? one : many, all);
}

/** Which of `count` forms a number takes; gettext and CLDR put them in the same order. */
function form(n, count) {
  const names = ["zero", "one", "two", "few", "many", "other"];
  const used = names.filter((name) => plural.resolvedOptions().pluralCategories.includes(name));
  return Math.min(used.indexOf(plural.select(n)), count - 1);
}

function put(text, values) {
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

const ownName = (code) => new Intl.DisplayNames([code], { type: "language" }).of(code);

/** Every text that the catalogue has, for sentences of the agent (see told.js). */
export const known = () => words;
