// Making elements, and the class that every page extends.
//
//   h("button", { class: "button primary", onclick: go }, t("Go on"))
//
// Attributes that are functions become listeners, `style` is an object that goes through CSSOM
// (the CSP allows no style attribute), `true` is an empty attribute, and null, undefined and false
// are left out, among children too. Text is always text: nothing here can make markup of a string.

const SVG = "http://www.w3.org/2000/svg";

export function h(tag, attributes = {}, ...children) {
  return dress(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes = {}, ...children) {
  return dress(document.createElementNS(SVG, tag), attributes, children);
}

function dress(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name.replace(/^on/, ""), value);
    else if (name === "style") setStyle(element, value);
    else if (name === "value") element.value = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...present(children));
  return element;
}

export function setStyle(element, style) {
  for (const [name, value] of Object.entries(style)) element.style.setProperty(name, String(value));
}

function present(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
}

/** Put children in place of whatever is in `element`. */
export function fill(element, ...children) {
  element.replaceChildren(...present(children));
  return element;
}

let lastId = 0;
/** An id that nothing else on the page has, to tie a label to its field. */
export function freshId(stem = "id") {
  lastId += 1;
  return `${stem}-${lastId}`;
}

/** A custom element whose listeners end when it leaves the document.
 *
 * Extend it, say in `open(rest)` what happens when it is shown, and take whatever must end with it
 * through `this.follow(...)`. `rest` is what the address has after the page's name. A page that has
 * `moved(rest)` stays when only the rest of the address changes; others are made anew.
 */
export class Page extends HTMLElement {
  #ends = [];

  connectedCallback() {
    this.open(this.rest ?? []);
  }

  disconnectedCallback() {
    for (const end of this.#ends.splice(0)) end();
  }

  open() {}

  /** Keep `end`, a function that ends something, to be called when the page is left. */
  follow(end) {
    this.#ends.push(end);
  }

  get shown() {
    return this.isConnected;
  }
}
