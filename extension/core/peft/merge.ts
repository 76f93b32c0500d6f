import { t } from "@vscode/l10n";
import { type FloatDtype, isFloatDtype, toFloat32 } from "../base/dtype.ts";
import { GraftError, unsupported } from "../base/errors.ts";
import { fromFloat32 } from "../base/halfFloat.ts";
import { transposed } from "../base/matrix.ts";
import type { BaseCheckpoint, WeightRef } from "../checkpoint/baseCheckpoint.ts";
import { isTied, type ModuleInfo, normTensor, weightName } from "../checkpoint/modules.ts";
import { readTensors } from "../safetensors/read.ts";
import { activeEffect, activeRowDelta } from "./activeEffect.ts";
import { type LinearEffect, mergedBias, mergedWeight } from "./effect.ts";
import { changedExperts } from "./experts/effect.ts";
import type { MethodBase } from "./method.ts";
import type { ActiveEffects } from "./slots.ts";

/** A tensor of the base that merging changes or adds. */
export interface MergedTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: FloatDtype;
  /** Computes the merged values, accumulated in fp64, as fp32. */
  values(): Promise<Float32Array>;
}

/** What rounding to the base's type did to one merged tensor. */
export interface MergeDrift {
  readonly name: string;
  /** Largest absolute difference between the merged values and what the type can hold. */
  readonly largest: number;
  /** Share of the change that rounding swallowed: ‖rounded − exact‖ / ‖exact − base‖. */
  readonly swallowed: number;
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
  { weights, dir, onnx, empty }: BaseCheckpoint,
  base: MethodBase,
  active: readonly ActiveEffects[],
): MergePlan {
  if (onnx !== undefined) {
    throw unsupported(
      t("{0} is an ONNX export, into whose weights Graft does not merge", onnx),
      t("Merge into the model's Hugging Face checkpoint, or keep the adapter active."),
    );
  }
  for (const { effects } of active) {
    if (effects.virtualTokens || effects.cachePrefix || effects.attention) {
      throw unsupported(
        t("Prompt methods put tokens before the prompt and cannot be merged into weights"),
      );
    }
    if (effects.router) {
      throw unsupported(
        t("X-LoRA weighs its experts anew for every token and cannot be merged into weights"),
      );
    }
    if (effects.companion) {
      throw unsupported(
        t(
          "A Shadow adapter runs a decoder of its own beside the base and cannot be merged into weights",
        ),
      );
    }
    if (effects.activation) {
      throw unsupported(
        t("An adapter that changes only some tokens cannot be merged into weights"),
      );
    }
    if (effects.layers) {
      throw unsupported(
        t(
          "An adapter that repeats layers cannot be merged: each copy has an update of its own, the weights are one",
        ),
      );
    }
    if ([...effects.linear.values()].some(({ routed }) => routed !== undefined)) {
      throw unsupported(
        t("An adapter that routes tokens cannot be merged: no one weight is its own"),
      );
    }
  }
  const tensors: MergedTensor[] = [];
  let unties = false;
  let vocabulary: number | null = null;
  const change = (name: string, { like, values, rows }: Pending): void => {
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
    if (rows !== undefined && rows > own) vocabulary = rows;
    tensors.push({ name, shape: [rows ?? own, ...rest], dtype: ref.dtype, values });
  };
  for (const module of base.tree.modules) {
    if (module.kind === "linear") {
      const effect = activeEffect(module, active);
      if (!effect) continue;
      const like = weightName(module);
      if (changesWeight(effect)) {
        unties ||= isTied(module);
        change(`${module.path}.weight`, {
          like,
          ...(!module.isTransposed && {
            rows: module.out + (effect.newRows?.length ?? 0) / module.in,
          }),
          values: async () => {
            const merged = mergedWeight(await readBase(base, like), effect, module);
            return module.isTransposed
              ? Float32Array.from(transposed(merged, module.out, module.in))
              : withRows(merged, effect.newRows);
          },
        });
      }
      addBias(base, { module, effect, weights, change });
    } else if (module.kind === "embedding") {
      const rows = active.filter(
        ({ effects, weight }) => weight !== 0 && effects.embeddings?.has(module.path),
      );
      const like = `${module.path}.weight`;
      const grown = Math.max(
        module.in,
        ...rows.map(({ effects }) => effects.embeddings?.get(module.path)?.rows ?? 0),
      );
      if (rows.length > 0) {
        const values = (): Promise<Float32Array> => mergedTable(base, { module, grown }, rows);
        change(like, { like, rows: grown, values });
      }
    } else {
      for (const key of [module.path, ...(module.hasBias ? [`${module.path}.bias`] : [])]) {
        const last = active.findLast(
          ({ effects, weight }) => weight !== 0 && effects.norms?.has(key),
        );
        const own = last?.effects.norms?.get(key);
        const like = normTensor(key);
        if (last && own) {
          change(like, {
            like,
            values: async () => blend(await readBase(base, like), own, last.weight),
          });
        }
      }
    }
  }
  for (const { name, effect, size } of changedExperts(base.tree, active)) {
    change(name, {
      like: name,
      values: async () => mergedWeight(await readBase(base, name), effect, size),
    });
  }
  const tied = base.tree.modules.find(isTied);
  // An embedding that changes while its tied head does not would change the head with it.
  const table = tied && weightName(tied);
  const isSplit = table !== undefined && tensors.some(({ name }) => name === table) !== unties;
  if (isSplit && !unties && tied) {
    unties = true;
    change(`${tied.path}.weight`, { like: table, values: () => readBase(base, table) });
  }
  return { tensors, unties, vocabulary };
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

interface Pending {
  /** The base tensor whose shape and type the merged one has. */
  readonly like: string;
  /** Its rows, where it has more. */
  readonly rows?: number;
  values(): Promise<Float32Array>;
}

function changesWeight(effect: LinearEffect): boolean {
  const { lowRank, delta, inputScale, outputScale, newRows } = effect;
  return [lowRank, delta, inputScale, outputScale, newRows].some((part) => part !== undefined);
}

function addBias(
  base: MethodBase,
  at: {
    module: ModuleInfo & { kind: "linear" };
    effect: LinearEffect;
    weights: ReadonlyMap<string, WeightRef>;
    change: (name: string, pending: Pending) => void;
  },
): void {
  const { module, effect, weights, change } = at;
  const name = `${module.path}.bias`;
  const isMoved = effect.shift?.some((value) => value !== 0) ?? false;
  if (weights.has(name)) {
    if (isMoved || effect.outputScale) {
      change(name, {
        like: name,
        values: async () => mergedBias(await readBase(base, name), effect),
      });
    }
    return;
  }
  if (isMoved) {
    throw unsupported(
      t(
        "The adapter adds a bias to {0}, where this base has none: it cannot be merged",
        module.path,
      ),
      t("Use it unmerged."),
    );
  }
}

function withRows(weight: Float32Array, rows: Float32Array | undefined): Float32Array {
  if (!rows) return weight;
  const out = new Float32Array(weight.length + rows.length);
  out.set(weight);
  out.set(rows, weight.length);
  return out;
}

async function mergedTable(
  base: MethodBase,
  { module, grown }: { module: ModuleInfo & { kind: "embedding" }; grown: number },
  active: readonly ActiveEffects[],
): Promise<Float32Array> {
  const own = await readBase(base, `${module.path}.weight`);
  const table = new Float32Array(grown * module.out);
  table.set(own);
  const origin = own.subarray(0, module.out);
  for (let id = module.in; id < grown; id++) table.set(origin, id * module.out);
  const sizes = { path: module.path, rows: module.in };
  for (let id = 0; id < grown; id++) {
    const start = id * module.out;
    activeRowDelta(sizes, id, { active })?.forEach((value, i) => {
      table[start + i] = (table[start + i] as number) + value;
    });
  }
  return table;
}

function blend(base: Float32Array, own: Float32Array, weight: number): Float32Array {
  return own.map((value, i) => (base[i] as number) + weight * (value - (base[i] as number)));
}

async function readBase(base: MethodBase, name: string): Promise<Float32Array> {
  const values = await base.readTensor(name);
  if (!values) throw new GraftError("internal", t('The base lost its tensor "{0}".', name));
  return values;
}

/**
 * Rounds merged values to the base's type and measures what that did.
 * @throws bad-file when a value is or becomes NaN or infinite, naming the module, unless `safe` is false
 */
export async function roundMerged(
  tensor: MergedTensor,
  before: WeightRef | undefined,
  { safe = true }: { safe?: boolean } = {},
): Promise<{ bytes: Uint8Array; drift: MergeDrift }> {
  const exact = await tensor.values();
  const bytes = fromFloat32(exact, tensor.dtype);
  const rounded = toFloat32(bytes, tensor.dtype);
  if (safe && !rounded.every(Number.isFinite)) throw notFinite(tensor, exact);
  const base = before ? await readOne(before) : null;
  let [error, change, largest] = [0, 0, 0];
  exact.forEach((value, i) => {
    const lost = Math.abs((rounded[i] as number) - value);
    largest = Math.max(largest, lost);
    error += lost ** 2;
    change += (value - (base?.[i] ?? 0)) ** 2;
  });
  const swallowed = change === 0 ? 0 : Math.sqrt(error / change);
  return { bytes, drift: { name: tensor.name, largest, swallowed } };
}

/** PEFT's safe_merge says so too, but is off by default and does not see what rounding makes infinite. */
function notFinite({ name, dtype }: MergedTensor, exact: Float32Array): GraftError {
  const module = name.replace(/\.(?:weight|bias)$/, "");
  const reason = exact.every(Number.isFinite)
    ? t("Its values are too large for the base's type {0}.", dtype)
    : t("An adapter is broken or was trained on another base.");
  return new GraftError(
    "bad-file",
    t('Merging makes "{0}" hold NaN or infinite values. {1}', name, reason),
    { module, tensor: name },
  );
}

/** What rounding did to several tensors: root mean square of the shares, largest difference. */
export function summarizeDrift(drift: readonly MergeDrift[]): {
  swallowed: number;
  largest: number;
} {
  const squares = drift.reduce((sum, { swallowed }) => sum + swallowed ** 2, 0);
  return {
    swallowed: Math.sqrt(squares / Math.max(1, drift.length)),
    largest: drift.reduce((most, { largest }) => Math.max(most, largest), 0),
  };
}

async function readOne(ref: WeightRef): Promise<Float32Array> {
  const [bytes] = await readTensors(ref.file, [ref]);
  return toFloat32(bytes as Uint8Array, ref.dtype as FloatDtype);
}
