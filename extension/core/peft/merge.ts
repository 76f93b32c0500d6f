import { t } from "@vscode/l10n";
import { type FloatDtype, isFloatDtype } from "../base/dtype.ts";
import { GraftError, unsupported } from "../base/errors.ts";
import { transposed } from "../base/matrix.ts";
import type { BaseCheckpoint } from "../checkpoint/baseCheckpoint.ts";
import { isTied, type ModuleInfo, normTensor, weightName } from "../checkpoint/modules.ts";
import { activeEffect, type ActiveEffects, activeRowDelta, replacedNorm } from "./activeEffects.ts";
import { type LinearEffect, mergedBias, mergedWeight } from "./effect.ts";
import { changedExperts } from "./experts/effect.ts";
import { refuseUnmergeable } from "./mergeable.ts";
import type { MethodBase } from "./method.ts";

/** A tensor of the base that merging changes or adds. */
export interface MergedTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: FloatDtype;
  /** Computes the merged values, accumulated in fp64, as fp32. */
  values(): Promise<Float32Array>;
}

export interface MergePlan {
  readonly tensors: readonly MergedTensor[];
  /** True when a head that was tied to the embeddings needs a tensor of its own. */
  readonly unties: boolean;
  /** Tokens of a vocabulary that has grown; null where it has not. */
  readonly vocabulary: number | null;
}

/**
 * Which tensors of a base change when active adapters are merged in, and how. W' and b' follow from
 * the normal form in effect.ts.
 * @throws unsupported when the base has no place for the change (a bias where there is none)
 */
export function planMerge(
  checkpoint: BaseCheckpoint,
  base: MethodBase,
  active: readonly ActiveEffects[],
): MergePlan {
  refuseUnmergeable(checkpoint, active);
  const { modules } = base.tree;
  const changes: Change[] = [
    ...modules.flatMap((module) => {
      switch (module.kind) {
        case "linear":
          return linearChanges({ checkpoint, base }, module, active);
        case "embedding":
          return embeddingChanges(base, module, active);
        case "norm":
          return normChanges(base, module, active);
        default:
          return module satisfies never;
      }
    }),
    ...changedExperts(base.tree, active).map(({ name, effect, size }) => ({
      name,
      like: name,
      values: async () => mergedWeight(await readBase(base, name), effect, size),
    })),
  ];
  const head = splitHead(base, changes);
  if (head) changes.push(head);
  const tied = modules.filter(isTied).map(({ path }) => `${path}.weight`);
  return {
    tensors: changes.map((change) => mergedTensor(checkpoint, change)),
    unties: changes.some(({ name }) => tied.includes(name)),
    vocabulary: changes.findLast((change) => grows(checkpoint, change))?.rows ?? null,
  };
}

/** A tensor that comes out of a merge. */
interface Change {
  readonly name: string;
  /** The base tensor whose shape and type it has; another than `name` for a head that was tied. */
  readonly like: string;
  /** Its rows, where they may be more. */
  readonly rows?: number;
  values(): Promise<Float32Array>;
}

type Module<K extends ModuleInfo["kind"]> = ModuleInfo & { kind: K };

function linearChanges(
  { checkpoint, base }: { checkpoint: BaseCheckpoint; base: MethodBase },
  module: Module<"linear">,
  active: readonly ActiveEffects[],
): Change[] {
  const effect = activeEffect(module, active);
  if (!effect) return [];
  const bias = biasChange({ checkpoint, base }, module, effect);
  return [
    ...(changesWeight(effect) ? [weightChange(base, module, effect)] : []),
    ...(bias ? [bias] : []),
  ];
}

function changesWeight(effect: LinearEffect): boolean {
  const { lowRank, delta, inputScale, outputScale, newRows } = effect;
  return [lowRank, delta, inputScale, outputScale, newRows].some((part) => part !== undefined);
}

function weightChange(base: MethodBase, module: Module<"linear">, effect: LinearEffect): Change {
  const name = `${module.path}.weight`;
  const like = weightName(module);
  const merged = async (): Promise<Float32Array> =>
    mergedWeight(await readBase(base, like), effect, module);
  if (module.isTransposed) {
    const values = async (): Promise<Float32Array> =>
      Float32Array.from(transposed(await merged(), module.out, module.in));
    return { name, like, values };
  }
  const rows = module.out + (effect.newRows?.length ?? 0) / module.in;
  return { name, like, rows, values: async () => withRows(await merged(), effect.newRows) };
}

function withRows(weight: Float32Array, rows: Float32Array | undefined): Float32Array {
  if (!rows) return weight;
  const out = new Float32Array(weight.length + rows.length);
  out.set(weight);
  out.set(rows, weight.length);
  return out;
}

