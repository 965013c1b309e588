// What the page remembers: workers count since they began, so what happens in a second is the difference of two counts.

/** Seconds that are kept, and that a chart has at least. */
const KEPT = 300;
const LEAST = 60;
/** Seconds over which a rate is taken: in one alone it is a matter of chance which batch falls into it. */
const RATE_OVER = 3;
/** Seconds over which what a client got is its share. */
const SHARE_OVER = 60;
/** More seconds than this between two counts are a gap, not a rate. */
const GAP = 10;

const COUNTERS = ["delivered", "acked", "nacked", "expired", "redelivered"];

export class History {
  points = [];
  #before = null;
  /** The states of the last seconds. */
  #counts = [];
  #delivered = [];
  /** Whether nothing of before can be set beside what comes next. */
  #broken = false;

  add(state) {
    const now = state.at_seconds;
    const before = this.#before;
    this.#before = state;
    if (before === null || before.status.worker !== state.status.worker || now <= before.at_seconds) {
      // Another worker, with counts and a clock of its own: what was is as long ago as clocks of the day say.
      if (before !== null) {
        const elapsed = Math.max(1, (state.at_unix_ms - before.at_unix_ms) / 1000);
        for (const point of this.points) point.at += now - elapsed - before.at_seconds;
        this.#counts = [];
        this.#delivered = [];
        this.#broken = true;
      }
      this.#remember(state);
      return;
    }
    const gap = this.#broken || now - before.at_seconds > GAP;
    this.#broken = false;
    if (gap) this.#counts = [];
    while (this.#counts.length > 1 && this.#counts[0].at_seconds < now - RATE_OVER - 0.5) this.#counts.shift();
    const base = this.#counts[0] ?? before;
    const seconds = now - base.at_seconds;
    const point = { at: now, gap, p50: state.ack_p50_ms, p99: state.ack_p99_ms };
    for (const name of COUNTERS) {
      // By worker: one that comes or goes has counted for long, which did not happen in this second.
      let sum = 0;
      for (const [worker, counted] of Object.entries(state.counted)) {
        const earlier = base.counted[worker];
        if (earlier !== undefined) sum += Math.max(0, counted[name] - earlier[name]);
      }
      point[name] = sum / seconds;
    }
    point.waiting = state.status.waiting_messages;
    point.inFlight = state.status.in_flight;
    this.points.push(point);
    while (this.points[0].at < now - KEPT) this.points.shift();
    this.#remember(state);
  }

  /** How many seconds charts show. */
  get span() {
    return this.points.length ? Math.min(KEPT, Math.max(LEAST, this.points.at(-1).at - this.points[0].at)) : LEAST;
  }

  get latest() {
    return this.points.at(-1) ?? null;
  }

  #remember(state) {
    this.#counts.push(state);
    const counts = new Map(state.clients.map((client) => [client.client, client.delivered]));
    this.#delivered.push({ at: state.at_seconds, counts });
    while (this.#delivered.length > 2 && this.#delivered[1].at <= state.at_seconds - SHARE_OVER) this.#delivered.shift();
  }

  /** By client, which part of what all of them were handed in the last minute it was handed; empty: nothing was. */
  shares() {
    const [first, last] = [this.#delivered[0], this.#delivered.at(-1)];
    const shares = new Map();
    let sum = 0;
    for (const [client, delivered] of last?.counts ?? []) {
      // One that has come since then began with none.
      const got = Math.max(0, delivered - (first.counts.get(client) ?? (first === last ? delivered : 0)));
      shares.set(client, got);
      sum += got;
    }
    if (!sum) return new Map();
    return new Map([...shares].map(([client, got]) => [client, got / sum]));
  }
}
