import { misfit } from "../base/errors.ts";
import { type ModuleInfo, weightName } from "../checkpoint/modules.ts";
import type { AdapterEffects, EmbeddingEffect, LinearEffect } from "./effect.ts";
import type { LoraConfig } from "./loraConfig.ts";
import type { MethodBase } from "./method.ts";
import type { TunerContext } from "./tuner/tuner.ts";

type Embedding = Extract<ModuleInfo, { kind: "embedding" }>;

/** The embeddings that `trainable_token_indices` names, with their ids; a bare list means the first. */
function tokenTargets(
  { trainable_token_indices: setting }: LoraConfig,
  { tree }: MethodBase,
): { module: Embedding | null; name: string; ids: readonly number[] }[] {
  if (setting === null) return [];
  const embeddings = tree.modules.filter((module) => module.kind === "embedding");
  const wanted = Array.isArray(setting) ? { [embeddings[0]?.path ?? ""]: setting } : setting;
  return Object.entries(wanted).map(([name, ids]) => {
    const isNamed = ({ path }: ModuleInfo): boolean => path === name || path.endsWith(`.${name}`);
    return { module: embeddings.find(isNamed) ?? null, name, ids };
  });
}

/** Paths of modules that hold trained token rows. */
export function tokenModules(config: LoraConfig, base: MethodBase): string[] {
  return tokenTargets(config, base).flatMap(({ module }) => module?.path ?? []);
}

/**
 * Trained rows of an embedding table. They replace the base's rows although PEFT calls the tensor
 * `trainable_tokens_delta` (tuners/trainable_tokens); a head tied to the table changes with it.
 */
export async function trainableTokens(
  context: TunerContext<LoraConfig>,
): Promise<Partial<AdapterEffects>> {
  const embeddings = new Map<string, EmbeddingEffect>();
  const linear = new Map<string, LinearEffect>();
  for (const { module, name, ids } of tokenTargets(context.config, context.base)) {
    if (!module) {
      throw misfit(
        `${context.file}: field "trainable_token_indices" names ${name}, which this base does not embed.`,
      );
    }
    const rows = context.adapterTensors(module.path).values("token_adapter.trainable_tokens_delta");
    const table = await context.weight(module);
    const { embedding, delta } = replaceRows(ids, rows, { table, width: module.out });
    embeddings.set(module.path, embedding);
    for (const head of context.base.tree.modules) {
      if (head.kind === "linear" && head.weight === weightName(module)) {
        linear.set(head.path, tiedHead(ids, delta, head.out));
      }
    }
  }
  return { embeddings, linear };
}

/** Rows given for some ids, as what they add to the table's own. */
export function replaceRows(
  ids: readonly number[],
  rows: Float32Array,
  { table, width }: { table: Float32Array; width: number },
): { embedding: EmbeddingEffect; delta: Float32Array } {
  const place = new Map(ids.map((id, i) => [id, i]));
  const delta = rows.map((value, i) => {
    const id = ids[Math.floor(i / width)] as number;
    return value - (table[id * width + (i % width)] as number);
  });
  const rowDelta = (id: number): Float32Array | null => {
    const i = place.get(id);
    return i === undefined ? null : delta.subarray(i * width, (i + 1) * width);
  };
  return { embedding: { rowDelta }, delta };
}

/** The same rows in a head that reads the table the other way: rank = number of rows. */
export function tiedHead(
  ids: readonly number[],
  delta: Float32Array,
  vocabulary: number,
): LinearEffect {
  const rank = ids.length;
  const b = new Float32Array(vocabulary * rank);
  ids.forEach((id, i) => (b[id * rank + i] = 1));
  return { lowRank: { a: delta, b, rank } };
}
