/**
 * HRA, Householder reflection adaptation (https://arxiv.org/abs/2405.17484; PEFT tuners/hra):
 * W' = W H_1 … H_r with H = I − 2 u uᵀ, u of length 1. A product of reflections is I − U T Uᵀ with
 * a triangular T (the compact WY form, https://doi.org/10.1137/0910005), so ΔW = −(W U T) Uᵀ has
 * rank r: the low-rank path, exactly. With apply_GS the u are made orthonormal first and T is 2 I.
 */
import { t } from "@vscode/l10n";
import { z } from "zod";
import { dot, multiply, transposed } from "../base/matrix.ts";
import type { LinearModule } from "../onnx/layerHook.ts";
import { loraTargets } from "./defaultTargets.ts";
import type { LinearEffect } from "./effect.ts";
import { tunerFields, wholeNumber } from "./tuner/config.ts";
import type { ModuleTensors } from "./tuner/tensors.ts";
import { type TunerContext, tunerMethod } from "./tuner/tuner.ts";

const hraSchema = z.looseObject({
  ...tunerFields,
  r: wholeNumber.default(8),
  apply_GS: z.boolean().default(false),
});

export type HraConfig = z.infer<typeof hraSchema>;

export const hra = tunerMethod<HraConfig>({
  peftType: "HRA",
  schema: hraSchema,
  fields: {
    r: { default: 8, meaning: t("Number of reflections.") },
    apply_GS: { default: false, meaning: t("The reflections' directions are made orthogonal.") },
    init_weights: { default: true, meaning: t("Whether training began at the base.") },
    bias: { default: "none", meaning: t("Which biases were trained and are stored.") },
  },
  defaultTargets: loraTargets,
  suffixes: ["hra_u"],
  kinds: ["linear"],
  rank: ({ r }) => r,
  shapes: (module, { r }) => ({ hra_u: [module.kind === "linear" ? module.in : 0, r] }),
  linear: linearEffect,
});

async function linearEffect(
  module: LinearModule,
  tensors: ModuleTensors,
  context: TunerContext<HraConfig>,
): Promise<LinearEffect> {
  const { r, apply_GS: orthogonal } = context.config;
  // Directions as rows: [r, in].
  const directions = transposed(tensors.values("hra_u"), module.in, r);
  if (orthogonal) orthogonalize(directions, module.in);
  else for (let i = 0; i < r; i++) normalize(row(directions, i, module.in));
  const t = orthogonal ? doubled(r) : triangle(directions, { r, size: module.in });
  const weight = await context.weight(module);
  const onto = multiply(weight, transposed(directions, r, module.in), {
    rows: module.out,
    inner: module.in,
    columns: r,
  });
  const b = multiply(onto, t, { rows: module.out, inner: r, columns: r });
  return {
    lowRank: { a: Float32Array.from(directions), b: Float32Array.from(b, (x) => -x), rank: r },
    rotation: { rows: (matrix) => reflected(matrix, { directions, t, r, size: module.in }) },
  };
}

/** Rows w of a matrix become w (I − U T Uᵀ). */
function reflected(
  matrix: Float32Array,
  at: { directions: Float64Array; t: Float64Array; r: number; size: number },
): Float32Array {
  const { directions, t, r, size } = at;
  const rows = matrix.length / size;
  const onto = multiply(matrix, transposed(directions, r, size), { rows, inner: size, columns: r });
  const weights = multiply(onto, t, { rows, inner: r, columns: r });
  const change = multiply(weights, directions, { rows, inner: r, columns: size });
  return matrix.map((value, i) => value - (change[i] as number));
}

/** T [r, r] with H_1 … H_r = I − U T Uᵀ: column k is −2 T Uᵀ u_k above its diagonal of 2. */
function triangle(
  directions: Float64Array,
  { r, size }: { r: number; size: number },
): Float64Array {
  const t = doubled(r);
  for (let k = 1; k < r; k++) {
    const overlaps = Array.from({ length: k }, (_, j) =>
      dot(row(directions, j, size), row(directions, k, size)),
    );
    for (let i = 0; i < k; i++) {
      let sum = 0;
      for (let j = i; j < k; j++) sum += (t[i * r + j] as number) * (overlaps[j] as number);
      t[i * r + k] = -2 * sum;
    }
  }
  return t;
}

function doubled(r: number): Float64Array {
  return Float64Array.from({ length: r * r }, (_, i) => (i % (r + 1) === 0 ? 2 : 0));
}

/** Gram-Schmidt in PEFT's order (modified, each direction against the finished ones). */
function orthogonalize(directions: Float64Array, size: number): void {
  for (let i = 0; i < directions.length / size; i++) {
    const own = row(directions, i, size);
    for (let j = 0; j < i; j++) {
      const other = row(directions, j, size);
      const overlap = dot(own, other);
      own.forEach((value, k) => (own[k] = value - overlap * (other[k] as number)));
    }
    normalize(own);
  }
}

function normalize(vector: Float64Array): void {
  const norm = Math.sqrt(dot(vector, vector));
  vector.forEach((value, i) => (vector[i] = value / norm));
}

function row(matrix: Float64Array, i: number, size: number): Float64Array {
  return matrix.subarray(i * size, (i + 1) * size);
}