function biasChange(
  { checkpoint, base }: { checkpoint: BaseCheckpoint; base: MethodBase },
  { path }: Module<"linear">,
  effect: LinearEffect,
): Change | null {
  const name = `${path}.bias`;
  const isMoved = effect.shift?.some((value) => value !== 0) ?? false;
  if (checkpoint.weights.has(name) || checkpoint.empty?.has(name)) {
    const values = async (): Promise<Float32Array> =>
      mergedBias(await readBase(base, name), effect);
    return isMoved || effect.outputScale ? { name, like: name, values } : null;
  }
  if (!isMoved) return null;
  throw unsupported(
    t("The adapter adds a bias to {0}, where this base has none: it cannot be merged", path),
    t("Use it unmerged."),
  );
}

function embeddingChanges(
  base: MethodBase,
  module: Module<"embedding">,
  active: readonly ActiveEffects[],
): Change[] {
  const changing = active.filter(
    ({ effects, weight }) => weight !== 0 && effects.embeddings?.has(module.path),
  );
  if (changing.length === 0) return [];
  const rows = Math.max(
    module.in,
    ...changing.map(({ effects }) => effects.embeddings?.get(module.path)?.rows ?? 0),
  );
  const name = `${module.path}.weight`;
  const values = async (): Promise<Float32Array> =>
    mergedTable(await readBase(base, name), { module, rows }, changing);
  return [{ name, like: name, rows, values }];
}

/** A table [rows, out] of which new rows begin as the first one. */
function mergedTable(
  own: Float32Array,
  { module, rows }: { module: Module<"embedding">; rows: number },
  active: readonly ActiveEffects[],
): Float32Array {
  const table = new Float32Array(rows * module.out);
  table.set(own);
  const origin = own.subarray(0, module.out);
  for (let id = module.in; id < rows; id++) table.set(origin, id * module.out);
  const sizes = { path: module.path, rows: module.in };
  for (let id = 0; id < rows; id++) {
    const start = id * module.out;
    activeRowDelta(sizes, id, { active })?.forEach((value, i) => {
      table[start + i] = (table[start + i] as number) + value;
    });
  }
  return table;
}

function normChanges(
  base: MethodBase,
  { path, hasBias = false }: Module<"norm">,
  active: readonly ActiveEffects[],
): Change[] {
  return [path, ...(hasBias ? [`${path}.bias`] : [])].flatMap((key) => {
    const replaced = replacedNorm(key, active);
    if (!replaced) return [];
    const name = normTensor(key);
    return [{ name, like: name, values: async () => replaced(await readBase(base, name)) }];
  });
}

/** An embedding that changes while its tied head does not would change the head with it: it gets the old table. */
function splitHead(base: MethodBase, changes: readonly Change[]): Change | null {
  const tied = base.tree.modules.find(isTied);
  if (!tied) return null;
  const table = weightName(tied);
  const name = `${tied.path}.weight`;
  const changed = new Set(changes.map((change) => change.name));
  if (!changed.has(table) || changed.has(name)) return null;
  return { name, like: table, values: () => readBase(base, table) };
}

function mergedTensor(
  { weights, dir, empty }: BaseCheckpoint,
  { name, like, rows, values }: Change,
): MergedTensor {
  const ref = weights.get(like);
  if (empty?.has(like)) {
    throw unsupported(
      t(
        '{0}: the adapter brings the head "{1}", which the files of this base have no place for',
        dir,
        like,
      ),
      t("Keep the adapter active; to merge it, save the base with that head first."),
    );
  }
  if (!ref || !isFloatDtype(ref.dtype)) {
    throw unsupported(
      t('{0}: tensor "{1}" cannot be merged into ({2})', dir, like, ref?.dtype ?? t("missing")),
    );
  }
  const [own = 0, ...rest] = ref.shape;
  return { name, shape: [rows ?? own, ...rest], dtype: ref.dtype, values };
}

function grows({ weights }: BaseCheckpoint, { like, rows = 0 }: Change): boolean {
  return rows > (weights.get(like)?.shape[0] ?? 0);
}

/** config.json of a base with a plan's merge in it. */
export function mergedConfig(
  { config }: Pick<BaseCheckpoint, "config">,
  { unties, vocabulary }: MergePlan,
): BaseCheckpoint["config"]["raw"] {
  return {
    ...config.raw,
    ...(unties && untied(config)),
    ...(vocabulary !== null && { vocab_size: vocabulary }),
  };
}

/**
 * What says that a head has a weight of its own now. T5 scales what its head reads unless
 * `tie_word_embeddings` is false, so that this is said apart (transformers T5Config).
 */
function untied({ modelType, raw }: BaseCheckpoint["config"]): BaseCheckpoint["config"]["raw"] {
  const tie = { tie_word_embeddings: false };
  if (modelType !== "t5") return tie;
  return {
    ...tie,
    scale_decoder_outputs: raw["scale_decoder_outputs"] ?? raw["tie_word_embeddings"] !== false,
  };
}

async function readBase(base: MethodBase, name: string): Promise<Float32Array> {
  const values = await base.readTensor(name);
  if (!values) throw new GraftError("internal", t('The base lost its tensor "{0}".', name));
  return values;
}
