// Builds the page. Whatever comes from a worker goes in as text, never as markup: names and headers are anybody's.

export const byId = (id) => document.getElementById(id);

/** An element with these attributes (`onclick` is listened to) and children, each an element or text. */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

/** Touches nothing that is as it should be: what is selected stays so, and nothing is read out again. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function setClass(node, name) {
  if (node.className !== name) node.className = name;
}

/** A share from 0 to 1 that CSS draws. */
export function setPart(node, share) {
  const part = `${Math.round(1000 * Math.min(1, Math.max(0, share))) / 10}%`;
  if (node.style.getPropertyValue("--part") !== part) node.style.setProperty("--part", part);
}

/** Keeps the children of a node in step with a list: one for each key, made once and then filled again. */
export class Keyed {
  #node;
  #make;
  #fill;
  #known = new Map();

  /** `make(key)` gives a child, `fill(child, item)` shows the item in it. */
  constructor(node, make, fill) {
    this.#node = node;
    this.#make = make;
    this.#fill = fill;
  }

  show(items, keyOf) {
    const gone = new Set(this.#known.keys());
    let at = this.#node.firstElementChild;
    for (const item of items) {
      const key = keyOf(item);
      gone.delete(key);
      let child = this.#known.get(key);
      if (child === undefined) {
        child = this.#make(key);
        this.#known.set(key, child);
      }
      this.#fill(child, item);
      if (child === at) at = at.nextElementSibling;
      else this.#node.insertBefore(child, at);
    }
    for (const key of gone) {
      this.#known.get(key).remove();
      this.#known.delete(key);
    }
  }
}

/**
 * A table. A column has a `label`, `show(row)` for the text of a cell or `fill(cell, row)`, and may be `number` (set
 * right), `minor` (left out where there is little room) or `wide` (takes what is left, and is cut).
 */
export class Table {
  #columns;
  #rows;

  constructor(table, columns, empty) {
    this.#columns = columns;
    const heads = columns.map((one) => element("th", { scope: "col", class: classOf(one) }, one.label));
    const body = element("tbody");
    table.append(element("thead", {}, element("tr", {}, ...heads)), body);
    this.#rows = new Keyed(
      body,
      () => element("tr", {}, ...columns.map((one) => element(one.head ? "th" : "td", one.head ? { scope: "row", class: classOf(one) } : { class: classOf(one) }))),
      (row, item) => this.#fill(row, item),
    );
    this.table = table;
    this.empty = empty;
  }

  show(items, keyOf) {
    this.table.hidden = !items.length;
    this.#rows.show(items, keyOf);
  }

  #fill(row, item) {
    this.#columns.forEach((one, at) => {
      const cell = row.children[at];
      if (one.fill) one.fill(cell, item);
      else setText(cell, one.show(item));
      const title = one.title?.(item);
      if (title !== undefined && cell.title !== title) cell.title = title;
    });
  }
}

const classOf = (column) =>
  ["number", "minor", "wide"].filter((kind) => column[kind]).join(" ");

/** A cell with a number and a bar beside it. */
export function fillBar(cell, text, share) {
  if (!cell.firstElementChild) cell.append(element("span", { class: "bar" }), element("span"));
  setPart(cell.firstElementChild, share);
  setText(cell.lastElementChild, text);
}
