// What a person chose for this browser. Where nothing may be kept (private windows; WebKitGTK's has
// no localStorage at all) it is remembered for as long as the window is open.

/** The first that is there: each may be null, or an error when it is touched. */
function storage() {
  for (const name of ["localStorage", "sessionStorage"]) {
    try {
      if (globalThis[name]) return globalThis[name];
    } catch {
      // switched off
    }
  }
  return null;
}

/** What was chosen, or "". */
export const remembered = (name) => storage()?.getItem(name) ?? "";

/** Choose; "" forgets. */
export function remember(name, value) {
  if (value) storage()?.setItem(name, value);
  else storage()?.removeItem(name);
}
