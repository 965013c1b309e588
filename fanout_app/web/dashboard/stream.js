// Reads /v1/events for as long as the page is looked at. EventSource could not send a token but in the address.

import { Refused, ask } from "./api.js";

/** Milliseconds without a word after which the connection counts as lost: an event comes every second. */
const SILENCE = 8000;
const FIRST_WAIT = 500;
const LONGEST_WAIT = 8000;
/** A page that nobody looks at takes the place of one that is. */
const HIDDEN_FOR = 30000;

export class Stream {
  #on;
  #controller = new AbortController();
  #wake = () => {};
  #away = false;

  /** `on.state(state)`, `on.refused(error)` for a token that is not let in, `on.lost(why)`. */
  constructor(on) {
    this.#on = on;
    let leave;
    document.addEventListener("visibilitychange", () => {
      clearTimeout(leave);
      if (document.hidden) {
        leave = setTimeout(() => {
          this.#away = true;
          this.#controller.abort();
        }, HIDDEN_FOR);
      } else if (this.#away) {
        this.#away = false;
        this.#wake();
      }
    });
  }

  /** Begin anew, with another token. */
  again() {
    this.#controller.abort();
    this.#wake();
  }

  async keep() {
    let wait = FIRST_WAIT;
    for (;;) {
      this.#controller = new AbortController();
      let why = "The worker has ended the stream";
      let refused = false;
      try {
        await this.#read(() => (wait = FIRST_WAIT));
      } catch (error) {
        refused = error instanceof Refused && (error.status === 401 || error.status === 403);
        if (refused) this.#on.refused(error);
        else why = error instanceof Refused ? error.message : "Nothing answers";
      }
      if (!refused && !this.#away) this.#on.lost(why);
      await this.#sleep(refused || this.#away ? null : wait);
      wait = Math.min(2 * wait, LONGEST_WAIT);
    }
  }

  /** For so many milliseconds, or until it is woken. */
  #sleep(ms) {
    return new Promise((resolve) => {
      const timer = ms === null ? undefined : setTimeout(resolve, ms);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** What is wrong with the page is not wrong with the connection. */
  #tell(state) {
    try {
      this.#on.state(state);
    } catch (error) {
      reportError(error);
    }
  }

  async #read(heard) {
    const controller = this.#controller;
    let alarm = setTimeout(() => controller.abort(), SILENCE);
    try {
      const response = await ask("GET", "v1/events", { signal: controller.signal });
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return;
        clearTimeout(alarm);
        alarm = setTimeout(() => controller.abort(), SILENCE);
        const events = (rest + value).split("\n\n");
        rest = events.pop();
        for (const event of events) {
          const data = event.split("\n").filter((line) => line.startsWith("data: ")).map((line) => line.slice(6));
          if (data.length) {
            heard();
            this.#tell(JSON.parse(data.join("\n")));
          }
        }
      }
    } finally {
      clearTimeout(alarm);
    }
  }
}
