import { t } from "@vscode/l10n";
import { badRequest } from "../base/errors.ts";
import type { LinearEffect } from "./effect.ts";

/**
 * Inputs that a method turns, x → M x, so that W' = W M. The difference W (M − I) is kept as an
 * update of the base's weight; this says how it came about, so that what another adapter does to
 * the inputs is turned with them.
 */
export interface Rotation {
  /** Rows r of a matrix [rows, in] become r M. */
  rows(matrix: Float32Array): Float32Array;
  /**
   * Of several in a row the first active one turns the input first (W M₂ M₁); without it the last
   * one does (W M₁ M₂), as if each wrapped the layer that the one before has made.
   */
  readonly firstTurnsFirst?: boolean;
  /** M is another one for each output: `rows` takes a matrix [out, in] alone. */
  readonly perOutput?: boolean;
}

/** M at a weight: I + weight (M − I). */
export function partly(rotation: Rotation, weight: number): Rotation {
  return {
    ...rotation,
    rows: (matrix) => {
      const turned = rotation.rows(matrix);
      return matrix.map((value, i) => value + weight * ((turned[i] as number) - value));
    },
  };
}

/**
 * What a rotation makes of a base whose outputs an adapter before has scaled.
 * @throws bad-request when its inputs are scaled: W S (M − I) does not follow from W (M − I)
 */
export function rotatedBase(
  { inputScale, outputScale }: LinearEffect,
  { lowRank, delta, shift }: LinearEffect,
  inputs: number,
): Pick<LinearEffect, "lowRank" | "delta" | "shift"> {
  if (inputScale) {
    throw badRequest(
      t(
        "An adapter that rotates inputs cannot follow one that scales them. Name the rotating one first.",
      ),
    );
  }
  const scale = (matrix: Float32Array, columns: number): Float32Array =>
    outputScale
      ? matrix.map((value, i) => value * (outputScale[Math.floor(i / columns)] as number))
      : matrix;
  return {
    ...(lowRank && { lowRank: { ...lowRank, b: scale(lowRank.b, lowRank.rank) } }),
    ...(delta && { delta: scale(delta, inputs) }),
    ...(shift && { shift }),
  };
}
