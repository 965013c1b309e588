// Partitions, workers and clients.

import { Table, byId, element, fillBar, setClass, setText } from "./dom.js";
import { bytes, clock, count, duration, percent } from "./format.js";

/** Rows that are shown unless somebody wants all of them. */
const narrow = matchMedia("(max-width: 44rem)");
const few = () => (narrow.matches ? 8 : 24);

/** The most of them by `weigh`, in the order in which they were given; and a button for all. */
class Few {
  #all = false;

  constructor(button, again) {
    this.button = button;
    button.addEventListener("click", () => {
      this.#all = !this.#all;
      again();
    });
  }

  of(rows, weigh) {
    // For one or two more nobody should have to ask.
    const all = rows.length <= 1.5 * few();
    this.button.hidden = all;
    setText(this.button, this.#all ? `Show ${few()}` : `Show all ${count(rows.length)}`);
    if (this.#all || all) return rows;
    const chosen = new Set([...rows].sort((one, other) => weigh(other) - weigh(one)).slice(0, few()));
    return rows.filter((row) => chosen.has(row));
  }
}

/** What is not settled; the end of the log is looked up now and then. */
const lagOf = (row) => Math.max(0, row.log_end - row.floor - row.settled_above_floor);

/** A bar of less is not full, although none is longer. */
const LEAST_LAG = 100;

export class Partitions {
  #state = null;

  constructor() {
    this.few = new Few(byId("partitions-all"), () => this.show(this.#state));
    this.table = new Table(byId("partitions"), [
      { label: "Partition", head: true, show: (row) => String(row.partition) },
      { label: "Owner", show: (row) => row.owner, title: (row) => row.owner, wide: true, minor: true },
      { label: "Lag", number: true, fill: (cell, row) => fillBar(cell, count(lagOf(row)), lagOf(row) / this.most) },
      { label: "Floor", number: true, show: (row) => count(row.floor) },
      { label: "Settled above", number: true, minor: true, show: (row) => count(row.settled_above_floor) },
      { label: "Buffered", number: true, minor: true, show: (row) => count(row.buffered) },
      { label: "Delayed", number: true, minor: true, show: (row) => count(row.delayed) },
      { label: "In flight", number: true, show: (row) => count(row.in_flight) },
      {
        label: "Oldest",
        number: true,
        minor: true,
        show: (row) => (row.oldest_age_seconds === null ? "–" : duration(1000 * row.oldest_age_seconds)),
      },
      { label: "Intake", minor: true, fill: (cell, row) => fillIntake(cell, row) },
    ]);
  }

  show(state) {
    this.#state = state;
    const rows = state.partitions;
    this.most = Math.max(LEAST_LAG, ...rows.map(lagOf));
    const shown = this.few.of(rows, lagOf);
    const those = shown.length < rows.length ? `${shown.length} of ${count(rows.length)}, those with most lag` : count(rows.length);
    setText(byId("partitions-note"), rows.length ? those : "none has an owner at the moment");
    this.table.show(shown, (row) => row.partition);
  }
}

function fillIntake(cell, row) {
  setText(cell, row.full === null ? (row.blocked ? `${count(row.blocked)} blocked` : "open") : `stopped by ${row.full}`);
  setClass(cell, row.full === null ? "minor" : "minor warn");
  cell.title = `Ledger row ${bytes(row.row_bytes)}, era ${row.era}`;
}

/** Milliseconds for which a worker that is gone is still named. */
const GONE_FOR = 60000;

export class Workers {
  #heard = new Map();

  constructor() {
    this.table = new Table(byId("workers"), [
      { label: "Worker", head: true, wide: true, fill: (cell, row) => this.#name(cell, row) },
      { label: "Partitions", number: true, show: (row) => String(row.partitions.length), title: (row) => row.partitions.join(", ") },
      { label: "Waiting messages", number: true, minor: true, show: (row) => count(row.waiting_messages) },
      { label: "Waiting pulls", number: true, minor: true, show: (row) => count(row.waiting_pulls) },
      { label: "Heard", number: true, fill: fillHeard },
    ]);
  }

  #name(cell, row) {
    if (!cell.firstElementChild) {
      cell.append(element("span"), " ", element("span", { class: "chip" }, "leads"), element("small", { class: "muted" }));
    }
    const [name, leads, address] = cell.children;
    setText(name, row.worker);
    leads.hidden = row.worker !== this.leader;
    setText(address, row.address);
  }

  show(state) {
    this.leader = state.leader.worker;
    const { worker, epoch } = state.leader;
    for (const row of state.workers) this.#heard.set(row.worker, state.at_unix_ms);
    for (const [name, at] of this.#heard) if (at < state.at_unix_ms - GONE_FOR) this.#heard.delete(name);
    const gone = [...this.#heard].filter(([, at]) => at !== state.at_unix_ms).map(([name, at]) => `${name} was heard last at ${clock(at)}`);
    setText(byId("workers-note"), [worker === null ? "nobody leads" : `led in epoch ${epoch}`, ...gone].join("; "));
    this.table.show(state.workers, (row) => row.worker);
  }
}

/** Milliseconds after which a heartbeat, which comes every half a second, is late. */
const LATE = 1500;

function fillHeard(cell, row) {
  setText(cell, row.me ? "this one" : `${duration(row.unheard_ms)} ago`);
  setClass(cell, !row.me && row.unheard_ms > LATE ? "number warn" : "number");
}

export class Clients {
  #state = null;
  #history;

  constructor(history) {
    this.#history = history;
    this.few = new Few(byId("clients-all"), () => this.show(this.#state));
    this.table = new Table(byId("clients"), [
      { label: "Client", head: true, wide: true, show: (row) => row.client, title: (row) => row.client },
      { label: "Group", show: (row) => row.group, title: (row) => row.group, wide: true },
      { label: "Share", number: true, fill: (cell, row) => fillBar(cell, ...this.#share(row)) },
      { label: "In flight", number: true, show: (row) => count(row.in_flight) },
      { label: "Waiting pulls", number: true, minor: true, show: (row) => count(row.waiting) },
      { label: "Delivered", number: true, minor: true, show: (row) => count(row.delivered) },
      { label: "Acked", number: true, minor: true, show: (row) => count(row.acked) },
      { label: "Nacked", number: true, minor: true, show: (row) => count(row.nacked) },
      { label: "Expired", number: true, minor: true, show: (row) => count(row.expired) },
      { label: "Last seen", number: true, minor: true, show: (row) => clock(row.last_seen_unix_ms) },
    ]);
  }

  #share(row) {
    const share = this.shares.get(row.client);
    return share === undefined ? ["–", 0] : [percent(share), share];
  }

  show(state) {
    this.#state = state;
    this.shares = this.#history.shares();
    const rows = [...state.clients].sort(
      (one, other) => compare(one.group, other.group) || compare(one.client, other.client),
    );
    const busy = (row) => (this.shares.get(row.client) ?? 0) + row.in_flight + row.waiting;
    const shown = this.few.of(rows, busy);
    const all = state.status.clients;
    const those = shown.length < all ? `${count(shown.length)} of ${count(all)}, those that do most` : count(all);
    setText(byId("clients-note"), all ? `${those}; share: of what was handed out in the last minute` : "nobody is here");
    this.table.show(shown, (row) => row.client);
  }
}

const collator = new Intl.Collator("en", { numeric: true });
const compare = (one, other) => collator.compare(one, other);

