import { t } from "@vscode/l10n";
import { misfit, unsupported } from "../../base/errors.ts";
import { isSameShape, type Shape } from "../../base/shape.ts";
import type { AdapterCheckpoint } from "../../checkpoint/adapterCheckpoint.ts";
import {
  isVocabulary,
  type ModuleInfo,
  type ModuleTree,
  storedShape,
  weightName,
} from "../../checkpoint/modules.ts";
import type { TensorEntry } from "../../safetensors/header.ts";
import type { AdapterEffects } from "../effect.ts";
import type { MethodBase } from "../method.ts";
import { namesSome } from "../names.ts";
import type { TunerConfig } from "./config.ts";
import { shapeMisfit } from "./shapeMisfit.ts";

/** A parameter of the base that the file replaces. */
export interface WholeParameter {
  readonly module: ModuleInfo;
  readonly parameter: "weight" | "bias";
  readonly entry: TensorEntry;
  /** False for a frozen base weight that PEFT saved beside the adapter. */
  readonly isTrained: boolean;
  /** True for one that neither the config nor a vocabulary explains: PEFT loads it in silence. */
  readonly isUndeclared: boolean;
}

/** What an adapter's wrappers make of the names of the base's own parameters. */
interface Wrapping {
  readonly config: Pick<TunerConfig, "modules_to_save" | "bias">;
  /** Modules that carry a layer of the method. */
  readonly targets: ReadonlySet<string>;
  /** Tables that carry trained rows. */
  readonly tokens: ReadonlySet<string>;
  readonly tree: ModuleTree;
}

/** A parameter's name, with what PEFT's wrappers put between the module and it. */
const wholeName =
  /^(.+?)(?:\.(base_layer|original_module|modules_to_save|token_adapter\.base_layer))?\.(weight|bias)$/;

/**
 * Parameters that are stored whole: modules_to_save, trained biases, saved embeddings, and whatever
 * else has a name that PEFT's model has too.
 * @throws misfit when a module of modules_to_save is not in the file, which PEFT refuses as well
 */
export function wholeParameters(
  config: Wrapping["config"],
  others: ReadonlyMap<string, TensorEntry>,
  at: {
    adapter: AdapterCheckpoint;
    base: MethodBase;
    targets?: ReadonlySet<string>;
    tokens?: ReadonlySet<string>;
  },
): { whole: WholeParameter[]; strangers: string[] } {
  const { adapter, base, targets = new Set(), tokens = new Set() } = at;
  const { tree } = base;
  const modules = new Map(tree.modules.map((module) => [module.path, module]));
  const wrapping = { config, targets, tokens, tree };
  const whole = new Map<string, WholeParameter>();
  const strangers: string[] = [];
  for (const [name, entry] of others) {
    const [, path = "", wrapper, parameter] = wholeName.exec(name) ?? [];
    const module = modules.get(path);
    const place = module && placeOf(module, { wrapper, parameter: parameter ?? "" }, wrapping);
    if (place === "copy") continue;
    if (!module || !place || !fits(adapter, { module, parameter: place, entry, tree })) {
      strangers.push(entry.name);
      continue;
    }
    const isBias = place === "bias" && config.bias !== "none";
    const isTrained = isSaved(module.path, config) || isBias;
    const isUndeclared = !isSaved(module.path, config) && !isVocabulary(module, tree) && !isBias;
    const own = { module, parameter: place, entry, isTrained, isUndeclared };
    const key = `${path}.${place}`;
    if (!whole.has(key) || wrapper === undefined) whole.set(key, own);
  }
  shareTables(whole, { config, tree });
  requireSaved(config, whole, { adapter, tree });
  return { whole: [...whole.values()], strangers };
}

