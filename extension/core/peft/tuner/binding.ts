import { dtypeLabel } from "../../base/dtype.ts";
import { misfit, unsupported } from "../../base/errors.ts";
import { elementCount, isSameShape, type Shape, showShape } from "../../base/shape.ts";
import { type AdapterCheckpoint, plainTensorName } from "../../checkpoint/adapterCheckpoint.ts";
import type { ModuleInfo } from "../../checkpoint/modules.ts";
import { resolveTargets } from "../../checkpoint/targets.ts";
import type { TensorEntry } from "../../safetensors/header.ts";
import type { BindReport, MethodBase, ModuleSummary } from "../method.ts";
import { targetFields, type TunerConfig } from "./config.ts";
import type { Tuner } from "./tuner.ts";

/** The tensors of a file, sorted by what they belong to. */
interface Stored {
  /** By module path, then by suffix. */
  readonly modules: ReadonlyMap<string, ReadonlyMap<string, TensorEntry>>;
  readonly shared: ReadonlyMap<string, TensorEntry>;
  /** Whole parameters: plain name ("lm_head.weight") → entry. */
  readonly others: ReadonlyMap<string, TensorEntry>;
}

function sortTensors<C extends TunerConfig>(
  tuner: Tuner<C>,
  { weights }: AdapterCheckpoint,
): Stored {
  const modules = new Map<string, Map<string, TensorEntry>>();
  const shared = new Map<string, TensorEntry>();
  const others = new Map<string, TensorEntry>();
  for (const entry of weights.tensors) {
    if (tuner.ignored?.test(entry.name)) continue;
    const plain = plainTensorName(entry.name);
    const bare = plain.replace(/^base_model\./, "");
    const single =
      tuner.shared?.find((name) => name === bare) ??
      (tuner.sharedPattern?.test(bare) ? bare : undefined);
    const suffix =
      tuner.suffixes.find((each) => plain.endsWith(`.${each}`)) ??
      tuner.suffixPattern?.exec(plain)?.[0].slice(1);
    if (single !== undefined) {
      shared.set(single, entry);
    } else if (suffix === undefined) {
      others.set(plain, entry);
    } else {
      const path = plain.slice(0, -suffix.length - 1);
      const own = modules.get(path) ?? new Map<string, TensorEntry>();
      modules.set(path, own.set(suffix, entry));
    }
  }
  return { modules, shared, others };
}

/** One row per module that the file has tensors for. */
export function summarize<C extends TunerConfig>(
  tuner: Tuner<C>,
  config: C,
  adapter: AdapterCheckpoint,
): ModuleSummary[] {
  const { modules } = sortTensors(tuner, adapter);
  return [...modules].map(([path, tensors]) => {
    const entries = [...tensors.values()];
    const a = tensors.get("lora_A.weight");
    const b = tensors.get("lora_B.weight");
    const scale = tuner.scale?.(config, path, adapter.config.file);
    return {
      path,
      parameters: entries.reduce((sum, { shape }) => sum + elementCount(shape), 0),
      rank: scale?.rank ?? null,
      alpha: scale?.alpha ?? null,
      scaling: scale?.scaling ?? null,
      shape: a && b ? [a.shape[1] ?? 0, b.shape[0] ?? 0] : null,
      dtype: entries[0] ? dtypeLabel(entries[0].dtype) : "",
    };
  });
}

interface BoundModule {
  readonly module: ModuleInfo;
  readonly tensors: ReadonlyMap<string, TensorEntry>;
}

/** A parameter of the base that the file replaces. */
export interface WholeParameter {
  readonly module: ModuleInfo;
  readonly parameter: "weight" | "bias";
  readonly entry: TensorEntry;
  /** False for a frozen base weight that PEFT saved beside the adapter. */
  readonly isTrained: boolean;
}

/** What of a file belongs where on a base. */
export interface Binding {
  readonly report: BindReport;
  readonly targets: readonly ModuleInfo[];
  readonly modules: readonly BoundModule[];
  readonly whole: readonly WholeParameter[];
  readonly shared: ReadonlyMap<string, TensorEntry>;
  /** All tensors with a suffix of the method, by module path. */
  readonly stored: ReadonlyMap<string, ReadonlyMap<string, TensorEntry>>;
}

