import { t } from "@vscode/l10n";
import { type FloatDtype, isFloatDtype } from "../base/dtype.ts";
import { badRequest } from "../base/errors.ts";
import type { BaseCheckpoint, WeightRef } from "../checkpoint/baseCheckpoint.ts";
import { layerIndex, type ModuleTree, weightName } from "../checkpoint/modules.ts";
import { pythonRegex } from "../checkpoint/pythonRegex.ts";
import { type LinearGroup, linearGroup, type LinearModule } from "../onnx/layerHook.ts";
import type { BlockLayout } from "./nBits.ts";
import { quantizationConfig, type StoredWeights } from "./storedWeights.ts";
import {
  plainSource,
  type Quantization,
  roundedSource,
  type WeightSource,
} from "./weightSource.ts";

/** How a base's weights are kept; "auto" is as stored. */
export const precisions = ["auto", "fp32", "fp16", "bf16", "int8", "int4", "nf4", "fp4"] as const;

export type Precision = (typeof precisions)[number];

/** What was asked for, without defaults. */
export interface PrecisionRequest {
  readonly precision: Exclude<Precision, "nf4" | "fp4">;
  /** Round as bitsandbytes does before anything else. */
  readonly quantization: Quantization | null;
  /** Numbers with one scale in int8 and int4. */
  readonly blockSize: number;
  /** Patterns of module names that stay as stored, as `modules_to_not_convert` has them. */
  readonly skip: readonly string[];
  /** Paths of the linear layers that it is about; all when absent. */
  readonly only?: ReadonlySet<string>;
}

/** A layer that will run packed. */
export interface PackedItem {
  readonly path: string;
  readonly source: WeightSource;
  /** Blocks are taken over as they are. */
  readonly isLossless: boolean;
}

/** Layers on one input whose packed rows lie below one another. */
export interface PackedSection {
  readonly name: string;
  readonly layout: BlockLayout;
  readonly hasZeroPoints: boolean;
  readonly isSorted: boolean;
  readonly items: readonly PackedItem[];
}

/** A tensor that is written anew in a floating-point type. */
export interface PlainItem {
  /** Name of the parameter. */
  readonly name: string;
  readonly ref: WeightRef;
  readonly dtype: FloatDtype;
  /** Rows of a linear layer; null copies the tensor's own numbers. */
  readonly source: WeightSource | null;
  /** The layer's weight is stored [in, out]. */
  readonly isTransposed: boolean;
}

export interface WeightPlan {
  readonly packed: readonly PackedSection[];
  readonly plain: readonly PlainItem[];
  /** Linear layers that stay as they are although other weights change, and why. */
  readonly kept: readonly { readonly path: string; readonly reason: string }[];
}

/** What of a model decides how its weights are kept. */
export interface PlannedModel {
  readonly tree: ModuleTree;
  readonly groups: readonly LinearGroup[];
}

/**
 * Decides what is written for a precision, from headers alone. Layers that are not in `groups`
 * (experts, task heads that are no linear layers) stay as stored.
 */
export function planWeights(
  checkpoint: BaseCheckpoint,
  { tree, groups }: PlannedModel,
  at: { request: PrecisionRequest; stored: StoredWeights | null },
): WeightPlan {
  const { request, stored } = at;
  if (request.quantization && stored) {
    throw badRequest(
      t(
        "{0} is quantized already ({1}): it cannot be rounded again as bitsandbytes does.",
        checkpoint.dir,
        stored.kind,
      ),
    );
  }
  const kept: { path: string; reason: string }[] = [];
  const sections: PackedSection[] = [];
  const plain = new Map<string, PlainItem>();
  for (const { modules } of groups) {
    const packed: Packable[] = [];
    for (const module of modules) {
      if (request.only && !request.only.has(module.path)) continue;
      const fate = fateOf(checkpoint, module, { tree, request, stored });
      if (fate.kind === "packed") packed.push(fate);
      else if (fate.kind === "plain") plain.set(fate.item.name, fate.item);
      else if (fate.reason !== null) kept.push({ path: module.path, reason: fate.reason });
    }
    sections.push(...sectionsOf(packed));
  }
  if (request.precision === "fp16") castRest(checkpoint, "F16", plain);
  if (request.precision === "bf16") castRest(checkpoint, "BF16", plain);
  return { packed: sections, plain: [...plain.values()], kept };
}

interface Packable {
  readonly kind: "packed";
  readonly module: LinearModule;
  readonly layout: BlockLayout;
  readonly item: PackedItem;
}

type Fate =
  | Packable
  | { readonly kind: "plain"; readonly item: PlainItem }
  | { readonly kind: "kept"; readonly reason: string | null };

function fateOf(
  checkpoint: BaseCheckpoint,
  module: LinearModule,
  at: { tree: ModuleTree; request: PrecisionRequest; stored: StoredWeights | null },
): Fate {
  const { request, stored, tree } = at;
  const name = weightName(module);
  const ref = checkpoint.weights.get(name);
  if (!ref) return { kind: "kept", reason: null };
  const reason = reasonToKeep(checkpoint, module, at);
  const foreign = stored?.sources.get(name);
  const isTransposed = module.isTransposed === true;
  const own = foreign ?? plainSource(ref, isTransposed);
  // bitsandbytes leaves the head as it is.
  const quantization =
    reason === null && module.path !== tree.outputEmbedding ? request.quantization : null;
  const source = quantization ? roundedSource(own, quantization) : own;
  const packed = packedFate(module, source, { request, isKept: reason !== null });
  if (packed) return packed;
  const isChanged = foreign !== undefined || quantization !== null;
  const dtype = typeToWrite(request.precision, { source, isChanged });
  if (dtype === null || (!isChanged && dtype === ref.dtype)) return { kind: "kept", reason };
  const item = { name, ref, dtype, source: isChanged ? source : null, isTransposed };
  return { kind: "plain", item };
}