/** What a tensor of this name is: the parameter itself, a copy that has no effect, or unknown. */
function placeOf(
  module: ModuleInfo,
  { wrapper, parameter }: { wrapper: string | undefined; parameter: string },
  { config, targets, tokens, tree }: Wrapping,
): WholeParameter["parameter"] | "copy" | null {
  const { path } = module;
  const own = parameter === "bias" ? "bias" : "weight";
  if (own === "bias" && !hasBias(module)) return null;
  // PEFT's copy is in the module's plain name; beside it the base's own and once more itself.
  if (isSaved(path, config)) return wrapper === undefined ? own : "copy";
  const isTokens = tokens.has(path);
  if (wrapper === undefined) {
    if (targets.has(path) || (isTokens && !isVocabulary(module, tree))) return null;
    return own;
  }
  if (wrapper === "base_layer") return targets.has(path) || isTokens ? own : null;
  const isAround = tokens.size > 0 && isVocabulary(module, tree);
  return isAround && wrapper !== "modules_to_save" ? own : null;
}

function hasBias(module: ModuleInfo): boolean {
  return module.kind !== "embedding" && module.hasBias === true;
}

/** PEFT: a module whose path ends so, or lies in a module whose path ends so. */
export function isSaved(path: string, config: Pick<TunerConfig, "modules_to_save">): boolean {
  const parts = path.split(".");
  return parts.some((_, i) => {
    const outer = parts.slice(0, i + 1).join(".");
    return config.modules_to_save.some((name) => outer.endsWith(name));
  });
}

/** One tensor that two modules share is replaced for both, unless one has a copy of its own. */
function shareTables(
  whole: Map<string, WholeParameter>,
  { config, tree }: { config: Wrapping["config"]; tree: ModuleTree },
): void {
  for (const own of [...whole.values()]) {
    const { module, parameter } = own;
    if (parameter !== "weight" || isSaved(module.path, config)) continue;
    for (const twin of tree.modules) {
      const key = `${twin.path}.weight`;
      if (weightName(twin) !== weightName(module) || whole.has(key)) continue;
      if (!isSaved(twin.path, config)) whole.set(key, { ...own, module: twin });
    }
  }
}

function requireSaved(
  config: Wrapping["config"],
  whole: ReadonlyMap<string, WholeParameter>,
  { adapter, tree }: { adapter: AdapterCheckpoint; tree: ModuleTree },
): void {
  const copied = tree.experts?.find(({ path }) => isSaved(path, config));
  if (copied) {
    throw unsupported(
      t(
        '{0}: field "modules_to_save" names {1}; Graft does not run whole copies of experts',
        adapter.config.file,
        copied.path,
      ),
      t("Train experts with target_parameters."),
    );
  }
  const wanted = tree.modules
    .filter(({ path }) => isSaved(path, config))
    .flatMap((module) => {
      const weight = `${module.path}.weight`;
      return hasBias(module) ? [weight, `${module.path}.bias`] : weight;
    });
  const missing = wanted.filter((name) => !whole.has(name));
  if (missing.length === 0 || adapter.ignoreMismatchedSizes) return;
  throw misfit(
    t(
      "{0}: modules_to_save names modules whose tensors are not in the file: {1}. PEFT does not load it either.",
      adapter.weights.file,
      namesSome(missing),
    ),
    { file: adapter.weights.file, unbound: missing },
  );
}

/** False when another size is to be left out. @throws misfit or unsupported when it is not */
function fits(
  adapter: AdapterCheckpoint,
  at: {
    module: ModuleInfo;
    parameter: WholeParameter["parameter"];
    entry: TensorEntry;
    tree: ModuleTree;
  },
): boolean {
  const { module, parameter, entry, tree } = at;
  const { shape } = entry;
  const wanted = wholeShape(module, parameter);
  if (isSameShape(shape, wanted)) return true;
  const isResized = isVocabulary(module, tree) && parameter === "weight" && shape[1] === wanted[1];
  if (isResized && (shape[0] ?? 0) > (wanted[0] ?? 0)) return true;
  if (adapter.ignoreMismatchedSizes) return false;
  if (isResized) {
    throw unsupported(
      t(
        '{0}: "{1}" has {2} rows, this base {3}: the vocabulary has shrunk. PEFT does not load it either, unless the base is cut to the same size before',
        adapter.weights.file,
        entry.name,
        String(shape[0]),
        String(wanted[0]),
      ),
      t("Cut the base to {0} tokens, save it, and load the adapter on that.", String(shape[0])),
    );
  }
  throw shapeMisfit(adapter, { name: module.path, entry, wanted, module });
}

