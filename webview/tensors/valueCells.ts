/** How values are written, and which of them are in view; no page needed. */
import type { Cell, ValueWindow } from "../../extension/protocol/tensorContract.ts";

export type Digits = "4" | "8" | "all";

/** Significant digits that tell all values of a type apart. */
const allDigits: Readonly<Record<string, number>> = {
  F64: 17,
  F32: 9,
  F16: 5,
  BF16: 4,
  F8_E4M3: 3,
  F8_E5M2: 3,
  F8_E4M3FNUZ: 3,
  F8_E5M2FNUZ: 3,
  F8_E8M0: 3,
};

export function showCell(cell: Cell, dtype: string, digits: Digits): string {
  if (typeof cell === "string") return cell === "-0" ? "−0" : cell.replace(/^-/, "−");
  if (Number.isInteger(cell) && Math.abs(cell) < 1e7) return minus(String(cell));
  const enough = allDigits[dtype];
  if (enough === undefined) return minus(String(cell));
  const shown = Number(
    cell.toPrecision(digits === "all" ? enough : Math.min(Number(digits), enough)),
  );
  const size = Math.abs(shown);
  const text = size >= 1e7 || size < 1e-4 ? shown.toExponential() : String(shown);
  return minus(text);
}

/** A true minus is as wide as a plus, and wraps with its number. */
function minus(text: string): string {
  return text.replace(/-/g, "−");
}

export interface Axis {
  /** How many there are. */
  count: number;
  /** How many are in view. */
  inView: number;
}

/** Which one is the first in view, by the share of the way that is scrolled. */
export function firstInView({ count, inView }: Axis, scrolled: number, way: number): number {
  const last = Math.max(0, count - inView);
  return way <= 0 ? 0 : Math.round((Math.min(scrolled, way) / way) * last);
}

/** The other way round. */
export function scrollFor({ count, inView }: Axis, first: number, way: number): number {
  const last = Math.max(0, count - inView);
  return last === 0 ? 0 : (first / last) * way;
}

/** The first in view after a cell has come into it. */
export function firstWith({ count, inView }: Axis, first: number, index: number): number {
  const last = Math.max(0, count - inView);
  const least = Math.max(0, index - inView + 1);
  return Math.min(last, Math.max(least, Math.min(first, index)));
}

/** What to ask for: what is in view and as much again around it. */
export function windowAround(
  rows: Axis & { first: number },
  columns: Axis & { first: number },
  leading: readonly number[],
): ValueWindow {
  const part = ({ first, count, inView }: Axis & { first: number }): [number, number] => {
    const start = Math.max(0, first - inView);
    return [start, Math.min(count, first + 2 * inView) - start];
  };
  const [row, rowCount] = part(rows);
  const [column, columnCount] = part(columns);
  return { leading: [...leading], row, rows: rowCount, column, columns: columnCount };
}

/** Whether what is in view is among what was read. */
export function holds(
  read: ValueWindow,
  rows: Axis & { first: number },
  columns: Axis & { first: number },
): boolean {
  const within = (
    start: number,
    length: number,
    { first, count, inView }: Axis & { first: number },
  ): boolean =>
    // prettier-ignore
    first >= start && Math.min(count, first + inView) <= start + length;
  return within(read.row, read.rows, rows) && within(read.column, read.columns, columns);
}

/** "3, 5" or "[2][3][5]": indices of all axes, or of the last ones alone. Null when it is neither. */
export function parseIndex(text: string, shape: readonly number[]): number[] | null {
  const numbers = text.match(/\d+/g)?.map(Number) ?? [];
  const isClean = /^[\s\d,;[\]()]*$/.test(text);
  if (!isClean || numbers.length === 0 || numbers.length > shape.length) return null;
  const axes = shape.slice(shape.length - numbers.length);
  return numbers.every((index, axis) => index < (axes[axis] ?? 0)) ? numbers : null;
}
