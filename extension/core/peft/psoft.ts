/**
 * PSOFT, orthogonal fine-tuning in the principal subspace (https://arxiv.org/abs/2505.11235; PEFT
 * tuners/psoft): ΔW = s B (R − I) A, where A and B span W's r largest singular directions and only
 * R = diag(b) Q diag(a) is stored, Q a rotation from a skew-symmetric matrix or free. The low-rank
 * path. A component's sign matters off R's diagonal, so the vectors are torch's (base/svd.ts).
 */
import { t } from "@vscode/l10n";
import { z } from "zod";
import { GraftError, misfit, unsupported } from "../base/errors.ts";
import { patientSingularVectors } from "../base/svd.ts";
import type { AdapterConfig } from "../checkpoint/adapterConfig.ts";
import type { LinearModule } from "../onnx/layerHook.ts";
import { cayley, cayleyNeumann, skewSymmetric } from "./cayley.ts";
import { loraTargets } from "./defaultTargets.ts";
import type { LinearEffect } from "./effect.ts";
import { psoftFieldInfo } from "./psoftFields.ts";
import { tunerFields, wholeNumber } from "./tuner/config.ts";
import type { ModuleTensors } from "./tuner/tensors.ts";
import { type TunerContext, tunerMethod } from "./tuner/tuner.ts";

const psoftSchema = z.looseObject({
  ...tunerFields,
  r: wholeNumber.default(32),
  psoft_alpha: z.number(t("It must be a number.")).default(32),
  ab_svd_init: z
    .enum(["psoft_init", "pissa_init"], t("It must be psoft_init or pissa_init."))
    .default("psoft_init"),
  psoft_svd: z.enum(["full", "lowrank"], t("It must be full or lowrank.")).default("full"),
  psoft_orth: z.boolean().default(true),
  psoft_mag_a: z.boolean().default(true),
  psoft_mag_b: z.boolean().default(true),
  use_cayley_neumann: z.boolean().default(false),
  num_cayley_neumann_terms: z.int().default(5),
  cayley_neumann_eps: z
    .number(t("It must be a number."))
    .nullish()
    .transform((value) => value ?? null),
});

export type PsoftConfig = z.infer<typeof psoftSchema>;

export const [rotation, before, after] = [
  "psoft_R.weight",
  "psoft_R.vector_a",
  "psoft_R.vector_b",
] as const;

export const psoft = tunerMethod<PsoftConfig>({
  peftType: "PSOFT",
  schema: psoftSchema,
  fields: psoftFieldInfo,
  defaultTargets: loraTargets,
  check,
  suffixes: [rotation, before, after],
  kinds: ["linear"],
  rank: ({ r }) => r,
  scale: (config) => ({
    rank: config.r,
    alpha: config.psoft_alpha,
    scaling: config.psoft_alpha / config.r,
  }),
  shapes: (module, { r, psoft_orth: isRotation, psoft_mag_a: hasA, psoft_mag_b: hasB }, file) => {
    if (r > Math.min(module.out, module.kind === "linear" ? module.in : 0)) {
      throw misfit(t("{0}: {1} has fewer than {2} singular directions.", file, module.path, r));
    }
    return {
      [rotation]: isRotation ? [(r * (r - 1)) / 2] : [r, r],
      ...(hasA && { [before]: [r] }),
      ...(hasB && { [after]: [r] }),
    };
  },
  linear: linearEffect,
});

function check(config: PsoftConfig, { file }: AdapterConfig): void {
  const { psoft_svd: method, cayley_neumann_eps: eps } = config;
  if (method === "lowrank") {
    throw unsupported(
      t(
        '{0}: Graft does not run PSOFT with psoft_svd = "lowrank": signs of its directions follow from the LAPACK that torch was built with and from rounding, not from what is stored',
        file,
      ),
      t('Train it with psoft_svd = "full", or merge it into its base with Python.'),
    );
  }
  if (config.use_cayley_neumann && eps !== null && !(eps > 0 && eps < 1)) {
    throw new GraftError(
      "bad-file",
      t('{0}: field "cayley_neumann_eps" is {1}, not in (0, 1).', file, eps),
      {
        file,
        field: "cayley_neumann_eps",
      },
    );
  }
}

async function linearEffect(
  module: LinearModule,
  tensors: ModuleTensors,
  context: TunerContext<PsoftConfig>,
): Promise<LinearEffect> {
  const { config } = context;
  const { r: rank } = config;
  const weight = await context.weight(module);
  const size = { rows: module.out, columns: module.in, count: rank };
  const { values, left, right } = await patientSingularVectors(weight, size);
  const mixed = mixing(tensors, config);
  const { onB, onA } = strengths(values, config);
  const a = new Float32Array(rank * module.in);
  right.forEach((vector, k) => {
    vector.forEach((value, i) => (a[k * module.in + i] = value * (onA[k] as number)));
  });
  const b = Float32Array.from({ length: module.out * rank }, (_, i) => {
    const [row, column] = [Math.floor(i / rank), i % rank];
    return left.reduce(
      (sum, vector, k) =>
        sum + (vector[row] as number) * (onB[k] as number) * (mixed[k * rank + column] as number),
      0,
    );
  });
  return { lowRank: { a, b, rank } };
}

/** What s B and A carry of the singular values: all on B, or halves with s between them. */
export function strengths(
  values: Float64Array,
  { ab_svd_init: start, psoft_alpha: alpha, r }: PsoftConfig,
): { onB: Float64Array; onA: Float64Array } {
  if (start === "psoft_init") return { onB: values, onA: values.map(() => 1) };
  const scaling = alpha / r;
  const half = values.map((value) => Math.sqrt(value / scaling));
  return { onB: half.map((value) => value * scaling), onA: half };
}

/** R − I [r, r] (psoft/layer.py, OrthLayer.get_matrix). */
function mixing(tensors: ModuleTensors, config: PsoftConfig): Float64Array {
  const { r } = config;
  const stored = tensors.values(rotation);
  const turn = config.psoft_orth ? turned(stored, config) : stored;
  const a = config.psoft_mag_a ? tensors.values(before) : null;
  const b = config.psoft_mag_b ? tensors.values(after) : null;
  return Float64Array.from(turn, (value, i) => {
    const scaled = value * (b?.[Math.floor(i / r)] ?? 1) * (a?.[i % r] ?? 1);
    return scaled - (i % (r + 1) === 0 ? 1 : 0);
  });
}

/** (I + Q)(I − Q)⁻¹, or its series with Q's Frobenius norm held below a bound. */
function turned(upper: Float32Array, config: PsoftConfig): Float64Array {
  const { r, cayley_neumann_eps: bound } = config;
  const q = skewSymmetric(upper, r);
  if (!config.use_cayley_neumann) {
    return cayley(
      q.map((value) => -value),
      r,
    );
  }
  const norm = Math.sqrt(q.reduce((sum, value) => sum + value * value, 0));
  const held = bound !== null && norm > bound ? q.map((value) => (value * bound) / norm) : q;
  return cayleyNeumann(held, r, config.num_cayley_neumann_terms);
}
