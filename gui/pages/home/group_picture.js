// The group as a covey at night: you in the middle, your friends in a ring looking out. A line is
// what a friend keeps for you, the thicker the more. Who is awake has an open eye and full colour.
// Friends can be touched to imagine them gone; arrow keys go from one to the next.

import { bird } from "../base/bird.js";
import { fill, svg } from "../base/element.js";
import { ago, percent } from "../base/format.js";
import { t } from "../base/i18n.js";

const SIZE = 440;
const MIDDLE = SIZE / 2;
const LABELLED_MAX = 14; // with more friends names would lie upon each other
const ONE_RING_MAX = 18;
const LINE_MAX = 9;
const LINE_MAX_OF_MANY = 3.5;
const NAME_LETTERS_MAX = 12;
const SIZE_OF_BIRD = 1.5;
export const AWAY_DAYS = 3; // the grace period: from then on a friend counts as away, not asleep

/** "awake", "asleep" or "away" (not seen for days). */
export function mood(friend, now = Date.now()) {
  if (friend.online) return "awake";
  const away = friend.last_seen_ns && now - friend.last_seen_ns / 1e6 > AWAY_DAYS * 86_400_000;
  return away ? "away" : "asleep";
}

/** What share of everything each friend keeps: 0 to 1. */
export function parts(friends) {
  const all = friends.reduce((sum, friend) => sum + friend.shares, 0);
  return friends.map((friend) => (all ? friend.shares / all : 0));
}

export class GroupPicture {
  #friends = [];
  #gone = new Set();
  #carrying = new Set();
  #at = 0;

