/** Numbers as people read them. A no-break space keeps a number and its unit on one line. */
const space = "\u00a0";

/** 71680 → "71,680" */
export function exactCount(value: number): string {
  return value.toLocaleString("en-US");
}

/** 71680 → "71,680"; 1271200 → "1.3 M"; 7.2e9 → "7.2 B" */
export function count(value: number): string {
  if (value < 1e6) return exactCount(value);
  return value < 999.5e6 ? `${short(value / 1e6)}${space}M` : `${short(value / 1e9)}${space}B`;
}

/** 287104 → "287 KB"; decimal, as file managers and the Hub count. */
export function bytes(value: number): string {
  if (value < 1000) return `${value}${space}B`;
  const units = ["KB", "MB", "GB", "TB"];
  let scaled = value;
  let unit = -1;
  do {
    scaled /= 1000;
    unit += 1;
  } while (scaled >= 999.5 && unit < units.length - 1);
  return `${short(scaled)}${space}${units[unit]}`;
}

/** 0.0564 → "5.6 %"; tiny shares keep a digit: 0.00004 → "0.004 %" */
export function percent(share: number): string {
  const value = share * 100;
  if (value === 0) return `0${space}%`;
  if (value < 0.001) return `< 0.001${space}%`;
  const digits = value >= 10 ? 0 : value >= 0.1 ? 1 : 3;
  return `${Number(value.toFixed(digits))}${space}%`;
}

/** A scale or weight: 2 → "2.0", 0.75 → "0.75", 1.41421 → "1.41" */
export function scale(value: number): string {
  if (value !== 0 && Math.abs(value) < 0.01) return value.toPrecision(2);
  const rounded = value.toFixed(2);
  return rounded.endsWith("0") ? rounded.slice(0, -1) : rounded;
}

/** 16 → "16", 0.1 → "0.1", 1.33333 → "1.333": for α and the like, which are usually whole. */
export function plain(value: number): string {
  return String(Number(value.toPrecision(4)));
}

/** 41.3 → "41 tok/s", 3.14 → "3.1 tok/s" */
export function speed(tokensPerSecond: number): string {
  return `${short(tokensPerSecond)}${space}tok/s`;
}

/** [8, 160] → "8 × 160"; a scalar is "scalar". */
export function shape(dimensions: readonly number[]): string {
  return dimensions.length === 0 ? "scalar" : dimensions.join(`${space}×${space}`);
}

function short(value: number): string {
  const text = value < 9.95 ? value.toFixed(1) : value.toFixed(0);
  return text.endsWith(".0") && value >= 0.05 ? text.slice(0, -2) : text;
}

/** Joins what is known with the middle dot that every line of facts in Graft uses. */
export function factLine(...facts: (string | null | undefined | false)[]): string {
  return facts.filter((fact) => typeof fact === "string" && fact !== "").join(" · ");
}
