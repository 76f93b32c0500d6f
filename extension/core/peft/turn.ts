import type { LinearEffect } from "./effect.ts";

/**
 * Outputs that a method mixes: y'[i] = outputScale[i] y[i] + factor[i] y[partner[i]]. The second term
 * is kept as a dense difference of the base's weight; this says how it came about, so that what
 * another adapter did to the outputs before is mixed with them.
 */
export interface Turn {
  readonly partner: Int32Array;
  readonly factor: Float32Array;
}

/** Rows of a matrix [out, columns] as `then` scales and mixes them. */
export function turnRows(
  matrix: Float32Array,
  { outputScale, turn }: LinearEffect,
  columns: number,
): Float32Array {
  if (!outputScale && !turn) return matrix;
  return matrix.map((value, i) => {
    const row = Math.floor(i / columns);
    const own = value * (outputScale?.[row] ?? 1);
    if (!turn) return own;
    const other = matrix[(turn.partner[row] as number) * columns + (i % columns)] as number;
    return own + (turn.factor[row] as number) * other;
  });
}

/** The mixed-in part of the base, as it is after the scales of an adapter that was there before. */
export function turnedBase(
  first: LinearEffect,
  { turn, delta, shift }: LinearEffect,
  inputs: number,
): Pick<LinearEffect, "delta" | "shift"> {
  const { outputScale, inputScale } = first;
  const before = (row: number): number =>
    turn ? (outputScale?.[turn.partner[row] as number] ?? 1) : 1;
  const column = (i: number): number => (turn ? (inputScale?.[i % inputs] ?? 1) : 1);
  return {
    ...(delta && {
      delta: delta.map((value, i) => value * before(Math.floor(i / inputs)) * column(i)),
    }),
    ...(shift && { shift: shift.map((value, row) => value * before(row)) }),
  };
}
