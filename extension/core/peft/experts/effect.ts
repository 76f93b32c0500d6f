/**
 * What adapters do to the experts of a layer: low-rank updates of one of their matrices, with factors
 * of its own for each expert e: W'ₑ = Wₑ + Σᵣ b[r, e] a[r, e]ᵀ.
 */
import { expertTensor, type ModuleTree } from "../../checkpoint/modules.ts";
import type { LayerSize, LinearEffect, LowRank } from "../effect.ts";
import type { ActiveEffects } from "../activeEffects.ts";

/** Scaling is folded into b. */
export interface ExpertEffect {
  /** [rank, experts, in] */
  readonly a: Float32Array;
  /** [rank, experts, out] */
  readonly b: Float32Array;
  readonly rank: number;
}

/** Size of a matrix that every expert has one of. */
export interface ExpertSize {
  readonly count: number;
  readonly in: number;
  readonly out: number;
}

/**
 * An effect of PEFT's factors: A [experts · rank, in] counts experts first, B [out, rank · experts]
 * ranks (lora/layer.py ParamWrapper.get_delta_weight).
 */
export function expertEffect(
  { a, b, rank }: LowRank,
  { count, in: inputs, out }: ExpertSize,
  scaling: number,
): ExpertEffect {
  const own = new Float32Array(a.length);
  for (let expert = 0; expert < count; expert++) {
    for (let r = 0; r < rank; r++) {
      const from = (expert * rank + r) * inputs;
      own.set(a.subarray(from, from + inputs), (r * count + expert) * inputs);
    }
  }
  const columns = rank * count;
  const turned = Float32Array.from(
    { length: b.length },
    (_, i) => scaling * (b[(i % out) * columns + Math.floor(i / out)] as number),
  );
  return { a: own, b: turned, rank };
}

/** What active adapters together do to a parameter; null where none has an effect. */
export function activeExperts(name: string, active: readonly ActiveEffects[]): ExpertEffect | null {
  const own = active.flatMap(({ effects, weight }) => {
    const effect = weight === 0 ? undefined : effects.experts?.get(name);
    return effect ? [weighted(effect, weight)] : [];
  });
  const [first] = own;
  if (!first || own.length === 1) return first ?? null;
  return {
    a: joined(own.map(({ a }) => a)),
    b: joined(own.map(({ b }) => b)),
    rank: own.reduce((sum, { rank }) => sum + rank, 0),
  };
}

/** Tensors of experts that active adapters change, and what is done to each. */
export function changedExperts(
  { experts: stacks = [] }: ModuleTree,
  active: readonly ActiveEffects[],
): { name: string; effect: LinearEffect; size: LayerSize }[] {
  return stacks.flatMap((stack) =>
    stack.parameters.flatMap((matrix) => {
      const effect = activeExperts(`${stack.path}.${matrix.name}`, active);
      if (!effect) return [];
      const rows = matrix.out / matrix.parts.length;
      return Array.from({ length: stack.count }, (_, expert) => expert).flatMap((expert) =>
        matrix.parts.map((part, i) => ({
          name: expertTensor(stack, expert, part),
          effect: {
            lowRank: updateOf(
              effect,
              { ...matrix, count: stack.count },
              {
                expert,
                firstRow: i * rows,
                rows,
              },
            ),
          },
          size: { in: matrix.in, out: rows },
        })),
      );
    }),
  );
}

/** The update of some rows of one expert's matrix. */
export function updateOf(
  { a, b, rank }: ExpertEffect,
  { count, in: inputs, out }: ExpertSize,
  at: { expert: number; firstRow: number; rows: number },
): LowRank {
  const own = new Float32Array(rank * inputs);
  const rows = new Float32Array(at.rows * rank);
  for (let r = 0; r < rank; r++) {
    const place = r * count + at.expert;
    own.set(a.subarray(place * inputs, (place + 1) * inputs), r * inputs);
    for (let row = 0; row < at.rows; row++) {
      rows[row * rank + r] = b[place * out + at.firstRow + row] as number;
    }
  }
  return { a: own, b: rows, rank };
}

function weighted(effect: ExpertEffect, weight: number): ExpertEffect {
  return weight === 1 ? effect : { ...effect, b: effect.b.map((value) => value * weight) };
}

function joined(parts: readonly Float32Array[]): Float32Array {
  const out = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
  let offset = 0;
  for (const part of parts) {
    out.set(part, offset);
    offset += part.length;
  }
  return out;
}
