import { t } from "@vscode/l10n";
import { bitsOf, type Dtype } from "../base/dtype.ts";
import { toNumbers } from "../base/elements.ts";
import { badRequest } from "../base/errors.ts";
import type { Shape } from "../base/shape.ts";
import type { TensorEntry } from "./header.ts";
import { readRanges } from "./read.ts";
import { refusePacked } from "./statistics.ts";

/** A rectangle of the plane that the last two axes span, at given indices of the axes before them. */
export interface ValueWindow {
  readonly leading: readonly number[];
  readonly row: number;
  readonly rows: number;
  readonly column: number;
  readonly columns: number;
}

/** A number; text where JSON has none that is exact: NaN, infinities, -0, long integers, complex. */
export type Cell = number | string;

const mostCells = 65_536;
/** Rows this far apart are read one by one. */
const oneRead = 1 << 20;

/** Rows and columns of the plane that is shown of a shape; a vector is a column. */
function planeOf(shape: Shape): { rows: number; columns: number; leading: Shape } {
  const [rows = 1, columns = 1] = shape.length < 2 ? shape : shape.slice(-2);
  return { rows, columns, leading: shape.slice(0, -2) };
}

/** Reads the bytes of a window alone and gives its values row by row. */
export async function readWindow(
  file: string,
  tensor: TensorEntry,
  window: ValueWindow,
): Promise<Cell[][]> {
  refusePacked(tensor);
  const plane = planeOf(tensor.shape);
  check(window, plane);
  const size = bitsOf(tensor.dtype) / 8;
  const slice = window.leading.reduce((at, i, axis) => at * (plane.leading[axis] as number) + i, 0);
  const start = (slice * plane.rows + window.row) * plane.columns + window.column;
  const [stride, length] = [plane.columns * size, window.columns * size];
  const offset = tensor.offset + start * size;
  const whole = (window.rows - 1) * stride + length;
  if (window.rows * window.columns === 0) return Array.from({ length: window.rows }, () => []);
  if (whole <= oneRead) {
    const [bytes] = await readRanges(file, [{ offset, length: whole }]);
    return Array.from({ length: window.rows }, (_, i) =>
      toCells(bytes?.subarray(i * stride, i * stride + length), tensor.dtype),
    );
  }
  const ranges = Array.from({ length: window.rows }, (_, i) => ({
    offset: offset + i * stride,
    length,
  }));
  return (await readRanges(file, ranges)).map((bytes) => toCells(bytes, tensor.dtype));
}

function check(window: ValueWindow, plane: ReturnType<typeof planeOf>): void {
  const { leading, row, rows, column, columns } = window;
  const isInside = (start: number, length: number, size: number): boolean =>
    [start, length].every((n) => Number.isSafeInteger(n) && n >= 0) && start + length <= size;
  const fits =
    isInside(row, rows, plane.rows) &&
    isInside(column, columns, plane.columns) &&
    leading.length === plane.leading.length &&
    leading.every((index, axis) => isInside(index, 1, plane.leading[axis] as number));
  if (!fits) {
    throw badRequest(t("The window lies outside the tensor. Choose indices within its shape."));
  }
  if (rows * columns > mostCells) {
    throw badRequest(t("At most {0} values are read at once. Ask for fewer.", mostCells));
  }
}

function toCells(view: Uint8Array | undefined, dtype: Dtype): Cell[] {
  // A copy begins its own memory, so that any element type may be laid over it.
  const bytes = new Uint8Array(view ?? []);
  if (dtype === "C64") return complexCells(bytes);
  const values = Array.from(toNumbers(bytes, dtype));
  if (dtype === "BOOL") return values.map((value) => (value === 0 ? "false" : "true"));
  const exact =
    dtype === "I64"
      ? new BigInt64Array(bytes.buffer)
      : dtype === "U64"
        ? new BigUint64Array(bytes.buffer)
        : null;
  if (exact) return values.map((v, i) => (Number.isSafeInteger(v) ? v : String(exact[i])));
  return values.map(toCell);
}

function toCell(value: number): Cell {
  if (Object.is(value, -0)) return "-0";
  return Number.isFinite(value) ? value : String(value);
}

function complexCells(bytes: Uint8Array): string[] {
  const parts = new Float32Array(bytes.buffer);
  return Array.from({ length: parts.length / 2 }, (_, i) => {
    const [real, imaginary] = [parts[2 * i] as number, parts[2 * i + 1] as number];
    const sign = imaginary < 0 || Object.is(imaginary, -0) ? "−" : "+";
    return `${short(real)} ${sign} ${short(Math.abs(imaginary))}i`;
  });
}

/** Seven digits tell most singles apart. */
function short(value: number): string {
  return Number.isFinite(value) ? String(Number(value.toPrecision(7))) : String(value);
}
