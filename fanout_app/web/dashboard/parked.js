// Messages that were given up on. Only who has role admin may see messages, so these come by a request of their own.

import { Refused, ask as request } from "./api.js";
import { ask, inWords } from "./dialogs.js";
import { Table, byId, element, setText } from "./dom.js";
import { count, date, plural } from "./format.js";

const PAGE = 20;
/** Bytes of a page, and characters of a key or value that are shown. */
const MOST_BYTES = 262144;
const SHOWN = 160;
/** Milliseconds between two looks: they are read from the log, which takes its time where there are many. */
const SELDOM = 5000;

export class Parked {
  /** Whether the token allows it; null: not known yet. */
  admin = null;
  #messages = [];
  #chosen = new Set();
  #after = -1;
  #given = null;
  #asking = null;
  #lookedAt = 0;

  /** `onRole()` is called when it is known whether the token is an admin's. */
  constructor(onRole) {
    this.onRole = onRole;
    this.table = new Table(byId("parked"), [
      { label: "", fill: (cell, row) => this.#check(cell, row) },
      { label: "Parked", minor: true, show: (row) => date(row.parked_unix_ms) },
      { label: "Partition", number: true, minor: true, show: (row) => String(row.partition) },
      { label: "Offset", number: true, minor: true, show: (row) => String(row.offset) },
      { label: "Deliveries", number: true, minor: true, show: (row) => count(row.delivery_count) },
      { label: "Reason", wide: true, show: (row) => row.reason || "–", title: (row) => row.reason },
      { label: "Client", wide: true, minor: true, show: (row) => row.client || "–", title: (row) => row.client },
      { label: "Key", wide: true, minor: true, show: (row) => shown(row, row.key) },
      { label: "Value", wide: true, show: (row) => shown(row, row.value), title: (row) => row.value ?? "" },
    ]);
    byId("parked-again").addEventListener("click", () => this.look());
    byId("parked-more").addEventListener("click", () => this.look(this.#messages.at(-1)?.parked ?? -1));
    byId("redrive-some").addEventListener("click", () => this.#redrive([...this.#chosen]));
    byId("redrive-all").addEventListener("click", () => this.#redrive(null));
    this.#show();
  }

  /** With each event: looked at again only when something may have been parked since. */
  hear(state) {
    const given = Object.values(state.counted).reduce((sum, one) => sum + one.rejected + one.dead_lettered, 0);
    if (given === this.#given || Date.now() < this.#lookedAt + SELDOM) return;
    this.#given = given;
    // Without the role it would be refused once a second.
    if (this.admin !== false && this.#after === -1) this.look();
  }

  /** Another token: whether it allows more is not known. */
  forget() {
    this.admin = null;
    this.#given = null;
    this.#lookedAt = 0;
    this.#messages = [];
    this.#after = -1;
    this.#show();
  }

  async look(after = -1) {
    if (this.#asking !== null) return this.#asking;
    this.#asking = this.#look(after);
    try {
      await this.#asking;
    } finally {
      this.#asking = null;
    }
  }

  async #look(after) {
    this.#lookedAt = Date.now();
    let trouble = "";
    try {
      const query = `limit=${PAGE}&after=${after}&max_bytes=${MOST_BYTES}&encoding=utf8`;
      const response = await request("GET", `v1/parked?${query}`);
      this.#messages = (await response.json()).messages;
      this.#after = after;
      this.#role(true);
    } catch (failure) {
      this.#messages = [];
      if (failure instanceof Refused && failure.status === 403) this.#role(false);
      else trouble = `They cannot be shown: ${failure instanceof Refused ? inWords(failure) : "nothing answers."}`;
      // Looked at again soon.
      if (trouble) this.#given = null;
    }
    this.#show(trouble);
  }

  #role(admin) {
    if (admin === this.admin) return;
    this.admin = admin;
    this.onRole();
  }

  #show(trouble = "") {
    const messages = this.#messages;
    const there = new Set(messages.map((message) => message.parked));
    for (const name of this.#chosen) if (!there.has(name)) this.#chosen.delete(name);
    this.table.show(messages, (message) => message.parked);
    const more = messages.length === PAGE;
    const first = this.#after === -1;
    setText(byId("parked-note"), messages.length ? `${first ? "the oldest" : "the next"} ${count(messages.length)}${more ? ", there may be more" : ""}` : "");
    let empty = first ? "None: nothing was rejected or given up on." : "No more of them.";
    if (this.admin === null) empty = "Not looked at yet.";
    if (this.admin === false) empty = "To see them and to send them back takes a token of role admin.";
    setText(byId("parked-empty"), trouble || empty);
    byId("parked-empty").hidden = messages.length > 0 && !trouble;
    byId("parked-more").hidden = !more;
    byId("parked-again").hidden = this.admin === false;
    byId("redrive-all").hidden = !messages.length;
    this.#choose();
  }

  #check(cell, row) {
    let box = cell.firstElementChild;
    if (!box) {
      box = element("input", {
        type: "checkbox",
        onchange: () => {
          if (box.checked) this.#chosen.add(box.parked);
          else this.#chosen.delete(box.parked);
          this.#choose();
        },
      });
      cell.append(box);
    }
    box.parked = row.parked;
    box.checked = this.#chosen.has(row.parked);
    box.setAttribute("aria-label", `Choose parked message ${row.parked}`);
  }

  #choose() {
    byId("redrive-some").hidden = !this.#chosen.size;
    setText(byId("redrive-some"), `Redrive ${count(this.#chosen.size)}`);
  }

  #redrive(names) {
    const what = names === null ? "every parked message" : plural(names.length, "parked message");
    ask({
      title: names === null ? "Redrive all" : `Redrive ${count(names.length)}`,
      body: [element("p", {}, `Send ${what} back to the topic: they are handed out again, behind what is there.`)],
      verb: "Redrive",
      act: async () => {
        const response = await request("POST", "v1/parked/redrive", { body: names === null ? { all: true } : { parked: names } });
        const done = await response.json();
        this.#chosen.clear();
        await this.look();
        const gone = done.not_found.length ? ` ${count(done.not_found.length)} were not there any more.` : "";
        const stay = done.no_group?.length ? ` ${count(done.no_group.length)} stay, since their group is not there.` : "";
        return `${plural(done.redriven, "message")} redriven.${gone}${stay}`;
      },
    });
  }
}

function shown(row, value) {
  if (value === null) return "null";
  const text = value.length > SHOWN ? `${value.slice(0, SHOWN)}…` : value;
  return row.encoding === "base64" ? `base64: ${text}` : text;
}
