/**
 * OSF, orthogonal subspace fine-tuning (https://arxiv.org/abs/2504.07097; PEFT tuners/osf): the k
 * largest singular directions of the weight stay, all others are trained: W' = W_k + U diag(S) V with
 * k = effective_rank, by default half of the smaller side. So ΔW = U diag(S) V − (W − W_k): low rank
 * where few directions were trained, else a dense Δ.
 */
import { t } from "@vscode/l10n";
import { z } from "zod";
import { misfit } from "../base/errors.ts";
import { multiply } from "../base/matrix.ts";
import { singularPart } from "../base/singular.ts";
import { matchPattern } from "../checkpoint/targets.ts";
import type { LinearModule } from "../onnx/layerHook.ts";
import type { DefaultTargets } from "./defaultTargets.ts";
import { type LinearEffect, scaleColumns } from "./effect.ts";
import { tunerFields } from "./tuner/config.ts";
import type { ModuleTensors } from "./tuner/tensors.ts";
import { type TunerContext, tunerMethod } from "./tuner/tuner.ts";

const rankNumber = z.number(t("It must be a number."));

const osfSchema = z.looseObject({
  ...tunerFields,
  effective_rank: rankNumber.nullish().transform((value) => value ?? null),
  rank_pattern: z
    .record(z.string(), rankNumber)
    .nullish()
    .transform((value) => value ?? {}),
});

export type OsfConfig = z.infer<typeof osfSchema>;

const prefix = "osf_svd_params";
export const [left, values, right] = [
  `${prefix}.U_low`,
  `${prefix}.S_low`,
  `${prefix}.V_low`,
] as const;

const projections = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "down_proj", "up_proj"];
const fused = ["query_key_value", "dense_4h_to_h"];

/** PEFT 0.21, utils/constants.py. */
const targets: Readonly<Record<string, readonly string[]>> = {
  llama: projections,
  llama4: projections,
  mistral: projections,
  mixtral: projections,
  gemma: projections,
  gemma2: projections,
  gemma3_text: projections,
  qwen2: projections,
  qwen3: projections,
  phi: projections,
  gpt2: ["c_attn", "c_proj"],
  bloom: fused,
  opt: ["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"],
  gptj: ["q_proj", "k_proj", "v_proj", "out_proj", "fc_in", "fc_out"],
  gpt_neox: fused,
  falcon: fused,
  gpt_bigcode: ["c_attn", "c_proj"],
};

export const osf = tunerMethod<OsfConfig>({
  peftType: "OSF",
  schema: osfSchema,
  fields: {
    effective_rank: {
      default: null,
      meaning: t(
        "How many of the largest singular directions stay: a number, or a share up to 1.0.",
      ),
    },
    rank_pattern: {
      default: null,
      meaning: t("The same for single modules; the first match counts."),
    },
    init_weights: { default: true, meaning: t("Not used.") },
    target_svd_config: { default: null, meaning: t("Not used.") },
  },
  defaultTargets: (modelType): DefaultTargets => targets[modelType] ?? "all-linear",
  suffixes: [left, values, right],
  kinds: ["linear"],
  // PEFT runs the first active one and leaves the others out without a word.
  replacesWeights: true,
  rank: () => null,
  // How many directions were trained is checked below, where the file's tensors are known.
  shapes: (module) => ({
    [left]: [module.out, -1],
    [values]: [-1],
    [right]: [-1, module.kind === "linear" ? module.in : 0],
  }),
  linear: linearEffect,
});

async function linearEffect(
  module: LinearModule,
  tensors: ModuleTensors,
  context: TunerContext<OsfConfig>,
): Promise<LinearEffect> {
  const { in: columns, out: rows } = module;
  const [trained = 0] = tensors.shape(values);
  checkTrained(module, tensors, context);
  const smaller = Math.min(rows, columns);
  const weight = await context.weight(module);
  const scaled = scaleColumns(tensors.values(left), tensors.values(values), trained);
  if (2 * trained * (rows + columns) < rows * columns) {
    const old = singularPart(weight, { rows, columns, count: trained, end: "smallest" });
    const rank = 2 * trained;
    const a = new Float32Array(rank * columns);
    a.set(tensors.values(right));
    a.set(old.right, trained * columns);
    const b = Float32Array.from({ length: rows * rank }, (_, i) => {
      const [row, k] = [Math.floor(i / rank), i % rank];
      return k < trained
        ? (scaled[row * trained + k] as number)
        : -(old.left[row * trained + k - trained] as number);
    });
    return { lowRank: { a, b, rank } };
  }
  const count = smaller - trained;
  const kept = singularPart(weight, { rows, columns, count, end: "largest" });
  const low = multiply(scaled, tensors.values(right), { rows, inner: trained, columns });
  const high = multiply(kept.left, kept.right, { rows, inner: kept.rank, columns });
  return {
    delta: Float32Array.from(low, (v, i) => v + (high[i] as number) - (weight[i] as number)),
  };
}

/**
 * How many directions of a layer stay. A share of 1.0 and a number of 1 look alike once parsed: the file
 * may mean either, and the number comes first.
 */
export function keptDirections(
  { path, in: columns, out: rows }: LinearModule,
  { config, file }: { config: OsfConfig; file: string },
): readonly number[] {
  const smaller = Math.min(rows, columns);
  // PEFT searches these patterns anywhere in the name.
  const patterns = Object.fromEntries(
    Object.entries(config.rank_pattern).map(([key, rank]) => [`.*(?:${key}).*`, rank]),
  );
  const given =
    matchPattern(patterns, path, { field: "rank_pattern", file }) ?? config.effective_rank;
  if (given === null) return [Math.floor(smaller / 2)];
  if (given === 1) return [1, smaller];
  return [given > 0 && given < 1 ? Math.floor(smaller * given) : Math.trunc(given)];
}

function checkTrained(
  module: LinearModule,
  tensors: ModuleTensors,
  context: TunerContext<OsfConfig>,
): void {
  const { path, in: columns, out: rows } = module;
  const { file } = context;
  const smaller = Math.min(rows, columns);
  const kept = keptDirections(module, context);
  const [trained = 0] = tensors.shape(values);
  const isConsistent =
    tensors.shape(left)[1] === trained &&
    tensors.shape(right)[0] === trained &&
    kept.some((rank) => smaller - Math.min(smaller, rank) === trained);
  if (isConsistent) return;
  throw misfit(
    t(
      "{0}: {1} stores {2} trained directions; with {3} kept of {4} it needs {5}.",
      file,
      path,
      trained,
      String(kept[0]),
      smaller,
      smaller - (kept[0] ?? 0),
    ),
  );
}
