// Sentences of the agent in the person's language.
//
// The agent speaks English and puts numbers and names into its sentences. The catalogue knows the
// sentences with places for those ("{name} was not seen for {days} days."); what matches one is put
// into the person's language, and what matches none stays as it was said.

import { known, language } from "./i18n.js";

const FORMS_MAX_LENGTH = 400; // a sentence longer than that is not one of ours
let shapes = null;

export function told(text) {
  if (!text || language === "en" || text.length > FORMS_MAX_LENGTH) return text ?? "";
  const whole = known()[text];
  if (typeof whole === "string" && whole) return whole;
  shapes ??= prepare();
  for (const { pattern, places, into } of shapes) {
    const match = pattern.exec(text);
    if (!match) continue;
    const values = Object.fromEntries(places.map((place, at) => [place, match[at + 1]]));
    return into.replace(/\{(\w+)\}/g, (all, place) => values[place] ?? all);
  }
  return sentences(text);
}

/** Several sentences at once are told one by one. */
function sentences(text) {
  const parts = text.split(/(?<=[.!?]) (?=[A-Z])/);
  return parts.length > 1 ? parts.map(told).join(" ") : text;
}

/** The catalogue's texts that have places, the most specific ones first. */
function prepare() {
  return Object.entries(known())
    .filter(([english, into]) => typeof into === "string" && into && /\{\w+\}/.test(english) && /[.!?]$/.test(english))
    .map(([english, into]) => ({ ...shape(english), into, weight: english.replace(/\{\w+\}/g, "").length }))
    .sort((one, other) => other.weight - one.weight);
}

function shape(english) {
  const places = [];
  const source = english
    .split(/(\{\w+\})/)
    .map((part) => {
      if (!/^\{\w+\}$/.test(part)) return part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
      places.push(part.slice(1, -1));
      return "(.+?)";
    })
    .join("");
  return { pattern: new RegExp(`^${source}$`, "s"), places };
}
