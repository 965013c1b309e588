// One question at a time to whoever looks at the page, and what came of it.

import { Refused } from "./api.js";
import { byId, setText } from "./dom.js";

const dialog = byId("dialog");
const form = dialog.querySelector("form");
const button = byId("dialog-do");
const error = byId("dialog-error");
let work = null;

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  button.disabled = true;
  error.textContent = "";
  const asked = work;
  try {
    const said = await asked.act();
    if (asked === work) dialog.close();
    say(said);
  } catch (failure) {
    if (asked === work) error.textContent = inWords(failure);
    else say(inWords(failure));
  } finally {
    button.disabled = false;
  }
});
byId("dialog-cancel").addEventListener("click", () => dialog.close());
dialog.addEventListener("close", () => (work = null));

/**
 * Ask, and do it. `body` are elements; `act` does it, and gives what is said of it then; what it throws is shown, and the
 * dialog stays.
 */
export function ask({ title, body, verb, danger = false, act }) {
  work = { act };
  setText(byId("dialog-title"), title);
  byId("dialog-body").replaceChildren(...body);
  setText(button, verb);
  button.className = danger ? "danger" : "main";
  error.textContent = "";
  if (!dialog.open) dialog.showModal();
  (dialog.querySelector("[autofocus]") ?? button).focus();
}

export const isOpen = () => dialog.open;

let silence;

/** Something that has just happened. */
export function say(text) {
  if (!text) return;
  byId("said").textContent = text;
  clearTimeout(silence);
  silence = setTimeout(() => (byId("said").textContent = ""), 6000);
}

export function inWords(failure) {
  if (failure instanceof Refused) {
    if (failure.status === 403) return `Refused: ${failure.message}.`;
    if (failure.status === 412) return "Somebody else changed it meanwhile: look at what holds now, and try again.";
    return failure.message;
  }
  if (failure instanceof TypeError) return "Nothing answers: whether it was done is not known.";
  return failure.message;
}
