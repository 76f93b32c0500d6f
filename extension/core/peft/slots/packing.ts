/** How the effects on a group's modules lie side by side in one slot. */
import type { LinearModule } from "../../onnx/layerHook.ts";
import type { LinearEffect } from "../effect.ts";

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
  // The long side runs inside, with one step of an index a value; the short one stays in the cache.
  if (rows < columns) {
    for (let row = 0; row < rows; row++) {
      const end = (row + 1) * columns;
      for (let from = row * columns, to = offset + row; from < end; from++, to += stride) {
        target[to] = source[from] as number;
      }
    }
    return;
  }
  for (let column = 0; column < columns; column++) {
    const end = offset + column * stride + rows;
    for (let from = column, to = end - rows; to < end; from += columns, to++) {
      target[to] = source[from] as number;
    }
  }
}
