// The first run: join, keep the words, choose folders. Or: bring an old computer's files back.
//
// Addresses: `#/start` joins, `#/start/join/<group>/<server>` with fields filled in from a link,
// `#/start/recover`, `#/start/words` (the recovery sheet, also later), `#/start/folders`.

import { live } from "../base/api.js";
import { coveyPicture } from "../base/bird.js";
import { fill, h, Page } from "../base/element.js";
import { go } from "../base/router.js";
import { joinStep } from "./join.js";
import { recoverStep } from "./recover.js";
import { suggestStep } from "./suggest.js";
import { wordsStep } from "./words.js";

class FirstRun extends Page {
  open(rest) {
    this.box = h("div", { class: "first-run" });
    fill(this, this.box);
    this.moved(rest);
  }

  moved([step = "join", ...given]) {
    const joined = live.state?.joined;
    if (joined && (step === "join" || step === "recover")) return go("home");
    if (!joined && !this.words && (step === "words" || step === "folders")) return go("start");
    const ends = (end) => this.follow(end);
    const shown = {
      join: () => joinStep({ group: given[0], server: given[1], joined: (words) => this.#joined(words) }),
      recover: () => recoverStep({ ends, recovered: () => go("restore") }),
      words: () => wordsStep({ words: this.words, next: () => (this.words ? go("start", "folders") : go("home")) }),
      folders: () => suggestStep({ ends, next: () => live.joined().then(() => go("home")) }),
    }[step];
    fill(this.box, h("span", { class: "first-bird", "aria-hidden": "true" }, coveyPicture()), (shown ?? (() => go("start")))());
    this.querySelector("h1")?.focus();
    return undefined;
  }

  #joined(words) {
    this.words = words;
    go("start", "words");
  }
}

customElements.define("covey-first-run", FirstRun);
