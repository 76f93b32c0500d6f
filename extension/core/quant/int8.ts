import { roundToEven } from "../base/roundToEven.ts";

/** LLM.int8 weights (https://arxiv.org/abs/2208.07339): a row is its largest absolute value / 127 times int8. */
export interface Int8Matrix {
  /** [rows, columns] */
  readonly codes: Int8Array;
  /** Largest absolute value of each row. [rows] */
  readonly absmax: Float32Array;
}

/** @param values row-major [rows, columns] */
export function quantizeInt8(values: Float32Array, columns: number): Int8Matrix {
  const rows = columns === 0 ? 0 : values.length / columns;
  const absmax = new Float32Array(rows);
  const codes = new Int8Array(values.length);
  for (let row = 0; row < rows; row++) {
    const own = values.subarray(row * columns, (row + 1) * columns);
    const largest = own.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    absmax[row] = largest;
    if (largest === 0) continue;
    const scale = Math.fround(127 / largest);
    own.forEach((value, i) => (codes[row * columns + i] = roundToEven(Math.fround(value * scale))));
  }
  return { codes, absmax };
}

/** Row-major values [rows, columns]. */
export function dequantizeInt8({ codes, absmax }: Int8Matrix): Float32Array {
  const columns = codes.length / absmax.length;
  return Float32Array.from(codes, (code, i) => {
    const scaled = Math.fround(code * (absmax[Math.floor(i / columns)] as number));
    return scaled / 127;
  });
}
