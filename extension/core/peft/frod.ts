/**
 * FRoD (PEFT tuners/frod): modules of one role share a basis V [in, in] that is stored. Each weight
 * is W = U diag(λ₀) Vᵀ, where the columns of W V⁻ᵀ give U (their directions) and λ₀ (their lengths).
 * Trained are λ and the entries of a sparse S at fixed positions:
 *
 *     W' = U (S + diag(λ)) Vᵀ
 *
 * Run time: Δ = W' − W dense, since every λ moves.
 */
import { t } from "@vscode/l10n";
import { z } from "zod";
import { badFile, unsupported } from "../base/errors.ts";
import { multiply, solve, transposed } from "../base/matrix.ts";
import type { Shape } from "../base/shape.ts";
import type { AdapterConfig } from "../checkpoint/adapterConfig.ts";
import type { ModuleInfo } from "../checkpoint/modules.ts";
import type { LinearModule } from "../onnx/layerHook.ts";
import { loraTargets } from "./defaultTargets.ts";
import type { LinearEffect } from "./effect.ts";
import type { FieldInfo } from "./method.ts";
import { tunerFields } from "./tuner/config.ts";
import type { ModuleTensors } from "./tuner/tensors.ts";
import { type TunerContext, tunerMethod } from "./tuner/tuner.ts";

const schema = z.looseObject({
  ...tunerFields,
  save_projection: z.boolean().default(true),
  bias: z
    .enum(["none", "all", "frod_only"], t("It must be none, all or frod_only."))
    .default("none"),
});

export type FrodConfig = z.infer<typeof schema>;

const fields: Readonly<Record<string, FieldInfo>> = {
  projection_prng_key: { default: 0, meaning: t("Seed of the sparse entries' positions.") },
  save_projection: { default: true, meaning: t("The file holds the shared bases.") },
  frod_dropout: { default: 0, meaning: t("Dropout in training; no effect on answers.") },
  fan_in_fan_out: { default: false, meaning: t("The base stores its weights as [in, out].") },
  bias: { default: "none", meaning: t("Which biases were trained and are stored.") },
  init_weights: { default: true, meaning: t("The update was zero before training.") },
  sparse_rate: { default: 0.01, meaning: t("Share of the entries of S that were trained.") },
  regularization_alpha: { default: 0.001, meaning: t("Ridge in the making of the shared bases.") },
  progressbar: { default: true, meaning: t("A progress bar while bases are made.") },
  runtime_offload_base_weight: { default: false, meaning: t("Base weights waited in CPU memory.") },
};

const bases = /^frod_(V|s_indices|s_size)\./;
export const lambda = "frod_lambda_l";
export const entries = "frod_lambda_s_values";

export const frod = tunerMethod<FrodConfig>({
  peftType: "FROD",
  schema,
  fields,
  defaultTargets: (modelType) => {
    if (modelType === "phi") return ["q_proj", "v_proj"];
    return modelType === "vit" ? ["query", "value"] : loraTargets(modelType);
  },
  check,
  suffixes: [lambda, entries],
  sharedPattern: bases,
  frozen: [bases],
  kinds: ["linear"],
  rank: () => null,
  shapes,
  linear: linearEffect,
});

/** Eigenvectors have no sign of their own, and S depends on it: a basis made anew would be another. */
function check({ save_projection: isSaved }: FrodConfig, { file }: AdapterConfig): void {
  if (!isSaved) {
    throw unsupported(
      t("{0}: Graft does not run FRoD with save_projection = false", file),
      t(
        "Its basis follows from the base only up to signs that the adapter depends on. Save the adapter again with save_projection=True.",
      ),
    );
  }
}

function shapes(module: ModuleInfo): Record<string, Shape> {
  return module.kind === "linear" ? { [lambda]: [module.in], [entries]: [-1] } : {};
}

async function linearEffect(
  module: LinearModule,
  tensors: ModuleTensors,
  context: TunerContext<FrodConfig>,
): Promise<LinearEffect> {
  const { in: inputs, out } = module;
  const role = roleOf(module.path);
  const { shared, file } = context;
  const v = shared.values(`frod_V.${role}`);
  const places = shared.integers(`frod_s_indices.${role}`);
  const values = tensors.values(entries);
  if (v.length !== inputs * inputs || places.length !== 2 * values.length) {
    throw badFile(file, t("the basis or the positions of {0} do not fit {1}", role, module.path));
  }
  const weight = await context.weight(module);
  const { directions: u } = spectrum(v, weight, { module, file });
  // Rows of (U (S + Λ))ᵀ: row j is λ_j u_j, and each entry (i, j) of S adds s u_i.
  const product = new Float64Array(inputs * out);
  const add = (to: number, from: number, factor: number): void => {
    for (let k = 0; k < out; k++) {
      product[to * out + k] =
        (product[to * out + k] as number) + factor * (u[from * out + k] as number);
    }
  };
  tensors.values(lambda).forEach((factor, j) => add(j, j, factor));
  values.forEach((factor, n) => {
    const [row, column] = [places[n] as number, places[values.length + n] as number];
    if (!(row >= 0 && row < inputs && column >= 0 && column < inputs)) {
      throw badFile(
        file,
        t("position {0} of {1} is ({2}, {3}), outside its matrix", n, role, row, column),
      );
    }
    add(column, row, factor);
  });
  const size = { rows: out, inner: inputs, columns: inputs };
  const adapted = multiply(transposed(product, inputs, out), transposed(v, inputs, inputs), size);
  return { delta: weight.map((value, i) => (adapted[i] as number) - value) };
}

/** (W V⁻ᵀ)ᵀ = V⁻¹ Wᵀ [in, out]. */
function solveBasis(
  v: Float32Array,
  weight: Float32Array,
  { module, file }: { module: LinearModule; file: string },
): Float64Array {
  const { in: size, out: columns } = module;
  const solved = solve(v, transposed(weight, columns, size), { size, columns });
  if (solved) return solved;
  throw unsupported(
    t("{0}: the basis of {1} is singular, which Graft does not run", file, module.path),
  );
}

/**
 * The columns of W V⁻ᵀ by their lengths [in] and as directions [in, out], rounded to fp32 as PEFT keeps them;
 * tiny ones become zero.
 */
export function spectrum(
  v: Float32Array,
  weight: Float32Array,
  at: { module: LinearModule; file: string },
): { lengths: Float32Array; directions: Float32Array } {
  const { in: rows, out: columns } = at.module;
  const matrix = solveBasis(v, weight, at);
  const lengths = new Float32Array(rows);
  const directions = new Float32Array(matrix.length);
  for (let row = 0; row < rows; row++) {
    const own = matrix.subarray(row * columns, (row + 1) * columns);
    const norm = Math.sqrt(own.reduce((sum, value) => sum + value * value, 0));
    lengths[row] = norm;
    if (norm > 1e-12) own.forEach((value, k) => (directions[row * columns + k] = value / norm));
  }
  return { lengths, directions };
}

/** The role by which modules share a basis: the last two names of the path (PEFT frod/model.py). */
export function roleOf(path: string): string {
  const parts = path.split(".");
  const [before, parent, own] = [parts.at(-3), parts.at(-2), parts.at(-1) as string];
  if (parent === undefined || /^\d+$/.test(parent)) return own;
  const role = `${parent}_${own}`;
  return role === "output_dense" && before === "attention" ? "attention_output" : role;
}
