/** What an adapter's weights say of its config, from the header alone. */
import type { AdapterCheckpoint } from "./checkpoint/adapterCheckpoint.ts";
import { plainTensorName } from "./checkpoint/adapterCheckpoint.ts";
import { isObject } from "./base/json.ts";
import { isVocabulary } from "./checkpoint/modules.ts";
import { isPatternKey } from "./checkpoint/targets.ts";
import { parameterMethods } from "./checkpoint/tensorNames.ts";
import { methods } from "./peft/index.ts";
import type { MethodBase } from "./peft/method.ts";
import type { TensorEntry } from "./safetensors/header.ts";

/** Tensors whose first size is the rank that the config states, by method. */
const rankTensors: Readonly<Record<string, readonly string[]>> = {
  LORA: ["lora_A.weight", "lora_embedding_A"],
  HIRA: ["hira_A"],
  LOHA: ["hada_w1_b"],
  DELORA: ["delora_A"],
  VERA: ["vera_lambda_d"],
};

export interface StoredRank {
  module: string;
  stored: number;
  configured: number;
  key: string | null;
}

/** Modules whose tensors have another rank than the config gives them. */
export function differingRanks(adapter: AdapterCheckpoint): {
  differing: StoredRank[];
  known: number;
  stored: number | null;
} {
  const { config, weights } = adapter;
  const none = { differing: [], known: 0, stored: null };
  const suffixes = rankTensors[config.peftType];
  const method = methods.find(({ peftType }) => peftType === config.peftType);
  // A parameter's factors stand one below the other, of all its experts.
  const hasParameters = (config.raw["target_parameters"] as unknown[] | undefined)?.length;
  if (!suffixes || !method || hasParameters) return none;
  const stored = storedRanks(weights.tensors, suffixes);
  const configured = ranksByConfig(adapter);
  const all = new Set(stored.values());
  const one = all.size === 1 ? ([...all][0] as number) : null;
  if (configured === null) return { ...none, stored: one };
  const pattern = config.raw["rank_pattern"];
  const keys = isObject(pattern) ? Object.keys(pattern) : [];
  const place = { field: "rank_pattern", file: config.file };
  const differing = [...stored].flatMap(([module, rank]): StoredRank[] => {
    const own = configured.get(module);
    if (own === undefined || own === null || own === rank) return [];
    const key = keys.find((each) => isPatternKey(each, module, place)) ?? null;
    return [{ module, stored: rank, configured: own, key }];
  });
  return { differing, known: stored.size, stored: one };

  function ranksByConfig(of: AdapterCheckpoint): Map<string, number | null> | null {
    try {
      return new Map(method?.summarize(of).map(({ path, rank }) => [path, rank]));
    } catch {
      // A config that cannot be read is told of on its own.
      return null;
    }
  }
}

/** Ranks by module, of those whose tensors agree on one. */
function storedRanks(
  tensors: readonly TensorEntry[],
  suffixes: readonly string[],
): Map<string, number> {
  const shapes = new Map(tensors.map(({ name, shape }) => [plainTensorName(name), shape]));
  const ranks = new Map<string, number>();
  for (const [name, [rank = 0]] of shapes) {
    const suffix = suffixes.find((each) => name.endsWith(`.${each}`));
    if (suffix === undefined || rank < 1 || /\.experts(\.|$)/.test(name)) continue;
    const module = name.slice(0, -suffix.length - 1);
    const other = shapes.get(`${module}.${suffix.replace("_A", "_B")}`)?.[1];
    // Transposed or mixed-up factors are no question of the rank.
    if (suffix.includes("_A") && other !== undefined && other !== rank) continue;
    ranks.set(module, rank);
  }
  return ranks;
}

/** The method whose tensors these are, of several that share a beginning the plainest; null when nothing tells. */
export function methodOfTensors(tensors: readonly TensorEntry[]): string | null {
  for (const { name } of tensors) {
    if (name === "prompt_embeddings") return "PROMPT_TUNING";
    for (const part of name.split(".")) {
      const beginning = Object.keys(parameterMethods).find((each) => part.startsWith(each));
      const method = beginning && parameterMethods[beginning];
      if (method && method !== "TRAINABLE_TOKENS") return method;
    }
  }
  return null;
}

/** The first tensor with a row a token that has another number of rows than its module in the base. */
export function vocabularyDifference(
  tensors: readonly TensorEntry[],
  { tree }: MethodBase,
): { tensor: string; module: string; stored: number; base: number } | null {
  const tables = new Map(
    tree.modules
      .filter((module) => isVocabulary(module, tree))
      .map((module) => [module.path, module.kind === "embedding" ? module.in : module.out]),
  );
  for (const { name, shape } of tensors) {
    const plain = plainTensorName(name).replace(/\.(modules_to_save|base_layer)\./, ".");
    const module = [...tables.keys()].find((path) => plain.startsWith(`${path}.`));
    if (module === undefined) continue;
    const rows = rowsOf(plain.slice(module.length + 1), shape);
    const base = tables.get(module) as number;
    if (rows !== null && rows !== base) return { tensor: name, module, stored: rows, base };
  }
  return null;
}

/** How many tokens a tensor of a vocabulary's module has rows for; null where it has none a token. */
function rowsOf(suffix: string, shape: readonly number[]): number | null {
  if (suffix === "weight" || suffix === "lora_B.weight") return shape[0] ?? null;
  return suffix === "lora_embedding_A" ? (shape[1] ?? null) : null;
}
