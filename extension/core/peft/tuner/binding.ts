import { t } from "@vscode/l10n";
import { dtypeLabel } from "../../base/dtype.ts";
import { GraftError, unsupported } from "../../base/errors.ts";
import { isSameShape, type Shape, totalElements } from "../../base/shape.ts";
import { type AdapterCheckpoint, plainTensorName } from "../../checkpoint/adapterCheckpoint.ts";
import type { ModuleInfo } from "../../checkpoint/modules.ts";
import type { ParameterTarget } from "../../checkpoint/parameters.ts";
import { resolveTargets } from "../../checkpoint/targets.ts";
import type { TensorEntry } from "../../safetensors/header.ts";
import type { BindReport, MethodBase, ModuleSummary } from "../method.ts";
import { targetFields, type TunerConfig } from "./config.ts";
import { shapeMisfit } from "./shapeMisfit.ts";
import type { Tuner } from "./tuner.ts";
import { type WholeParameter, wholeParameters, withRows } from "./wholeParameters.ts";

/** The tensors of a file, sorted by what they belong to. */
interface Stored {
  /** By module path, then by suffix. */
  readonly modules: ReadonlyMap<string, ReadonlyMap<string, TensorEntry>>;
  readonly shared: ReadonlyMap<string, TensorEntry>;
  /** Whole parameters: plain name ("lm_head.weight") → entry. */
  readonly others: ReadonlyMap<string, TensorEntry>;
  /** Names without PEFT's prefix: nothing in its model is called so. */
  readonly strangers: readonly string[];
}

