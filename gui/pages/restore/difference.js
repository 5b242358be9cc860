// What differs between two texts, line by line (Myers, "An O(ND) Difference Algorithm", 1986).
//
// Gives rows { left, right }: the lines of both beside each other, null where one has none, and
// `same`. Texts that differ in too much are told as wholly different, so that it ends soon.

const EDITS_MAX = 600; // the memory needed grows with its square

export function difference(one, other) {
  const a = one.split("\n");
  const b = other.split("\n");
  let head = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head += 1;
  let tail = 0;
  while (tail < a.length - head && tail < b.length - head && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail += 1;
  const rows = a.slice(0, head).map(same);
  const [left, right] = [a.slice(head, a.length - tail), b.slice(head, b.length - tail)];
  rows.push(...beside(steps(left, right) ?? [...left.map((line) => ["-", line]), ...right.map((line) => ["+", line])]));
  rows.push(...a.slice(a.length - tail).map(same));
  return rows;
}

const same = (line) => ({ left: line, right: line, same: true });

/** Removed and added lines that follow each other stand beside each other. */
function beside(edits) {
  const rows = [];
  let removed = [];
  let added = [];
  const flush = () => {
    for (let at = 0; at < Math.max(removed.length, added.length); at += 1) {
      rows.push({ left: removed[at] ?? null, right: added[at] ?? null, same: false });
    }
    removed = [];
    added = [];
  };
  for (const [kind, line] of edits) {
    if (kind === "-") removed.push(line);
    else if (kind === "+") added.push(line);
    else { flush(); rows.push(same(line)); }
  }
  flush();
  return rows;
}

function steps(a, b) {
  const limit = Math.min(a.length + b.length, EDITS_MAX);
  let frontier = new Map([[1, 0]]);
  const trace = [];
  for (let edits = 0; edits <= limit; edits += 1) {
    trace.push(new Map(frontier));
    for (let k = -edits; k <= edits; k += 2) {
      const down = k === -edits || (k !== edits && (frontier.get(k - 1) ?? -1) < (frontier.get(k + 1) ?? -1));
      let x = down ? (frontier.get(k + 1) ?? 0) : frontier.get(k - 1) + 1;
      let y = x - k;
      while (x < a.length && y < b.length && a[x] === b[y]) { x += 1; y += 1; }
      frontier.set(k, x);
      if (x >= a.length && y >= b.length) return back(trace, a, b);
    }
  }
  return null;
}

function back(trace, a, b) {
  const edits = [];
  let [x, y] = [a.length, b.length];
  for (let at = trace.length - 1; at >= 0; at -= 1) {
    const frontier = trace[at];
    const k = x - y;
    const down = k === -at || (k !== at && (frontier.get(k - 1) ?? -1) < (frontier.get(k + 1) ?? -1));
    const before = down ? k + 1 : k - 1;
    const fromX = frontier.get(before) ?? 0;
    const fromY = fromX - before;
    while (x > fromX && y > fromY) { edits.push(["=", a[x - 1]]); x -= 1; y -= 1; }
    if (at > 0) edits.push(down ? ["+", b[y - 1]] : ["-", a[x - 1]]);
    [x, y] = [fromX, fromY];
  }
  return edits.reverse();
}