  /** `changed(names)` hears who is imagined gone. */
  constructor({ changed }) {
    this.changed = changed;
    this.element = svg("svg", { viewBox: `0 0 ${SIZE} ${SIZE}`, class: "group-picture", role: "group", "aria-label": t("Your group") });
    this.element.addEventListener("keydown", (event) => this.#key(event));
  }

  show(friends, me) {
    const key = JSON.stringify([friends.map(({ name, online, shares, last_seen_ns }) => [name, online, shares, last_seen_ns > 0]), me]);
    if (key === this.key) return;
    this.key = key;
    this.#friends = friends;
    this.me = me;
    this.#at = Math.min(this.#at, Math.max(0, friends.length - 1));
    this.#draw();
  }

  /** Names of the friends to whom something is carried right now. */
  carry(names) {
    const next = new Set(names);
    if (next.size === this.#carrying.size && [...next].every((name) => this.#carrying.has(name))) return;
    this.#carrying = next;
    this.element.querySelectorAll("[data-line]").forEach((line) => line.classList.toggle("carrying", next.has(line.dataset.line)));
  }

  get gone() {
    return this.#friends.filter((friend) => this.#gone.has(friend.member)).map((friend) => friend.name);
  }

  #draw() {
    const focused = this.element.contains(document.activeElement);
    const places = ring(this.#friends.length);
    const held = parts(this.#friends);
    const most = Math.max(...held, 1e-9);
    this.buttons = this.#friends.map((friend, at) => this.#friend(friend, at, places[at], held[at]));
    fill(
      this.element,
      svg("circle", { cx: MIDDLE, cy: MIDDLE, r: 52, class: "nest" }),
      this.#friends.map((friend, at) => this.#line(friend, places[at], held[at] / most)),
      this.buttons,
      svg("g", { transform: `translate(${MIDDLE - 31} ${MIDDLE - 34}) scale(1.8)`, class: "me" }, bird()),
      svg("text", { x: MIDDLE, y: MIDDLE + 42, class: "my-name", "text-anchor": "middle" }, t("you")),
    );
    if (focused) this.buttons[this.#at]?.focus();
  }

  #line(friend, place, part) {
    const widest = this.#friends.length > ONE_RING_MAX ? LINE_MAX_OF_MANY : LINE_MAX;
    const width = friend.shares ? 1 + part * (widest - 1) : 0;
    const [fx, fy] = toward(place, 56);
    const [tx, ty] = toward(place, place.r - 30 * place.scale);
    return svg("line", {
      x1: fx, y1: fy, x2: tx, y2: ty, "stroke-width": width.toFixed(1), "stroke-linecap": "round", "data-line": friend.name,
      class: ["line", mood(friend), this.#gone.has(friend.member) ? "gone" : "", friend.shares ? "" : "nothing", this.#carrying.has(friend.name) ? "carrying" : ""].join(" "),
    });
  }

  #friend(friend, at, place, part) {
    const [x, y] = toward(place, place.r);
    const how = mood(friend);
    const gone = this.#gone.has(friend.member);
    const turned = place.cos < -0.05 ? `scale(${-SIZE_OF_BIRD * place.scale} ${SIZE_OF_BIRD * place.scale})` : `scale(${SIZE_OF_BIRD * place.scale})`;
    const above = place.sin < -0.5; // so that the name is not upon the line to you
    const label = this.#friends.length <= LABELLED_MAX && svg("text", { x, y: y + (above ? -30 : 42) * place.scale, "text-anchor": "middle", class: "friend-name" }, shorten(friend.name));
    return svg(
      "g",
      {
        class: `friend ${how}${gone ? " gone" : ""}`, role: "button", tabindex: at === this.#at ? 0 : -1,
        "aria-pressed": String(gone), "aria-label": this.#tell(friend, how, part), onclick: () => this.#toggle(at),
      },
      svg("title", {}, this.#tell(friend, how, part)),
      svg("circle", { cx: x, cy: y, r: 33 * place.scale, class: "perch" }),
      svg("g", { transform: `translate(${x.toFixed(1)} ${y.toFixed(1)}) ${turned} translate(-17 -16)` }, bird({ awake: how === "awake" })),
      label,
    );
  }

  #tell(friend, how, part) {
    const seen = friend.last_seen_ns ? ago(friend.last_seen_ns) : "";
    const state = {
      awake: t("awake"),
      asleep: seen ? t("asleep, seen {ago}", { ago: seen }) : t("asleep"),
      away: t("away, seen {ago}", { ago: seen }),
    }[how];
    return t("{name}: {state}; keeps {part} of your backup", { name: friend.name, state, part: percent(part) });
  }

  #toggle(at) {
    const { member } = this.#friends[at];
    if (!this.#gone.delete(member)) this.#gone.add(member);
    this.#at = at;
    this.#draw();
    this.buttons[at].focus();
    this.changed(this.gone);
  }

  #key(event) {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      this.#toggle(this.#at);
    } else if (step && this.buttons.length) {
      event.preventDefault();
      this.buttons[this.#at].setAttribute("tabindex", -1);
      this.#at = (this.#at + step + this.buttons.length) % this.buttons.length;
      this.buttons[this.#at].setAttribute("tabindex", 0);
      this.buttons[this.#at].focus();
    }
  }
}

/** Where each friend sits: one ring, or two when there are many; the first one at the top. */
function ring(count) {
  const inner = count > ONE_RING_MAX ? Math.floor(count * 0.38) : 0;
  const places = [];
  for (let at = 0; at < count; at += 1) {
    const second = at < inner;
    const [of, index] = inner ? (second ? [inner, at] : [count - inner, at - inner]) : [count, at];
    const angle = (index / of) * 2 * Math.PI - Math.PI / 2 + (second ? Math.PI / of : 0);
    const r = inner ? (second ? 118 : 192) : 164;
    const scale = inner ? 0.62 : count > 10 ? 0.82 : 1;
    places.push({ r, scale, cos: Math.cos(angle), sin: Math.sin(angle) });
  }
  return places;
}

const toward = (place, r) => [MIDDLE + place.cos * r, MIDDLE + place.sin * r];
const shorten = (name) => (name.length > NAME_LETTERS_MAX ? `${name.slice(0, NAME_LETTERS_MAX - 1)}…` : name);
