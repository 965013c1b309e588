// The page: what comes in by the stream is shown, once a second.

import { ask as request, token } from "./api.js";
import { Chart } from "./charts.js";
import { ask, isOpen, say } from "./dialogs.js";
import { Keyed, byId, element, setClass, setText } from "./dom.js";
import { bytes, clock, count, duration, plural, rate } from "./format.js";
import { Groups } from "./groups.js";
import { History } from "./history.js";
import { Parked } from "./parked.js";
import { Stream } from "./stream.js";
import { Clients, Partitions, Workers } from "./tables.js";

const history = new History();
const partitions = new Partitions();
const workers = new Workers();
const clients = new Clients(history);
const groups = new Groups();
const parked = new Parked(() => notice());
const charts = [
  new Chart(byId("charts"), {
    title: "Messages a second",
    lines: [{ name: "delivered", field: "delivered" }, { name: "acked", field: "acked" }],
    format: rate,
    least: 10,
  }),
  new Chart(byId("charts"), {
    title: "Ended badly, a second",
    lines: [{ name: "nacked", field: "nacked" }, { name: "expired", field: "expired" }, { name: "redelivered", field: "redelivered" }],
    format: rate,
    least: 1,
  }),
  new Chart(byId("charts"), {
    title: "From delivery to ack",
    lines: [{ name: "median", field: "p50" }, { name: "p99", field: "p99" }],
    format: duration,
    least: 10,
  }),
  new Chart(byId("charts"), {
    title: "Waiting and in flight",
    lines: [{ name: "waiting", field: "waiting" }, { name: "in flight", field: "inFlight" }],
    format: count,
    least: 10,
  }),
];

let state = null;
/** Why there is no word from a worker; empty while there is. */
let lost = "";
let locked = false;
/** Who led last, and until when as far as this page has heard. */
let led = null;

// What is shown -------------------------------------------------------------------------------------------------------

const figures = new Keyed(
  byId("figures"),
  (label) => element("div", { class: "card" }, element("dt", {}, label), element("dd"), element("dd", { class: "muted" })),
  (item, { value, note }) => {
    setText(item.children[1], value);
    setText(item.children[2], note);
  },
);

function showFigures() {
  const { status } = state;
  const latest = history.latest;
  figures.show(
    [
      { label: "Lag", value: count(status.lag), note: "not settled" },
      { label: "Waiting", value: count(status.waiting_messages), note: status.delayed ? `${count(status.delayed)} of them delayed` : "not handed out" },
      { label: "In flight", value: count(status.in_flight), note: `${bytes(status.buffered_bytes)} held` },
      { label: "Delivered", value: latest ? rate(latest.delivered) : "–", note: "a second" },
      { label: "Acked", value: latest ? rate(latest.acked) : "–", note: "a second" },
      { label: "Clients", value: count(status.clients), note: plural(status.waiting_pulls, "waiting pull") },
    ],
    (item) => item.label,
  );
}

/** What is wrong, the worst first: `{look, title, text, list}`. */
function troubles() {
  const found = [];
  if (locked) found.push({ look: "bad", title: "A token is needed", text: "What the page shows takes a token of role metrics." });
  else if (lost && state !== null) found.push({ look: "bad", title: "No word from the worker", text: `${lost}. What you see is of ${clock(state.at_unix_ms)}; it is tried again.` });
  else if (lost) found.push({ look: "bad", title: "No word from the worker", text: `${lost}; it is tried again.` });
  if (state === null) return found;
  const { status, leader } = state;
  if (status.stopping) found.push({ look: "warn", title: "Stopping", text: `${status.worker} finishes what it has begun and exits.` });
  if (leader.worker === null) found.push({ look: "warn", title: "Nobody leads", text: `${led ? `${led.worker} did until ${clock(led.at)}. ` : ""}Deliveries and acks go on. Shares cannot be changed, and no guard looks over all workers, until one leads again, which takes some seconds.` });
  if (status.paused) found.push({ look: "warn", title: "Paused", text: "Nothing is handed out until somebody resumes it. Settles count, leases run." });
  if (status.degraded.length) found.push({ look: "warn", title: "Degraded", text: "", list: status.degraded });
  for (const [name, group] of Object.entries(state.canary.groups)) {
    if (group.verdict === "failing") found.push({ look: "bad", title: `${name} was taken out by its guard`, text: `${group.reason}. The others have its share; set its weight when it is mended.` });
  }
  if (status.insecure) found.push({ look: "", title: "Open to everybody", text: "This worker is reached from other machines and asks nobody for a token." });
  if (parked.admin === false) found.push({ look: "", title: "Read only", text: "This token is not one of role admin: what changes anything will be refused." });
  return found.sort((one, other) => ORDER.indexOf(one.look) - ORDER.indexOf(other.look));
}

