/** What a conversion makes: factors by module, and the files' content that PEFT loads them from. */
import { fromFloat32 } from "../../base/halfFloat.ts";
import type { JsonObject } from "../../base/json.ts";
import type { ModuleTree } from "../../checkpoint/modules.ts";
import { resolveTargets } from "../../checkpoint/targets.ts";
import type { TensorData } from "../../safetensors/write.ts";
import type { Factors } from "../combine/factors.ts";
import { suffixes } from "../combine/loraParts.ts";
import { lora } from "../lora.ts";
import { commonFields, type FieldInfo } from "../method.ts";

/** A module of a converted adapter. */
export interface ConvertedModule {
  readonly path: string;
  readonly rank: number;
  /** ‖update‖² before. */
  readonly total: number;
  /** ‖what is lost of it‖². */
  readonly lost: number;
}

/** A new adapter, ready to be written. */
export interface ConvertedAdapter {
  readonly tensors: readonly TensorData[];
  readonly configText: string;
  readonly modules: readonly ConvertedModule[];
  readonly warnings: readonly string[];
}

/** Told before each module. */
export type OnModule = (progress: {
  step: string;
  done: number;
  total: number;
  unit: "items";
}) => void;

export interface ConvertOptions {
  readonly onProgress?: OnModule | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Tensors of a module's factors under PEFT's names. */
export function factorTensors(
  path: string,
  kind: keyof typeof suffixes,
  { a, b, rank, inputs, out }: Factors,
): TensorData[] {
  const [suffixA, suffixB] = suffixes[kind];
  return [
    tensor(`${path}.${suffixA}`, a, [rank, inputs]),
    tensor(`${path}.${suffixB}`, b, [out, rank]),
  ];
}

/** An fp32 tensor under the name that PEFT gives a parameter of the base. */
export function tensor(plainName: string, values: Float32Array, shape: number[]): TensorData {
  const name = `base_model.model.${plainName}`;
  return { name, dtype: "F32", shape, bytes: fromFloat32(values, "F32") };
}

interface Scale {
  readonly rank: number;
  readonly alpha: number;
}

/**
 * `r`, `lora_alpha` and the patterns that give every module its own rank and alpha: what most
 * modules have, and by their paths those that have another.
 */
export function scaleFields(modules: ReadonlyMap<string, Scale>): JsonObject {
  const ranks = [...modules].map(([path, { rank }]) => [path, rank] as const);
  const alphas = [...modules].map(([path, { alpha }]) => [path, alpha] as const);
  const [r, alpha] = [mostCommon(ranks), mostCommon(alphas)];
  return {
    r,
    lora_alpha: alpha,
    rank_pattern: Object.fromEntries(ranks.filter(([, own]) => own !== r)),
    alpha_pattern: Object.fromEntries(alphas.filter(([, own]) => own !== alpha)),
  };
}

function mostCommon(values: readonly (readonly [string, number])[]): number {
  const counts = new Map<number, number>();
  for (const [, value] of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts].reduce((best, each) => (each[1] > best[1] ? each : best), [1, 0])[0];
}

/** PEFT 0.21's whole LoraConfig in PEFT's order, defaults where nothing else is given. */
export function loraConfigText(fields: JsonObject): string {
  const info: Readonly<Record<string, FieldInfo>> = { ...commonFields, ...lora.fields };
  const all: JsonObject = {};
  for (const [field, own] of Object.entries(info)) all[field] = own.default;
  Object.assign(all, { peft_type: "LORA", inference_mode: true, ...fields });
  // PEFT does not store options of a running model.
  const sorted = Object.keys(all)
    .filter((field) => field !== "runtime_config")
    .sort();
  return JSON.stringify(Object.fromEntries(sorted.map((key) => [key, all[key]])), null, 2);
}

/**
 * The shortest list of names that chooses these modules and no other: their last parts, or, where
 * those choose more, their paths.
 */
export function targetNames(
  paths: readonly string[],
  tree: ModuleTree | null,
  modulesToSave: readonly string[] = [],
): string[] {
  const short = [...new Set(paths.map((path) => path.slice(path.lastIndexOf(".") + 1)))].sort();
  if (tree === null) return [...paths];
  const chosen = resolveTargets(tree, {
    targetModules: short,
    excludeModules: null,
    layersToTransform: null,
    layersPattern: null,
    modulesToSave,
    file: "",
  });
  const wanted = new Set(paths);
  const isSame = chosen.length === wanted.size && chosen.every(({ path }) => wanted.has(path));
  return isSame ? short : [...paths];
}
