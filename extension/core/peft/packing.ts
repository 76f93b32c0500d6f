/** How the effects on a group's modules lie side by side in one slot. */
import type { LinearModule } from "../onnx/layerHook.ts";
import type { LinearEffect } from "./effect.ts";

/** One module of a group and what is done to it. */
export interface Part {
  readonly module: LinearModule;
  readonly effect: LinearEffect;
}

/** One input of a group's slot, by the last part of its name. */
export interface Packed {
  readonly part: string;
  readonly shape: readonly number[];
  readonly data: Float32Array;
  /** SlotTensor's. */
  readonly blocks?: number;
}

/** Visits the modules with the column of the group's output where each begins. */
export function forEachColumn(
  parts: readonly Part[],
  visit: (part: Part, column: number) => void,
): void {
  let column = 0;
  for (const part of parts) {
    visit(part, column);
    column += part.module.out;
  }
}

/** Writes sourceᵀ into a larger row-major matrix of `stride` columns. */
export function transposeInto(
  target: Float32Array,
  source: Float32Array,
  at: { rows: number; columns: number; stride: number; offset: number },
): void {
  const { rows, columns, stride, offset } = at;
  // The short side runs inside: then both matrices are walked in a few streams.
  if (rows < columns) {
    for (let column = 0; column < columns; column++) {
      const to = offset + column * stride;
      for (let row = 0; row < rows; row++) {
        target[to + row] = source[row * columns + column] as number;
      }
    }
    return;
  }
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      target[offset + column * stride + row] = source[row * columns + column] as number;
    }
  }
}