const ORDER = ["bad", "warn", ""];

const notices = new Keyed(
  byId("notices"),
  () => {
    const item = element("li", {}, element("strong"), " ", element("span"), element("ul"));
    item.list = new Keyed(item.lastElementChild, () => element("li"), setText);
    return item;
  },
  (item, { look, title, text, list }) => {
    setClass(item, `notice ${look}`);
    setText(item.children[0], title);
    setText(item.children[1], text);
    item.list.show(list ?? [], (reason) => reason);
  },
);

function notice() {
  const found = troubles();
  notices.show(found, (one) => one.title);
  const bad = found.filter((one) => one.look).reduce((sum, one) => sum + (one.list?.length ?? 1), 0);
  const chip = byId("health");
  if (locked) setText(chip, "locked");
  else if (lost) setText(chip, "no word");
  else if (state === null) setText(chip, "connecting");
  else setText(chip, bad ? plural(bad, "trouble") : "all well");
  setClass(chip, `chip ${bad ? (found.some((one) => one.look === "bad") ? "bad" : "warn") : state === null ? "" : "good"}`);
  const stale = Boolean(lost) || locked;
  document.body.classList.toggle("stale", stale);
  for (const chart of charts) chart.call(stale && state !== null ? `at ${clock(state.at_unix_ms)}` : "now");
  // What would be refused is not offered.
  for (const button of document.querySelectorAll("#pause, #redrive-some, #redrive-all")) button.disabled = stale;
  for (const button of document.querySelectorAll("#groups button, #add-group")) button.disabled = stale || state?.leader.worker === null;
}

function show() {
  const { status } = state;
  setText(byId("topic"), status.topic);
  setText(byId("id"), `id ${status.id}`);
  document.title = `${status.topic} · fanout`;
  byId("shown").hidden = false;
  byId("pause").hidden = false;
  setText(byId("pause"), status.paused ? "Resume" : "Pause");
  setText(byId("since"), `the last ${duration(1000 * history.span)}`);
  setText(byId("asked"), `fanout ${state.version}, as ${status.worker} sees it at ${clock(state.at_unix_ms)}`);
  showFigures();
  for (const chart of charts) chart.show(history.points, history.span);
  groups.show(state);
  partitions.show(state);
  workers.show(state);
  clients.show(state);
  notice();
}

// The stream ----------------------------------------------------------------------------------------------------------

const stream = new Stream({
  state(heard) {
    state = heard;
    if (state.leader.worker !== null) led = { worker: state.leader.worker, at: state.at_unix_ms };
    lost = "";
    locked = false;
    history.add(state);
    parked.hear(state);
    show();
  },
  refused(error) {
    locked = true;
    notice();
    askForToken(token.get() ? error.message : "This worker asks for one");
  },
  lost(why) {
    lost = why;
    notice();
  },
});

// What can be done ----------------------------------------------------------------------------------------------------

function askForToken(why = "") {
  if (isOpen() && why) return;
  const input = element("input", { type: "password", id: "token-value", autocomplete: "off", spellcheck: "false", autofocus: true });
  ask({
    title: "Token",
    body: [
      ...(why ? [element("p", {}, `${why}.`)] : []),
      element("label", {}, "Token of role metrics, or admin to change anything", input),
      element("p", { class: "muted" }, "It is kept until this tab is closed, and sent to this worker only. An empty one forgets it."),
    ],
    verb: "Use it",
    act: async () => {
      const given = input.value.trim();
      if (/[^\x21-\x7e]/.test(given)) throw new Error("This is no token: it has characters that no token has.");
      token.set(given);
      parked.forget();
      stream.again();
      return "";
    },
  });
}

byId("token").addEventListener("click", () => askForToken());

byId("pause").addEventListener("click", () => {
  const { paused } = state.status;
  ask({
    title: paused ? "Resume" : "Pause",
    body: [element("p", {}, paused ? "Messages are handed out again, by all workers." : "No worker hands anything out, also after restarts, until somebody resumes it. Settles count, and leases run.")],
    verb: paused ? "Resume" : "Pause",
    act: async () => {
      await request("POST", paused ? "v1/resume" : "v1/pause");
      return paused ? "Resumed." : "Paused.";
    },
  });
});

// Keyboard focus is not lost with a dialog that is closed: browsers give it back. Anything else that fails is said.
addEventListener("unhandledrejection", (event) => say(`This page has failed: ${event.reason}`));

notice();
stream.keep();