/** The shape in which a parameter of the base is stored. */
export function wholeShape(module: ModuleInfo, parameter: WholeParameter["parameter"]): Shape {
  if (parameter === "bias" || module.kind === "norm") return [module.out];
  return module.kind === "embedding" ? [module.in, module.out] : storedShape(module);
}

/** Tables that PEFT keeps beside an adapter and that are not this base's: it loads them in silence. */
export function tableWarnings(
  whole: readonly WholeParameter[],
  { linear, embeddings }: Pick<AdapterEffects, "linear" | "embeddings">,
): string[] {
  const other = whole
    .filter(({ isTrained, isUndeclared }) => !isTrained && !isUndeclared)
    .filter(({ module, entry }) => entry.shape[0] === wholeShape(module, "weight")[0])
    .filter(({ module: { path } }) => linear.has(path) || (embeddings?.has(path) ?? false))
    .map(({ module }) => module.path);
  if (other.length === 0) return [];
  const names = namesSome(other);
  return [t("The file's own {0} differ from this base's and take their place.", names)];
}

/** A table or head with as many rows as the file has for it. */
export function withRows<M extends ModuleInfo>(module: M, whole: readonly WholeParameter[]): M {
  const own = whole.find((each) => each.module.path === module.path && each.parameter === "weight");
  const rows = own?.entry.shape[0] ?? 0;
  if (module.kind === "embedding" && rows > module.in) return { ...module, in: rows };
  return module.kind === "linear" && rows > module.out ? { ...module, out: rows } : module;
}

/** What PEFT does to the base's own parameters without a word. */
export function wholeWarnings(
  whole: readonly WholeParameter[],
  {
    config,
    targets,
    tree,
  }: { config: Wrapping["config"]; targets: readonly ModuleInfo[]; tree: ModuleTree },
): string[] {
  const warnings: string[] = [];
  const biased = config.bias === "all" ? tree.modules : config.bias === "lora_only" ? targets : [];
  const there = new Set(whole.map(({ module, parameter }) => `${module.path}.${parameter}`));
  const missing = biased
    .filter(hasBias)
    .map(({ path }) => `${path}.bias`)
    .filter((name) => !there.has(name));
  if (missing.length > 0) {
    warnings.push(
      t(
        'Field "bias" is {0}, but the file lacks {1}: they stay as in the base.',
        config.bias,
        namesSome(missing),
      ),
    );
  }
  const undeclared = whole.filter(({ isUndeclared }) => isUndeclared);
  if (undeclared.length > 0) {
    const names = undeclared.map(({ module, parameter }) => `${module.path}.${parameter}`);
    warnings.push(
      t(
        "The file replaces parameters of the base that its config does not name: {0}.",
        namesSome(names),
      ),
    );
  }
  const grown = new Map<string, string[]>();
  for (const { module, parameter, entry } of whole) {
    const [rows = 0] = entry.shape;
    const [own = 0] = wholeShape(module, parameter);
    if (parameter !== "weight" || rows <= own) continue;
    const sizes = t("{0} rows in the file, {1} in this base", rows, own);
    grown.set(sizes, [...(grown.get(sizes) ?? []), module.path]);
  }
  for (const [sizes, paths] of grown) {
    warnings.push(
      t(
        "The vocabulary was resized, as by resize_token_embeddings: {0} ({1}).",
        sizes,
        namesSome(paths),
      ),
    );
  }
  return warnings;
}