/** Finds a place for every tensor of an adapter; reads nothing but headers. */
export function bind<C extends TunerConfig>(
  tuner: Tuner<C>,
  config: C,
  { adapter, base }: { adapter: AdapterCheckpoint; base: MethodBase },
): Binding {
  const { file } = adapter.config;
  const targets = resolveTargets(base.tree, targetFields(tuner, config, { file, base }));
  const stored = sortTensors(tuner, adapter);
  const modules: BoundModule[] = [];
  const unbound: string[] = [];
  for (const module of targets) {
    if (!tuner.kinds.includes(module.kind)) {
      throw unsupported(
        `${file}: ${tuner.peftType} cannot change ${module.path}, which is of kind ${module.kind}`,
      );
    }
    const tensors = stored.modules.get(module.path) ?? new Map<string, TensorEntry>();
    const shapes = Object.entries(tuner.shapes(module, config, file));
    if (shapes.some(([suffix]) => !tensors.has(suffix))) {
      unbound.push(module.path);
      continue;
    }
    for (const [suffix, shape] of shapes) {
      checkShape(adapter, { module, entry: tensors.get(suffix) as TensorEntry, shape });
    }
    modules.push({ module, tensors });
  }
  const bound = new Set(modules.map(({ module }) => module.path));
  const { whole, strangers } = wholeParameters(config, stored.others, { adapter, base });
  const extra = new Set(tuner.extraModules?.(config, base));
  const unexpected = [...stored.modules]
    .filter(([path]) => !bound.has(path) && !extra.has(path))
    .flatMap(([, tensors]) => [...tensors.values()].map((entry) => entry.name));
  const claimed = [...targets.map((target) => target.path), ...stored.modules.keys()];
  const total = new Set(claimed.filter((path) => bound.has(path) || !extra.has(path))).size;
  const report = { total, bound: [...bound], unbound, unexpected: [...unexpected, ...strangers] };
  return { report, targets, modules, whole, shared: stored.shared, stored: stored.modules };
}

function checkShape(
  adapter: AdapterCheckpoint,
  { module, entry, shape }: { module: ModuleInfo; entry: TensorEntry; shape: Shape },
): void {
  // A size of -1 is one that only the method can judge.
  const wanted = shape.map((size, i) => (size === -1 ? (entry.shape[i] ?? -1) : size));
  if (isSameShape(entry.shape, wanted)) return;
  const trained = adapter.config.baseName
    ? ` The adapter was trained on ${adapter.config.baseName}.`
    : "";
  throw misfit(
    `${adapter.weights.file}: tensor "${entry.name}" is ${showShape(entry.shape)}, ` +
      `${module.path} of this base needs ${showShape(wanted)}.${trained}`,
    { file: adapter.weights.file, tensor: entry.name, module: module.path },
  );
}

/** Parameters that are stored whole: modules_to_save, trained biases, saved embeddings. */
export function wholeParameters(
  config: Pick<TunerConfig, "modules_to_save" | "bias">,
  others: ReadonlyMap<string, TensorEntry>,
  { adapter, base }: { adapter: AdapterCheckpoint; base: MethodBase },
): { whole: WholeParameter[]; strangers: string[] } {
  const modules = new Map(base.tree.modules.map((module) => [module.path, module]));
  // A plain suffix as in PEFT: "norm" also means post_attention_layernorm.
  const isSaved = (path: string): boolean =>
    config.modules_to_save.some((name) => path.endsWith(name));
  const whole: WholeParameter[] = [];
  const strangers: string[] = [];
  for (const [name, entry] of others) {
    const match = /^(.+?)(\.base_layer)?\.(weight|bias)$/.exec(name);
    const module = modules.get(match?.[1] ?? "");
    const parameter = match?.[3] as "weight" | "bias" | undefined;
    const isVocabulary = module?.kind === "embedding" || module?.path === base.tree.outputEmbedding;
    const isWanted =
      module !== undefined &&
      (isSaved(module.path) ||
        match?.[2] !== undefined ||
        isVocabulary ||
        (parameter === "bias" && config.bias !== "none"));
    if (!isWanted || parameter === undefined) {
      strangers.push(entry.name);
      continue;
    }
    checkWhole(adapter, { module, parameter, entry, isVocabulary });
    const isTrained = isSaved(module.path) || parameter === "bias";
    whole.push({ module, parameter, entry, isTrained });
  }
  return { whole, strangers };
}

function checkWhole(
  adapter: AdapterCheckpoint,
  at: { module: ModuleInfo; parameter: string; entry: TensorEntry; isVocabulary: boolean },
): void {
  const { module, parameter, entry, isVocabulary } = at;
  const { shape } = entry;
  const own =
    module.kind === "embedding"
      ? [module.in, module.out]
      : [module.out, module.kind === "norm" ? -1 : module.in];
  const wanted = parameter === "bias" || module.kind === "norm" ? [module.out] : own;
  if (isSameShape(shape, wanted)) return;
  const isResized = isVocabulary && parameter === "weight" && shape[1] === wanted[1];
  if (isResized && (shape[0] ?? 0) > (wanted[0] ?? 0)) return;
  if (isResized) {
    throw unsupported(
      `${adapter.weights.file}: "${entry.name}" has ${shape[0]} rows, this base ${wanted[0]}: ` +
        "Graft runs a vocabulary that has grown, not one that has shrunk",
    );
  }
  checkShape(adapter, { module, entry, shape: wanted });
}
