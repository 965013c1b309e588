// Asks the worker that this page came from. The token is kept for this tab alone, and goes nowhere but into a header.

const KEY = "fanout-token";

export const token = {
  get: () => sessionStorage.getItem(KEY) ?? "",
  set: (value) => (value ? sessionStorage.setItem(KEY, value) : sessionStorage.removeItem(KEY)),
};

/** What the worker answered instead of doing it: `status`, and the detail of the problem as the message. */
export class Refused extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

/** The response, whatever it is of the good ones. Throws `Refused`, or TypeError where nothing answers. */
export async function ask(method, path, { body, headers = {}, signal } = {}) {
  const sent = { ...headers };
  if (token.get()) sent.Authorization = `Bearer ${token.get()}`;
  if (body !== undefined) sent["Content-Type"] = "application/json";
  const response = await fetch(path, {
    method,
    headers: sent,
    body: body === undefined ? undefined : JSON.stringify(body),
    signal,
    cache: "no-store",
    credentials: "omit",
    redirect: "error",
  });
  if (response.ok) return response;
  let detail = `${response.status} ${response.statusText}`;
  try {
    detail = (await response.json()).detail;
  } catch {
    // A proxy has answered, with a page of its own: its status says enough.
  }
  throw new Refused(response.status, detail);
}