/** The layer in blocks of integers, where it is asked for or stored so. */
function packedFate(
  module: LinearModule,
  source: WeightSource,
  { request, isKept }: { request: PrecisionRequest; isKept: boolean },
): Packable | null {
  const { precision, blockSize } = request;
  const { lossless, in: columns } = source;
  const { path } = module;
  const bits = precision === "int8" ? 8 : precision === "int4" ? 4 : null;
  // What is stored in as few bits loses nothing when it is taken over.
  const isFine = precision === "auto" || (bits !== null && (lossless?.layout.bits ?? 8) <= bits);
  if (lossless && isFine) {
    const item = { path, source, isLossless: true };
    return { kind: "packed", module, layout: lossless.layout, item };
  }
  if (bits === null || isKept) return null;
  const layout = { bits, blockSize: blockSizeFor(columns, blockSize), columns } as const;
  return { kind: "packed", module, layout, item: { path, source, isLossless: false } };
}

/** The type in which a layer that is not packed is written; null when it stays where it is. */
function typeToWrite(
  precision: PrecisionRequest["precision"],
  { source, isChanged }: { source: WeightSource; isChanged: boolean },
): FloatDtype | null {
  switch (precision) {
    case "auto":
    case "int8":
    case "int4":
      return isChanged ? source.dtype : null;
    case "fp32":
      // Narrower types are widened without loss as they are run.
      return isChanged ? "F32" : null;
    case "fp16":
      return "F16";
    case "bf16":
      return "BF16";
    default:
      return precision satisfies never;
  }
}

/** Why a layer is not quantized; null when it is. */
function reasonToKeep(
  { config }: BaseCheckpoint,
  module: LinearModule,
  { tree, request }: { tree: ModuleTree; request: PrecisionRequest },
): string | null {
  if (request.precision !== "int8" && request.precision !== "int4" && !request.quantization)
    return null;
  const { path } = module;
  const isHead = path === tree.outputEmbedding;
  // Heads of classifiers and poolers stand outside of the layers; transformers leaves them, too.
  if (!isHead && layerIndex(path) === null) return t("it is no layer of the stack");
  if (module.isParameter) return t("it chooses experts, and is no linear layer in PyTorch");
  const patterns = [...request.skip, ...skippedModules(config.raw)];
  const pattern = patterns.find((each) => isMatch(path, each, config.file));
  return pattern === undefined ? null : t('"{0}" is not to be converted', pattern);
}

/** `modules_to_not_convert` of AWQ and others, `llm_int8_skip_modules` of bitsandbytes. */
function skippedModules(raw: BaseCheckpoint["config"]["raw"]): string[] {
  const own = quantizationConfig(raw) ?? {};
  return [own["modules_to_not_convert"], own["llm_int8_skip_modules"], own["ignored_layers"]]
    .flat()
    .filter((each) => typeof each === "string");
}

/** transformers' rule (quantizers_utils.py, should_convert_module): a path's end, or a regex at its start. */
function isMatch(path: string, pattern: string, file: string): boolean {
  const place = { field: "modules_to_not_convert", file };
  return (
    path.endsWith(pattern) ||
    pythonRegex(pattern, place, { wrap: (own) => `^(?:${own})` }).test(path)
  );
}

/** The largest block up to the wanted one that divides a row; where none does, rows are filled up. */
function blockSizeFor(columns: number, wanted: number): number {
  const sizes = [256, 128, 64, 32, 16].filter((size) => size <= wanted);
  return sizes.find((size) => columns % size === 0) ?? Math.min(wanted, 32);
}

/** Runs of layers that are packed alike; sorted columns are each layer's own. */
function sectionsOf(packed: readonly Packable[]): PackedSection[] {
  const runs: Packable[][] = [];
  for (const each of packed) {
    const run = runs.at(-1);
    const last = run?.at(-1);
    if (run && last && isAlike(last, each)) run.push(each);
    else runs.push([each]);
  }
  return runs.map((run) => {
    const { layout } = run[0] as Packable;
    return {
      name: linearGroup(run.map(({ module }) => module)).name,
      layout,
      ...traitsOf(run[0] as Packable),
      items: run.map(({ item }) => item),
    };
  });
}

function isAlike(a: Packable, b: Packable): boolean {
  const [own, other] = [traitsOf(a), traitsOf(b)];
  return (
    a.layout.bits === b.layout.bits &&
    a.layout.blockSize === b.layout.blockSize &&
    a.layout.columns === b.layout.columns &&
    own.hasZeroPoints === other.hasZeroPoints &&
    !own.isSorted &&
    !other.isSorted
  );
}

function traitsOf({ item }: Packable): { hasZeroPoints: boolean; isSorted: boolean } {
  const { lossless } = item.source;
  if (!item.isLossless || !lossless) return { hasZeroPoints: false, isSorted: false };
  return { hasZeroPoints: lossless.hasZeroPoints, isSorted: lossless.isSorted };
}

/** All other numbers of a model in the type, as `from_pretrained(dtype=…)` makes them. */
function castRest(
  { weights, packed }: BaseCheckpoint,
  dtype: FloatDtype,
  plain: Map<string, PlainItem>,
): void {
  for (const [name, ref] of weights) {
    const isOther = isFloatDtype(ref.dtype) && ref.dtype !== dtype && !packed?.has(name);
    if (!isOther || plain.has(name)) continue;
    plain.set(name, { name, ref, dtype, source: null, isTransposed: false });
  }
}
