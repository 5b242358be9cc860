// The app: words first, then what the agent tells, then the page that the address asks for. Until
// this computer is in a group there is one page only, the first run.

import { live } from "./api.js";
import { empty, problemNotice } from "./controls.js";
import { birdPicture } from "./bird.js";
import { fill, h } from "./element.js";
import { loadWords, t } from "./i18n.js";
import { Layout } from "./layout.js";
import { go, here, make, warm } from "./router.js";
import "./theme.js";

const FIRST_RUN = "start";
const SPEAK_AFTER_MS = 3_000; // the agent answers in milliseconds unless it is busy or gone

class App extends HTMLElement {
  #layout = null;
  #joined = null;
  #name = "";
  #turn = 0;

  async connectedCallback() {
    live.open();
    warm(here().name);
    await loadWords();
    this.#layout = new Layout();
    fill(this, this.#layout.element);
    this.#layout.bare(true);
    this.#waitForAgent();
    addEventListener("hashchange", () => this.#show({ focus: true }));
    live.on((state) => this.#state(state));
  }

  #waitForAgent() {
    setTimeout(() => {
      if (this.#joined !== null) return;
      fill(this.#layout.main, empty(birdPicture({ awake: false }), t("Waiting for Covey to wake up…"), t("This page goes on by itself as soon as it answers.")));
    }, SPEAK_AFTER_MS);
  }

  #state(state) {
    if (!state || state.joined === this.#joined) return;
    const first = this.#joined === null;
    this.#joined = state.joined;
    // Who has just joined stays in the first run until it is done with them.
    if (first || !state.joined) this.#show({ focus: false });
  }

  async #show({ focus }) {
    if (this.#joined === null) return;
    const { name, rest } = here();
    if (!this.#joined && name !== FIRST_RUN) return go(FIRST_RUN);
    const turn = (this.#turn += 1);
    const current = this.#layout.main.firstElementChild;
    if (name === this.#name && current?.moved) return current.moved(rest);
    try {
      const page = await make(name, rest);
      if (turn !== this.#turn) return;
      this.#layout.bare(name === FIRST_RUN);
      this.#name = name;
      this.#layout.show(name, page, { focus });
      document.title = name === "home" || name === FIRST_RUN ? "Covey" : `${this.#layout.links.get(name).textContent} – Covey`;
    } catch (error) {
      console.error(error);
      if (turn === this.#turn) this.#failed();
    }
  }

  #failed() {
    const problem = { text: t("This page could not be opened."), nextStep: t("See whether Covey still runs, and load it again.") };
    fill(this.#layout.main, h("div", { class: "card" }, problemNotice(problem, () => location.reload())));
  }
}

customElements.define("covey-app", App);
