// Numbers and times as people read them.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const tenth = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });

export const count = (value) => (Math.abs(value) < 1e7 ? whole : short).format(value);

/** A number that changes all the time: no longer than it needs to be. */
export const rate = (value) => (value < 10 ? tenth : value < 1e5 ? whole : short).format(value);

export const percent = (share) => `${(share < 0.1 ? tenth : whole).format(100 * share)}\u00a0%`;

export const bytes = (value) =>
  value < 1 << 10 ? `${value} B` : value < 1 << 20 ? `${tenth.format(value / 1024)} KiB` : `${tenth.format(value / (1 << 20))} MiB`;

/** Of milliseconds. */
export function duration(ms) {
  if (ms === null) return "–";
  if (ms < 1000) return `${(ms < 10 ? tenth : whole).format(ms)} ms`;
  const seconds = ms / 1000;
  if (seconds < 60) return `${tenth.format(seconds)} s`;
  const [minutes, hours] = [Math.floor(seconds / 60), Math.floor(seconds / 3600)];
  if (seconds < 3600) return joined(minutes, "min", Math.floor(seconds % 60), "s");
  if (seconds < 86400) return joined(hours, "h", minutes % 60, "min");
  return `${tenth.format(seconds / 86400)} days`;
}

const joined = (most, unit, rest, small) => (rest ? `${most} ${unit} ${rest} ${small}` : `${most} ${unit}`);

export const clock = (unixMs) => new Date(unixMs).toLocaleTimeString("en-GB");
export const date = (unixMs) => new Date(unixMs).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "medium" });

export const plural = (number, word) => `${count(number)} ${word}${number === 1 ? "" : "s"}`;
