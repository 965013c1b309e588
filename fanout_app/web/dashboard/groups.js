// Groups with their shares, how each does and what its guard thinks of it; and what can be done about it.

import { ask as request } from "./api.js";
import { ask } from "./dialogs.js";
import { Keyed, byId, element, setClass, setPart, setText } from "./dom.js";
import { count, duration, percent, plural } from "./format.js";

const STABLE = "stable";
/** What weights add up to that are percents. */
const WHOLE = 100;
const MOST = 1000000;

/** By verdict: how it is said, and how it looks. */
const VERDICTS = {
  undecided: ["undecided", ""],
  good: ["good", "good"],
  failing: ["taken out", "bad"],
  "rolled-back": ["rolled back", "bad"],
  promoted: ["promoted", "good"],
  complete: ["complete", "good"],
};

/** A group that was never given a weight or a message. */
const NOTHING = {
  weight: 0, share_wanted: 0, share_measured: 0, ack_p50_ms: null, ack_p99_ms: null, verdict: null, reason: null, guard: null,
  steps: [], step: null, local_hold: false, lag: 0, in_flight: 0, buffered: 0,
  window: { seconds: 0, delivered: 0, acked: 0, nacked: 0, expired: 0 },
};

export class Groups {
  #cards;
  #canary = null;
  #delivery = "";

