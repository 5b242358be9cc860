// Everything that is said to the agent, and what it tells by itself.
//
//   await call("snapshots")                 one answer; throws Problem
//   const id = await start("backup")        long work; it goes on when this page closes
//   follow(id, (event) => ...)              its events; gives a function that ends the listening
//   live.state, live.on(fn)                 what the agent last told about everything
//
// The agent is on this computer and nowhere else is anything fetched from.

const CALL_PATIENCE_MS = 120_000; // browsing a snapshot may wait for a friend
const GONE_AFTER_MS = 4_000; // an event stream that broke comes back within that time, usually

/** What could not be done: `text` says why and `nextStep` what to do, whole sentences both. */
export class Problem extends Error {
  constructor(text, nextStep = "", code = "") {
    super(text);
    this.text = text;
    this.nextStep = nextStep;
    this.code = code;
  }
}

const gone = () =>
  new Problem("Covey is not running.", "Open Covey again; your backups are where they were.", "agent_gone");
const stranger = () =>
  new Problem("This page is no longer let in.", "Open Covey again from your programs.", "no_cookie");

/** Ask for one thing. Gives the answer, throws `Problem`. */
export async function call(method, given = {}, { signal } = {}) {
  const patience = AbortSignal.timeout(CALL_PATIENCE_MS);
  let response;
  try {
    response = await fetch(`/api/${method}`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(given),
      credentials: "same-origin",
      signal: signal ? AbortSignal.any([signal, patience]) : patience,
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw gone();
  }
  if (response.status === 401) throw stranger();
  const answer = await response.json().catch(() => null);
  if (response.ok) return answer;
  if (answer && typeof answer.text === "string" && answer.text) {
    throw new Problem(answer.text, answer.next_step ?? "", answer.code ?? "");
  }
  throw new Problem("Covey could not do that.", "Try again in a moment.", `http_${response.status}`);
}

/** Start long work; gives its job id, or throws `Problem`. */
export async function start(stream, given = {}) {
  const { job } = await call(stream, given);
  return job;
}

export const cancel = (job) => call("cancel", { job });

/** Start long work and hear its events until it ends. Gives the `done` event.
 *
 * Throws `Problem` where the work ended with one. `heard(event, job)` gets each event.
 */
export async function run(stream, given = {}, heard = () => {}) {
  const job = await start(stream, given);
  return new Promise((resolve, reject) => {
    const end = follow(job, (event) => {
      heard(event, job);
      if (event.event === "done") { end(); resolve(event); }
      if (event.event === "problem") { end(); reject(new Problem(event.text, event.next_step, event.code)); }
    });
  });
}

const listeners = new Map(); // job -> Set of functions
const early = new Map(); // job -> events that came before anybody followed
const EARLY_EVENTS_MAX = 200;
const EARLY_JOBS_MAX = 20;

/** Hear the events of a job, those of the last moments first. Gives a function that ends it. */
export function follow(job, heard) {
  const set = listeners.get(job) ?? new Set();
  listeners.set(job, set.add(heard));
  const before = early.get(job) ?? [];
  early.delete(job);
  queueMicrotask(() => before.forEach(heard));
  return () => {
    set.delete(heard);
    if (!set.size) listeners.delete(job);
  };
}

function hear(event) {
  const set = listeners.get(event.job);
  if (set) return [...set].forEach((heard) => heard(event));
  const waiting = early.get(event.job) ?? [];
  if (waiting.length < EARLY_EVENTS_MAX) waiting.push(event);
  early.set(event.job, waiting);
  if (early.size > EARLY_JOBS_MAX) early.delete(early.keys().next().value);
}

/** What the agent tells by itself. `state` is null until it first spoke; `here` is whether it answers. */
class Live {
  state = null;
  here = true;
  #heard = new Set();
  #source = null;
  #patience = 0;

  /** Begin to listen. The browser reconnects by itself for as long as the page is open. */
  open() {
    this.#source = new EventSource("/api/events");
    this.#source.addEventListener("state", ({ data }) => {
      this.state = JSON.parse(data);
      this.#found();
      this.#tell();
    });
    this.#source.addEventListener("job", ({ data }) => hear(JSON.parse(data)));
    this.#source.addEventListener("open", () => this.#found());
    this.#source.addEventListener("error", () => this.#lost());
  }

  /** Resolves when there is a member here and the agent has said so. */
  joined() {
    return new Promise((resolve) => {
      const end = this.on((state) => {
        if (!state?.joined) return;
        queueMicrotask(() => end());
        resolve();
      });
    });
  }

  /** Call `heard(state)` at once if there is one and whenever it changes; gives the end of it. */
  on(heard) {
    this.#heard.add(heard);
    if (this.state) heard(this.state);
    return () => this.#heard.delete(heard);
  }

  #found() {
    clearTimeout(this.#patience);
    this.#patience = 0;
    if (this.here) return;
    this.here = true;
    this.#tell();
  }

  #lost() {
    const closed = this.#source.readyState === EventSource.CLOSED;
    if (closed) setTimeout(() => this.open(), GONE_AFTER_MS);
    this.#patience ||= setTimeout(() => {
      this.here = false;
      this.#tell();
    }, GONE_AFTER_MS);
  }

  #tell() {
    for (const heard of [...this.#heard]) heard(this.state);
  }
}

export const live = new Live();
