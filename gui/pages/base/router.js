// Which page is shown: the part of the address after `#/`. A page's code and style come when it is
// first asked for. `#/restore/abc` opens the page `restore` with the rest ["abc"].

/** name -> [element, module, stylesheet]. Adding a page is adding a line here and one in layout.js. */
const PAGES = {
  home: ["covey-home", "/pages/home/home.js", "/pages/home/home.css"],
  files: ["covey-files", "/pages/files/files.js", "/pages/files/files.css"],
  restore: ["covey-restore", "/pages/restore/restore.js", "/pages/restore/restore.css"],
  friends: ["covey-friends", "/pages/friends/friends.js", "/pages/friends/friends.css"],
  space: ["covey-space", "/pages/space/space.js", "/pages/space/space.css"],
  activity: ["covey-activity", "/pages/activity/activity.js", "/pages/activity/activity.css"],
  start: ["covey-first-run", "/pages/first_run/first_run.js", "/pages/first_run/first_run.css"],
};
const FIRST = "home";

/** Where the address points: { name, rest }. What it does not know is the first page. */
export function here() {
  const [name, ...rest] = location.hash.replace(/^#\/?/, "").split("/").map(decodeURIComponent);
  return PAGES[name] ? { name, rest } : { name: FIRST, rest: [] };
}

export const link = (name, ...rest) => `#/${[name, ...rest].map(encodeURIComponent).join("/")}`;
export const go = (name, ...rest) => { location.hash = link(name, ...rest); };

/** Begin to fetch what a page needs, before it is known whether it will be shown. */
export function warm(name) {
  const [, module, sheet] = PAGES[name];
  Promise.all([import(module), style(sheet)]).catch(() => {}); // told when the page is made
}

/** Make the element of a page, with its code and style there. Throws when they cannot be fetched. */
export async function make(name, rest = []) {
  const [tag, module, sheet] = PAGES[name];
  await Promise.all([import(module), style(sheet)]);
  const page = document.createElement(tag);
  page.rest = rest;
  return page;
}

const sheets = new Map();
function style(href) {
  if (!sheets.has(href)) {
    sheets.set(href, new Promise((resolve, reject) => {
      const element = document.createElement("link");
      element.rel = "stylesheet";
      element.href = href;
      element.onload = resolve;
      element.onerror = () => { sheets.delete(href); reject(new Error(href)); };
      document.head.append(element);
    }));
  }
  return sheets.get(href);
}
