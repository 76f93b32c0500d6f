/** The new factors of one module; formulas in lora.ts. */
import { t } from "@vscode/l10n";
import { badRequest } from "../../base/errors.ts";
import { fromFloat32 } from "../../base/halfFloat.ts";
import { transposed } from "../../base/matrix.ts";
import type { TorchGenerator } from "../../base/torchRandom.ts";
import type { TensorData } from "../../safetensors/write.ts";
import { clamped, type Factors, joined, leading, padded, productOf, truncated } from "./factors.ts";
import { type LoraSource, type Part, partsOf, suffixes } from "./loraParts.ts";
import { mix, mixings } from "./merging.ts";
import type { CombinationType, readOptions } from "./options.ts";

/** What a combination does to every module. */
export interface Plan {
  readonly type: CombinationType;
  readonly rank: number;
  readonly options: ReturnType<typeof readOptions>;
  readonly generator: TorchGenerator;
}

export function isSvd(type: CombinationType): boolean {
  return type === "svd" || type.endsWith("_svd");
}

export function mixingOf(type: CombinationType): (typeof mixings)[keyof typeof mixings] {
  const kind = type.replace(/_svd$/, "");
  return mixings[kind === "svd" || kind === "cat" ? "linear" : (kind as keyof typeof mixings)];
}

/**
 * PEFT draws initial factors of the new adapter before it draws masks, all from one generator:
 * torch's own for a Linear, then those of init_lora_weights (lora/layer.py).
 */
export function skipInitialDraws(
  paths: readonly string[],
  sources: readonly LoraSource[],
  { generator, rank }: Plan,
): void {
  const [{ config }] = sources as [LoraSource];
  const init = config.init_lora_weights;
  for (const path of paths) {
    const [{ factors }, kind] = partsOf(path, sources);
    const [inA, inB] = [rank * factors.inputs, factors.out * rank];
    if (kind === "embedding") {
      generator.normal(inA);
      generator.normal(inB);
      if (init === true) generator.normal(inB);
      continue;
    }
    generator.uniform(inA);
    generator.uniform(inB + (config.lora_bias ? factors.out : 0));
    if (init === true) generator.uniform(inA);
    if (init === "gaussian") generator.normal(inA);
  }
}

/** Tensors of the new adapter for a module. */
export function combineModule(
  path: string,
  sources: readonly LoraSource[],
  plan: Plan,
): TensorData[] {
  const [{ config }] = sources as [LoraSource];
  const [, kind, parts] = partsOf(path, sources);
  const isTransposed = config["fan_in_fan_out"] === true || kind === "embedding";
  const combined = isSvd(plan.type)
    ? combineUpdates(parts, plan, isTransposed)
    : plan.type === "cat"
      ? joined(parts.map(weighted) as [Factors, ...Factors[]])
      : combineFactors(path, parts, plan);
  const { a, b, inputs, out } = padded(combined, plan.rank);
  const tensor = (suffix: string, values: Float32Array, shape: number[]): TensorData => ({
    name: `base_model.model.${path}.${suffix}`,
    dtype: "F32",
    shape,
    bytes: fromFloat32(values, "F32"),
  });
  const [suffixA, suffixB] = suffixes[kind];
  const bias =
    config.lora_bias && kind === "linear"
      ? [tensor("lora_B.bias", new Float32Array(out), [out])]
      : [];
  return [tensor(suffixA, a, [plan.rank, inputs]), tensor(suffixB, b, [out, plan.rank]), ...bias];
}

function weighted({ factors, weight, scaling }: Part): Factors {
  return { ...factors, a: factors.a.map((value) => Math.fround(value * weight) * scaling) };
}

/** Both factors on their own, each with the root of the weight. */
function combineFactors(path: string, parts: readonly Part[], plan: Plan): Factors {
  const [{ factors }] = parts as [Part];
  if (parts.some((part) => part.factors.rank !== factors.rank)) {
    throw badRequest(
      t(
        "The adapters' ranks differ in {0}: {1} cannot combine them. cat and the types with svd can.",
        path,
        plan.type,
      ),
    );
  }
  const roots = parts.map(({ weight, scaling }) => Math.sqrt(Math.abs(weight * scaling)));
  const signed = parts.map(
    ({ weight, scaling }, i) => (weight * scaling >= 0 ? 1 : -1) * (roots[i] as number),
  );
  const how = { ...mixingOf(plan.type), ...plan.options, generator: plan.generator };
  const a = mix(
    parts.map((part) => part.factors.a),
    signed,
    how,
  );
  const b = mix(
    parts.map((part) => part.factors.b),
    roots,
    how,
  );
  return { ...factors, a, b };
}

/** The updates, and the best factors for their mix. Masks are drawn for [in, out] where so stored. */
function combineUpdates(parts: readonly Part[], plan: Plan, isTransposed: boolean): Factors {
  const { rank, options } = plan;
  const [{ factors }] = parts as [Part];
  const { inputs: columns, out: rows } = factors;
  if (plan.type === "svd" && options.svdClamp === null) {
    return truncated(joined(parts.map(weighted) as [Factors, ...Factors[]]), rank);
  }
  const updates = parts.map(({ factors: own, scaling }) => {
    const update = productOf(own).map((value) => value * scaling);
    return isTransposed ? Float32Array.from(transposed(update, rows, columns)) : update;
  });
  const weights = parts.map(({ weight }) => weight);
  const how = { ...mixingOf(plan.type), ...options, generator: plan.generator };
  const mixed = mix(updates, weights, how);
  const update = isTransposed ? Float32Array.from(transposed(mixed, columns, rows)) : mixed;
  return options.svdClamp === null
    ? leading(update, { rows, columns, rank })
    : clamped(update, { rows, columns, rank, quantile: options.svdClamp });
}
