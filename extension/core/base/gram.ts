/** Products of long rows in double precision, in blocks that keep what they read: much faster than row by row. */

/** a [rows, length], row-major. */
export interface Rows {
  readonly values: Float64Array;
  readonly rows: number;
  readonly length: number;
}

/** A matrix [rows, columns] as its rows, or as the rows of its transpose. */
export function rowsOf(
  values: ArrayLike<number>,
  { rows, columns }: { rows: number; columns: number },
): Rows {
  return { values: Float64Array.from(values), rows, length: columns };
}

/** The columns of a matrix [rows, columns], each as a row. */
export function columnsAsRows(
  values: ArrayLike<number>,
  { rows, columns }: { rows: number; columns: number },
): Rows {
  const out = new Float64Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    const from = row * columns;
    for (let column = 0; column < columns; column++) {
      out[column * rows + row] = values[from + column] as number;
    }
  }
  return { values: out, rows: columns, length: rows };
}

/** a aᵀ [rows, rows]. */
export function gram(a: Rows): Float64Array {
  const out = new Float64Array(a.rows * a.rows);
  fill(out, [a, a], true);
  for (let i = 0; i < a.rows; i++) {
    for (let j = 0; j < i; j++) out[i * a.rows + j] = out[j * a.rows + i] as number;
  }
  return out;
}

/** a bᵀ [a.rows, b.rows] of rows that are as long. */
export function crossGram(a: Rows, b: Rows): Float64Array {
  const out = new Float64Array(a.rows * b.rows);
  fill(out, [a, b], false);
  return out;
}

/** What stays in the processor's nearest cache: so many values of each row at a time. */
const strip = 512;

/** Adds products; of a symmetric result the upper half alone. */
function fill(out: Float64Array, [a, b]: readonly [Rows, Rows], isSymmetric: boolean): void {
  for (let from = 0; from < a.length; from += strip) {
    const to = Math.min(a.length, from + strip);
    for (let i = 0; i < a.rows; i += 2) {
      for (let j = isSymmetric ? i - (i % 4) : 0; j < b.rows; j += 4) {
        addBlock(out, { a, b, i, j, from, to });
      }
    }
  }
}

interface Block {
  readonly a: Rows;
  readonly b: Rows;
  readonly i: number;
  readonly j: number;
  readonly from: number;
  readonly to: number;
}

/** Two rows of a with four of b over a strip: eight sums for six reads. */
function addBlock(out: Float64Array, { a, b, i, j, from, to }: Block): void {
  const [x, y, n] = [a.values, b.values, a.length];
  const i1 = Math.min(i + 1, a.rows - 1) * n;
  const i0 = i * n;
  const last = b.rows - 1;
  const [j0, j1] = [j * n, Math.min(j + 1, last) * n];
  const [j2, j3] = [Math.min(j + 2, last) * n, Math.min(j + 3, last) * n];
  let [s00, s01, s02, s03] = [0, 0, 0, 0];
  let [s10, s11, s12, s13] = [0, 0, 0, 0];
  // No destructuring inside: it costs twice the time.
  for (let k = from; k < to; k++) {
    const x0 = x[i0 + k] as number;
    const x1 = x[i1 + k] as number;
    const y0 = y[j0 + k] as number;
    const y1 = y[j1 + k] as number;
    const y2 = y[j2 + k] as number;
    const y3 = y[j3 + k] as number;
    s00 += x0 * y0;
    s01 += x0 * y1;
    s02 += x0 * y2;
    s03 += x0 * y3;
    s10 += x1 * y0;
    s11 += x1 * y1;
    s12 += x1 * y2;
    s13 += x1 * y3;
  }
  const sums = [s00, s01, s02, s03, s10, s11, s12, s13];
  for (let p = 0; p < 2 && i + p < a.rows; p++) {
    for (let q = 0; q < 4 && j + q < b.rows; q++) {
      const place = (i + p) * b.rows + j + q;
      out[place] = (out[place] as number) + (sums[p * 4 + q] as number);
    }
  }
}