  constructor() {
    this.#cards = new Keyed(byId("groups"), (name) => this.#card(name), (card, group) => this.#fill(card, group));
    byId("add-group").addEventListener("click", () => this.#setWeight(null));
  }

  show(state) {
    this.#canary = state.canary;
    this.#delivery = state.delivery;
    const broadcast = state.delivery === "broadcast";
    byId("add-group").hidden = broadcast;
    if (broadcast) setText(byId("groups-note"), "each gets every message");
    else setText(byId("groups-note"), `share by ${state.canary.by}, version ${state.canary.version}`);
    const clients = new Map();
    for (const { group, in_flight: held } of state.clients) {
      const there = clients.get(group) ?? { count: 0, held: 0 };
      clients.set(group, { count: there.count + 1, held: there.held + held });
    }
    const groups = broadcast ? ledgersOf(state) : Object.entries(state.canary.groups).map(([name, group]) => ({ name, ...group }));
    const known = new Set(groups.map((group) => group.name));
    // Who has just come, and of whose group nobody has said anything yet: it waits for a weight.
    for (const name of clients.keys()) if (!known.has(name)) groups.push({ name, ...NOTHING });
    for (const group of groups) Object.assign(group, clients.get(group.name) ?? { count: 0, held: 0 });
    this.#cards.show(groups, (group) => group.name);
  }

  #card(name) {
    const part = (tag, kind, ...inside) => element(tag, { class: kind }, ...inside);
    const bar = part("div", "share", part("span", "measured"), part("span", "wanted"));
    const buttons = part(
      "div",
      "buttons",
      element("button", { type: "button", class: "weigh", onclick: () => this.#setWeight(name) }, "Set weight"),
      element("button", { type: "button", class: "quiet promote", onclick: () => this.#promote(name) }, "Promote"),
      element("button", { type: "button", class: "roll-back danger", onclick: () => this.#rollBack(name) }, "Roll back"),
    );
    const card = element(
      "article",
      { class: "card group", "data-group": name },
      part("div", "title", part("h3", "", name), part("span", "chip verdict")),
      part("p", "reason"),
      bar,
      part("p", "shares muted"),
      element("dl", { class: "counts" }),
      part("p", "guard muted"),
      buttons,
    );
    for (const button of buttons.children) button.setAttribute("aria-label", `${button.textContent}: ${name}`);
    card.counts = new Keyed(card.querySelector(".counts"), (label) => element("div", {}, element("dt", {}, label), element("dd")), (item, [, value]) => setText(item.lastElementChild, value));
    return card;
  }

  #fill(card, group) {
    const broadcast = this.#delivery === "broadcast";
    const find = (kind) => card.querySelector(`.${kind}`);
    find("buttons").hidden = broadcast || group.name === STABLE;
    find("share").hidden = broadcast;
    const held = group.local_hold ? "held here" : "";
    const [verdict, look] = held ? [held, "bad"] : (VERDICTS[group.verdict] ?? ["", ""]);
    const chip = find("verdict");
    setText(chip, verdict);
    setClass(chip, `chip verdict ${look}`);
    chip.hidden = !verdict;
    setText(find("reason"), group.reason ? `${group.reason}.` : "");
    if (broadcast) {
      card.counts.show([["Lag", count(group.lag)], ["In flight", count(group.in_flight)], ["Buffered", count(group.buffered)], ["Clients", count(group.count)]], ([label]) => label);
      setText(find("shares"), "");
      setText(find("guard"), "");
      return;
    }
    setPart(find("measured"), group.share_measured);
    setPart(find("wanted"), group.share_wanted);
    const idle = group.count ? `its ${plural(group.count, "client")} ${group.count === 1 ? "gets" : "get"} nothing` : "it gets nothing";
    const share = group.weight ? `${percent(group.share_wanted)} wanted, ${percent(group.share_measured)} measured` : idle;
    setText(find("shares"), `Weight ${count(group.weight)}: ${share}`);
    const { window } = group;
    card.counts.show(
      [
        ["Delivered", count(window.delivered)],
        ["Acked", count(window.acked)],
        ["Nacked", count(window.nacked)],
        ["Expired", count(window.expired)],
        ["Ack, median", duration(group.ack_p50_ms)],
        ["Ack, p99", duration(group.ack_p99_ms)],
        ["In flight", count(group.held)],
        ["Clients", count(group.count)],
      ],
      ([label]) => label,
    );
    const guard = group.guard === null ? (group.name === STABLE ? "What the others are judged against." : "No guard.") : `Guard: ${guardInWords(group.guard)}.`;
    const steps = group.steps.length && group.weight ? ` ${stepsInWords(group)}` : "";
    const since = group.verdict === "failing" ? ", since it was taken out" : "";
    const counted = window.seconds ? `Counted over ${duration(1000 * Math.round(window.seconds))}${since}. ` : "";
    setText(find("guard"), `${counted}${guard}${steps}`);
    find("roll-back").hidden = find("promote").hidden = !group.weight;
  }

  // What can be done --------------------------------------------------------------------------------------------------

  #setWeight(name) {
    const canary = this.#canary;
    const group = name === null ? null : (canary.groups[name] ?? NOTHING);
    const named = name === null ? field("Group", { id: "weight-group", value: canary.groups.canary?.weight ? "" : "canary", required: true, maxlength: 200, autocomplete: "off", spellcheck: "false" }) : null;
    const weighed = field("Weight", { id: "weight", type: "number", min: 0, max: MOST, step: 1, required: true, value: group?.weight || 5, inputmode: "numeric", autofocus: true });
    const guarded = element("input", { type: "checkbox", id: "weight-guard", checked: true });
    const guard = group?.guard ?? null;
    const guardText = guard === null ? "Take it out by itself if it fails: a guard with more than 10\u00a0% failures of at least 20 in a minute" : `Keep its guard: ${guardInWords(guard)}`;
    const preview = element("p", { class: "muted", role: "status" });
    const chosen = () => (name === null ? named.input.value.trim() : name);
    const weights = () => reweighed(canary.weights, chosen(), Number(weighed.input.value));
    const look = () => setText(preview, chosen() && weighed.input.validity.valid ? sharesInWords(weights()) : "");
    for (const one of [named, weighed]) one?.input.addEventListener("input", look);
    look();
    const body = [...(named === null ? [] : [named.label]), weighed.label, preview, element("label", { class: "check" }, guarded, guardText)];
    if (group?.steps.length) body.push(element("p", { class: "muted" }, "Its steps end: it keeps this weight until somebody changes it."));
    ask({
      title: name === null ? "Add a group" : `Weight of ${name}`,
      body,
      verb: "Set weight",
      act: async () => {
        if (chosen() === STABLE) throw new Error("stable has what the others leave: name another group.");
        await request("PUT", "v1/canary", {
          headers: { "If-Match": canary.etag },
          body: { weights: weights(), by: canary.by, group: chosen(), guard: guarded.checked ? (guard ?? {}) : null },
        });
        return `${chosen()} has weight ${weighed.input.value}.`;
      },
    });
  }

  #promote(name) {
    const { etag } = this.#canary;
    ask({
      title: `Promote ${name}`,
      body: [
        element("p", {}, `${name} gets every message and stable none, and no guard looks at it any more.`),
        element("p", { class: "muted" }, "Then deploy the new version as stable and stop the clients of this group: stable has everything again."),
      ],
      verb: "Promote",
      act: async () => {
        await request("POST", "v1/canary/promote", { headers: { "If-Match": etag }, body: { group: name } });
        return `${name} is promoted.`;
      },
    });
  }

  #rollBack(name) {
    ask({
      title: `Roll back ${name}`,
      body: [element("p", {}, `${name} gets nothing from now on, until somebody sets its weight. What it has not settled goes to others.`)],
      verb: "Roll back",
      danger: true,
      act: async () => {
        // Whatever holds by now: who rolls back is in a hurry.
        await request("POST", "v1/canary/rollback", { body: { group: name } });
        return `${name} is rolled back.`;
      },
    });
  }
}

function field(text, attributes) {
  const input = element("input", attributes);
  return { input, label: element("label", {}, text, input) };
}

const sumOf = (weights) => Object.values(weights).reduce((one, other) => one + other, 0);

/** Stable has what the others leave of 100, so that weights are percents; or of what they add up to, if that is more. */
function reweighed(weights, name, weight) {
  const others = { ...weights, [name]: weight, [STABLE]: 0 };
  return { ...others, [STABLE]: Math.max(0, Math.max(WHOLE, sumOf(weights)) - sumOf(others)) };
}

function sharesInWords(weights) {
  const sum = sumOf(weights);
  if (!sum) return "All weights are 0: nobody would be handed anything.";
  return `Shares: ${Object.entries(weights).map(([name, weight]) => `${name} ${percent(weight / sum)}`).join(", ")}`;
}

function guardInWords(guard) {
  const limits = [];
  if (guard.max_failure_ratio !== null) limits.push(`more than ${percent(guard.max_failure_ratio)} fail`);
  if (guard.max_ratio_over_stable !== null) limits.push(`it fails more than ${guard.max_ratio_over_stable} times as often as stable`);
  if (guard.max_p99_over_stable !== null) limits.push(`its slowest acks take more than ${guard.max_p99_over_stable} times as long as those of stable`);
  const what = limits.length ? `taken out if ${limits.join(", or ")}` : "no limit";
  return `${what}, of at least ${plural(guard.min_samples, "delivery").replace("deliverys", "deliveries")} in ${duration(guard.window_ms)}`;
}

function stepsInWords(group) {
  const weights = group.steps.map((step, at) => (at === group.step ? `[${step.weight}]` : String(step.weight)));
  return `Steps: ${weights.join(" → ")}, this one for ${duration(group.steps[group.step].hold_ms)}.`;
}

/** With broadcast: each group's part of all partitions. */
function ledgersOf(state) {
  const groups = new Map();
  for (const row of state.partitions) {
    for (const [name, part] of Object.entries(row.groups ?? {})) {
      const sum = groups.get(name) ?? { name, lag: 0, in_flight: 0, buffered: 0 };
      sum.lag += Math.max(0, row.log_end - part.floor);
      sum.in_flight += part.in_flight;
      sum.buffered += part.buffered;
      groups.set(name, sum);
    }
  }
  return [...groups.values()].sort((one, other) => one.name.localeCompare(other.name));
}

