// Lines over the last minutes.

import { element, setText } from "./dom.js";

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 300;
const HEIGHT = 96;
/** Beyond the lines, so that they are not cut in half at the edges. */
const MARGIN = 3;

function svg(tag, attributes) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

/** The least of 1, 2, 5, 10, 20 ... that is as large. */
function ceiling(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].find((factor) => factor * power >= value) * power;
}

export class Chart {
  #lines;
  #format;
  #least;
  #points = [];
  #pointed = null;
  #span = 1;
  #latest = "now";

  /** `lines` are `{name, field}`, drawn in the order of the colours; the scale never ends below `least`. */
  constructor(parent, { title, lines, format, least }) {
    this.#format = format;
    this.#least = least;
    this.canvas = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" });
    this.canvas.append(svg("path", { class: "grid", d: `M0 ${MARGIN}H${WIDTH}M0 ${HEIGHT / 2}H${WIDTH}` }));
    this.canvas.append(svg("path", { class: "base", d: `M0 ${HEIGHT - MARGIN}H${WIDTH}` }));
    this.#lines = lines.map((line, at) => {
      const path = svg("path", { class: `line of-${at + 1}` });
      this.canvas.append(path);
      const value = element("dd", {}, "–");
      return { ...line, path, value, label: element("dt", { class: `key of-${at + 1}` }, line.name) };
    });
    this.cursor = svg("path", { class: "cursor" });
    this.canvas.append(this.cursor);
    this.top = element("span", { class: "top muted" });
    this.when = element("span", { class: "when muted" }, "now");
    this.title = title;
    const legend = element("dl", { class: "legend" }, ...this.#lines.map((line) => element("div", {}, line.label, line.value)));
    parent.append(
      element("figure", { class: "card chart" },
        element("figcaption", {}, element("span", {}, title), this.when),
        element("div", { class: "plot" }, this.canvas, this.top),
        legend,
      ),
    );
    this.canvas.addEventListener("pointermove", (event) => {
      const box = this.canvas.getBoundingClientRect();
      this.#pointed = (event.clientX - box.left) / box.width;
      this.#read();
    });
    this.canvas.addEventListener("pointerleave", () => {
      this.#pointed = null;
      this.#read();
    });
  }

  /** What the latest point is called: it is not of now where no more comes. */
  call(latest) {
    this.#latest = latest;
    this.#read();
  }

  /** `span` is how many seconds there is room for. */
  show(points, span) {
    this.#points = points;
    this.#span = span;
    const now = points.at(-1)?.at ?? 0;
    let most = this.#least;
    for (const point of points) for (const line of this.#lines) most = Math.max(most, point[line.field] ?? 0);
    most = ceiling(most);
    setText(this.top, this.#format(most));
    const x = (point) => (WIDTH * (point.at - now + span)) / span;
    const y = (value) => HEIGHT - MARGIN - ((HEIGHT - 2 * MARGIN) * value) / most;
    for (const line of this.#lines) {
      let path = "";
      let drawing = false;
      for (const point of points) {
        const value = point[line.field];
        if (value === null) {
          drawing = false;
          continue;
        }
        path += `${drawing && !point.gap ? "L" : "M"}${x(point).toFixed(1)} ${y(value).toFixed(1)}`;
        drawing = true;
      }
      line.path.setAttribute("d", path);
    }
    this.#read();
  }

  /** The values at the place that is pointed at, else the latest. */
  #read() {
    const points = this.#points;
    const now = points.at(-1)?.at ?? 0;
    let point = points.at(-1) ?? null;
    if (this.#pointed !== null && points.length) {
      const at = now - this.#span + this.#pointed * this.#span;
      point = points.reduce((best, one) => (Math.abs(one.at - at) < Math.abs(best.at - at) ? one : best));
    }
    const ago = point === null ? 0 : Math.round(now - point.at);
    setText(this.when, this.#pointed === null || ago === 0 ? this.#latest : `${ago} s ${this.#latest === "now" ? "ago" : "before"}`);
    const place = point === null || this.#pointed === null ? "" : `M${((WIDTH * (point.at - now + this.#span)) / this.#span).toFixed(1)} 0V${HEIGHT}`;
    this.cursor.setAttribute("d", place);
    const said = [];
    for (const line of this.#lines) {
      const value = point?.[line.field] ?? null;
      setText(line.value, value === null ? "–" : this.#format(value));
      said.push(`${line.name} ${line.value.textContent}`);
    }
    this.canvas.setAttribute("aria-label", `${this.title}: ${said.join(", ")}`);
  }
}