function sortTensors<C extends TunerConfig>(
  tuner: Tuner<C>,
  tensors: readonly TensorEntry[],
): Stored {
  const modules = new Map<string, Map<string, TensorEntry>>();
  const shared = new Map<string, TensorEntry>();
  const others = new Map<string, TensorEntry>();
  const strangers: string[] = [];
  for (const entry of tensors) {
    if (tuner.ignored?.test(entry.name)) continue;
    if (!entry.name.startsWith("base_model.")) {
      strangers.push(entry.name);
      continue;
    }
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
  return { modules, shared, others, strangers };
}

/** One row per module that the file has tensors for. */
export function summarize<C extends TunerConfig>(
  tuner: Tuner<C>,
  config: C,
  adapter: AdapterCheckpoint,
): ModuleSummary[] {
  const { modules } = sortTensors(tuner, adapter.weights.tensors);
  return [...modules].map(([path, tensors]) => {
    const entries = [...tensors.values()];
    const a = tensors.get("lora_A.weight");
    const b = tensors.get("lora_B.weight");
    const scale = tuner.scale?.(config, path, adapter.config.file);
    return {
      path,
      parameters: totalElements(entries),
      rank: scale?.rank ?? null,
      alpha: scale?.alpha ?? null,
      scaling: scale?.scaling ?? null,
      shape: a && b ? [a.shape[1] ?? 0, b.shape[0] ?? 0] : null,
      dtype: entries[0] ? dtypeLabel(entries[0].dtype) : "",
    };
  });
}

interface BoundModule {
  /** With as many rows as the file gives it: a vocabulary may have grown. */
  readonly module: ModuleInfo;
  readonly tensors: ReadonlyMap<string, TensorEntry>;
}

interface BoundParameter {
  readonly target: ParameterTarget;
  readonly tensors: ReadonlyMap<string, TensorEntry>;
}

/** What of a file belongs where on a base. */
export interface Binding {
  readonly report: BindReport;
  readonly targets: readonly ModuleInfo[];
  readonly modules: readonly BoundModule[];
  readonly parameters: readonly BoundParameter[];
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
  const { targets, parameterTargets } = chooseTargets(tuner, config, { file, base });
  const { weights } = adapter;
  const arranged = tuner.arrange?.(weights.tensors, base, weights.file) ?? weights.tensors;
  const stored = sortTensors(tuner, arranged);
  const extra = new Set(tuner.extraModules?.(config, base));
  const { whole, strangers } = wholeParameters(config, stored.others, {
    adapter,
    base,
    targets: new Set([...targets, ...parameterTargets].map(({ path }) => path)),
    tokens: extra,
  });
  const modules: BoundModule[] = [];
  const parameters: BoundParameter[] = [];
  const unbound: string[] = [];
  for (const target of targets) {
    const module = withRows(target, whole);
    checkTarget(tuner, module, file);
    const place = { name: module.path, shapes: tuner.shapes(module, config, file), module };
    const tensors = take(adapter, stored.modules.get(module.path), place);
    if (tensors) modules.push({ module, tensors });
    else unbound.push(module.path);
  }
  for (const target of parameterTargets) {
    const shapes = tuner.parameters?.shapes(target, config, file) ?? {};
    const tensors = take(adapter, stored.modules.get(target.stored), { name: target.name, shapes });
    if (tensors) parameters.push({ target, tensors });
    else unbound.push(target.name);
  }
  const wanted = [
    ...targets.map(({ path }) => path),
    ...parameterTargets.map((each) => each.stored),
  ];
  const found = { modules, parameters, unbound, strangers: [...stored.strangers, ...strangers] };
  const report = reportOf(found, { stored: stored.modules, wanted, extra });
  const { shared } = stored;
  return { report, targets, modules, parameters, whole, shared, stored: stored.modules };
}

function chooseTargets<C extends TunerConfig>(
  tuner: Tuner<C>,
  config: C,
  { file, base }: { file: string; base: MethodBase },
): { targets: readonly ModuleInfo[]; parameterTargets: readonly ParameterTarget[] } {
  const targets = resolveTargets(base.tree, targetFields(tuner, config, { file, base }));
  const parameterTargets = tuner.parameters?.targets(config, base.tree, file) ?? [];
  checkOverlap(targets, parameterTargets, { config, file });
  return { targets, parameterTargets };
}

/** A targeted module and the shapes of its tensors, by what follows its path on disk. */
export interface PlannedModule {
  readonly module: ModuleInfo;
  readonly shapes: Readonly<Record<string, Shape>>;
}

export interface PlannedParameter {
  readonly target: ParameterTarget;
  readonly shapes: Readonly<Record<string, Shape>>;
}

/** What a new adapter has on a base; a file is not needed. */
export function planModules<C extends TunerConfig>(
  tuner: Tuner<C>,
  config: C,
  at: { file: string; base: MethodBase },
): { targets: readonly PlannedModule[]; parameters: readonly PlannedParameter[] } {
  const { targets, parameterTargets } = chooseTargets(tuner, config, at);
  return {
    targets: targets.map((module) => {
      checkTarget(tuner, module, at.file);
      return { module, shapes: tuner.shapes(module, config, at.file) };
    }),
    parameters: parameterTargets.map((target) => {
      return { target, shapes: tuner.parameters?.shapes(target, config, at.file) ?? {} };
    }),
  };
}

function checkTarget<C extends TunerConfig>(
  tuner: Tuner<C>,
  module: ModuleInfo,
  file: string,
): void {
  if (!tuner.kinds.includes(module.kind)) {
    throw unsupported(
      t(
        "{0}: {1} cannot change {2}, which is of kind {3}",
        file,
        tuner.peftType,
        module.path,
        module.kind,
      ),
    );
  }
  if (module.kind !== "linear" || !module.kernel || tuner.convolutions) return;
  throw unsupported(
    t("{0}: Graft does not run {1} on {2}, a convolution, yet", file, tuner.peftType, module.path),
  );
}

/** @param at `wanted`, `extra`: paths of targets, and of modules that are taken in another way */
function reportOf(
  found: {
    modules: readonly BoundModule[];
    parameters: readonly BoundParameter[];
    unbound: readonly string[];
    strangers: readonly string[];
  },
  at: { stored: Stored["modules"]; wanted: readonly string[]; extra: ReadonlySet<string> },
): BindReport {
  const { modules, parameters, unbound, strangers } = found;
  const paths = modules.map(({ module }) => module.path);
  const taken = new Set([...paths, ...parameters.map(({ target }) => target.stored)]);
  const isKnown = (path: string): boolean => taken.has(path) || !at.extra.has(path);
  const unexpected = [...at.stored]
    .filter(([path]) => !taken.has(path) && isKnown(path))
    .flatMap(([, tensors]) => [...tensors.values()].map((entry) => entry.name));
  return {
    total: new Set([...at.wanted, ...at.stored.keys()].filter(isKnown)).size,
    bound: [...paths, ...parameters.map(({ target }) => target.name)],
    unbound,
    unexpected: [...unexpected, ...strangers],
  };
}

/** PEFT wraps a module either whole or for one of its parameters. */
function checkOverlap(
  targets: readonly ModuleInfo[],
  parameters: readonly ParameterTarget[],
  { config, file }: { config: TunerConfig; file: string },
): void {
  const modules = new Set(targets.map(({ path }) => path));
  for (const { name, path } of parameters) {
    const isSaved = config.modules_to_save.some((each) => path.endsWith(each));
    const other = modules.has(path) ? "target_modules" : isSaved ? "modules_to_save" : null;
    if (other === null) continue;
    throw new GraftError(
      "bad-file",
      t(
        '{0}: field "target_parameters" chooses {1}, whose module {2} chooses too; as in PEFT, only one of them can.',
        file,
        name,
        other,
      ),
      { file, field: "target_parameters" },
    );
  }
}

/** The tensors of one place, when the file has all that it needs. */
function take(
  adapter: AdapterCheckpoint,
  tensors: ReadonlyMap<string, TensorEntry> = new Map(),
  at: { name: string; shapes: Readonly<Record<string, Shape>>; module?: ModuleInfo },
): ReadonlyMap<string, TensorEntry> | null {
  const { name, shapes, module } = at;
  const places = Object.entries(shapes);
  if (places.some(([suffix]) => !tensors.has(suffix))) return null;
  for (const [suffix, shape] of places) {
    const entry = tensors.get(suffix) as TensorEntry;
    // A size of -1 is one that only the method can judge.
    const wanted = shape.map((size, i) => (size === -1 ? (entry.shape[i] ?? -1) : size));
    if (isSameShape(entry.shape, wanted)) continue;
    if (adapter.ignoreMismatchedSizes) return null;
    throw shapeMisfit(adapter, { name, entry, wanted, module });
  }
  return tensors;
}
