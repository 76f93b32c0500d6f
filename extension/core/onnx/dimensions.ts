/**
 * Sizes of values before a run: a number, a name ("batch"), a product ("3*seq") or a sum
 * ("past + seq") of them, or null where nothing is known. `1|batch` is 1 or as many as `batch`.
 */
export type Dimension = number | string | null;

/** What ONNX broadcasting makes of two sizes; null where names alone do not tell. */
export function broadcast(a: Dimension, b: Dimension): Dimension {
  if (a === b || b === 1) return a;
  if (a === 1) return b;
  // The other one must be 1 or the same.
  if (typeof a === "number") return a;
  if (typeof b === "number") return b;
  if (a === null || b === null) return null;
  if (a === `1|${b}`) return b;
  return b === `1|${a}` ? a : null;
}

/** Sizes side by side. */
export function sum(parts: readonly Dimension[]): Dimension {
  if (parts.includes(null)) return null;
  const numbers = parts.filter((part) => typeof part === "number");
  if (numbers.length === parts.length) return numbers.reduce((all, each) => all + each, 0);
  const [first] = parts;
  const isName = typeof first === "string" && /^[\w.|]+$/.test(first);
  if (isName && parts.every((part) => part === first)) return `${parts.length}*${first}`;
  return parts.join(" + ");
}

/** The size that makes one product as large as another; null where it is no plain product. */
export function quotient(all: readonly Dimension[], known: readonly Dimension[]): Dimension {
  const whole = factorsOf(all);
  const part = factorsOf(known);
  if (whole === null || part === null || part.count === 0) return null;
  const names = [...whole.names];
  for (const name of part.names) {
    const at = names.indexOf(name);
    if (at === -1) return null;
    names.splice(at, 1);
  }
  const count = whole.count / part.count;
  if (!Number.isInteger(count)) return null;
  if (names.length === 0) return count;
  return [...(count === 1 ? [] : [count]), ...names.sort()].join("*");
}

function factorsOf(sizes: readonly Dimension[]): { count: number; names: string[] } | null {
  let count = 1;
  const names: string[] = [];
  for (const size of sizes) {
    if (size === null) return null;
    // A sum is a factor of its own.
    const factors = typeof size === "string" && !size.includes(" + ") ? size.split("*") : [size];
    for (const factor of factors) {
      if (typeof factor === "number" || /^\d+$/.test(factor)) count *= Number(factor);
      else names.push(factor);
    }
  }
  return { count, names };
}
