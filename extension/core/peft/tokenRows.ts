import { t } from "@vscode/l10n";
import { misfit } from "../base/errors.ts";
import { type ModuleInfo, weightName } from "../checkpoint/modules.ts";
import type { AdapterEffects, EmbeddingEffect, LinearEffect } from "./effect.ts";
import type { LoraConfig } from "./loraConfig.ts";
import type { LinearModule } from "../onnx/layerHook.ts";
import type { MethodBase } from "./method.ts";
import type { TunerContext } from "./tuner/tuner.ts";

/** The one field that matters here; methods that build on LoRA have it too. */
export type TokenConfig = Pick<LoraConfig, "trainable_token_indices">;

/** What has one row a token: an embedding, or a head with its weight [vocabulary, hidden]. */
export type TableModule = Exclude<ModuleInfo, { kind: "norm" }>;

/** The tables that `trainable_token_indices` names, with their ids; a bare list means the first. */
export function tokenTargets(
  { trainable_token_indices: setting }: TokenConfig,
  { tree }: MethodBase,
): { module: TableModule | null; name: string; ids: readonly number[] }[] {
  if (setting === null) return [];
  const tables = tree.modules.filter((module) => module.kind !== "norm");
  const first = tables.find((module) => module.kind === "embedding");
  const wanted = Array.isArray(setting) ? { [first?.path ?? ""]: setting } : setting;
  return Object.entries(wanted).map(([name, ids]) => {
    const isNamed = ({ path }: ModuleInfo): boolean => path === name || path.endsWith(`.${name}`);
    return { module: tables.find(isNamed) ?? null, name, ids };
  });
}

/** Paths of modules that hold trained token rows; the head of a tied table may have them once more. */
export function tokenModules(config: TokenConfig, base: MethodBase): string[] {
  return tokenTargets(config, base).flatMap(({ module }) =>
    module ? [module.path, ...tiedHeads(module, base).map(({ path }) => path)] : [],
  );
}

/** The trained rows that `trainable_token_indices` adds to another method's adapter. */
export async function trainableTokens(
  context: TunerContext<TokenConfig>,
): Promise<Partial<AdapterEffects>> {
  const embeddings = new Map<string, EmbeddingEffect>();
  const linear = new Map<string, LinearEffect>();
  for (const { module, name, ids } of tokenTargets(context.config, context.base)) {
    if (!module) {
      throw misfit(
        t(
          '{0}: field "trainable_token_indices" names {1}, which this base does not embed.',
          context.file,
          name,
        ),
      );
    }
    const rows = context.adapterTensors(module.path).values("token_adapter.trainable_tokens_delta");
    const { embedding, head } = await tokenEffects(context, module, { ids, rows });
    if (module.kind === "linear") linear.set(module.path, head(module));
    else embeddings.set(module.path, embedding);
    for (const tied of tiedHeads(module, context.base)) linear.set(tied.path, head(tied));
  }
  return { embeddings, linear };
}

/** Heads that read an embedding's table the other way. */
export function tiedHeads(module: ModuleInfo, { tree }: MethodBase): LinearModule[] {
  return module.kind !== "embedding"
    ? []
    : tree.modules
        .filter((head) => head.kind === "linear")
        .filter((head) => head.weight === weightName(module));
}

/**
 * Trained rows [ids, hidden] of a table. They replace the base's rows although PEFT calls the tensor
 * `trainable_tokens_delta` (tuners/trainable_tokens).
 * @returns what they do to an embedding, and to a head that has the same weight
 * @throws misfit when an id lies beyond the table
 */
export async function tokenEffects(
  context: TunerContext<unknown>,
  module: TableModule,
  { ids, rows }: { ids: readonly number[]; rows: Float32Array },
): Promise<{ embedding: EmbeddingEffect; head: (module: LinearModule) => LinearEffect }> {
  const table = await context.weight(module);
  const width = module.kind === "linear" ? module.in : module.out;
  const vocabulary = table.length / width;
  const beyond = ids.find((id) => id < 0 || id >= vocabulary);
  if (beyond !== undefined || rows.length !== ids.length * width) {
    const problem =
      beyond === undefined
        ? t("{0} rows are stored for {1} tokens", rows.length / width, ids.length)
        : t(
            "token {0} is not among the {1} that this base has: its vocabulary was resized",
            beyond,
            vocabulary,
          );
    throw misfit(`${context.file}: ${module.path}: ${problem}.`);
  }
  const { embedding, delta } = replaceRows(ids, rows, { table, width });
  const head = (like: LinearModule): LinearEffect => {
    const own = placesOnBase(like, ids);
    if (own.length === ids.length) return tiedHead(ids, delta, like.out);
    // What the head has beyond the base's rows is fed whole.
    const newRows = table.slice(like.out * width);
    ids.forEach((id, i) => {
      if (id < like.out) return;
      newRows.set(rows.subarray(i * width, (i + 1) * width), (id - like.out) * width);
    });
    const kept = own.map((i) => ids[i] as number);
    const ownDelta = Float32Array.from(
      own.flatMap((i) => [...delta.subarray(i * width, (i + 1) * width)]),
    );
    return { ...(kept.length > 0 && tiedHead(kept, ownDelta, like.out)), newRows };
  };
  return { embedding, head };
}

/** Which of the ids a head of the base has a row for, by their places. */
function placesOnBase({ out }: LinearModule, ids: readonly number[]): number[] {
  return ids.flatMap((id, i) => (id < out ? [i] : []));
}

/** Rows given for some ids, as what they add to the table's own. */
function replaceRows(
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
  return { embedding: { rowDelta, tokens: ids }, delta };
}

/** The same rows in a head that reads the table the other way: rank = number of rows. */
function tiedHead(ids: readonly number[], delta: Float32Array, vocabulary: number): LinearEffect {
  const rank = ids.length;
  const b = new Float32Array(vocabulary * rank);
  // Of a token named twice the last row counts.
  new Map(ids.map((id, i) => [id, i])).forEach((i, id) => (b[id * rank + i] = 1));
  return { lowRank: { a: delta, b, rank } };
}
