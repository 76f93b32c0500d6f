/** An adapter module by module, so that memory stays that of one module: for whoever only looks at it. */
import { totalElements } from "../../base/shape.ts";
import { plainTensorName } from "../../checkpoint/adapterCheckpoint.ts";
import type { ModuleInfo } from "../../checkpoint/modules.ts";
import type { TensorEntry } from "../../safetensors/header.ts";
import type { AdapterEffects } from "../effect.ts";
import type { OpenedModule, OpenedModules } from "../method.ts";
import { bind, type Binding } from "./binding.ts";
import type { TunerConfig } from "./config.ts";
import { addEffect, contextOf, type LoadAt, replacedBy } from "./context.ts";
import { type GrowingEffects, mergeEffects, wholeEffects } from "./growingEffects.ts";
import { readEntries, tensorsOf, type Values } from "./tensors.ts";
import type { Tuner, TunerContext } from "./tuner.ts";

/** What of a file is one module's. */
interface Place {
  readonly path: string;
  readonly whole: Binding["whole"];
  readonly module: Binding["modules"][number] | undefined;
  readonly parameter: Binding["parameters"][number] | undefined;
}

/** Finds the modules; each is read when its effects are asked for. */
export async function openModules<C extends TunerConfig>(
  tuner: Tuner<C>,
  config: C,
  at: LoadAt,
): Promise<OpenedModules> {
  const { adapter, base, signal } = at;
  const { file } = adapter.weights;
  const bound = bind(tuner, config, at);
  const extraPaths = tuner.extraModules?.(config, base) ?? [];
  const extraEntries = extraPaths.flatMap((path) => [...(bound.stored.get(path)?.values() ?? [])]);
  const common = await readEntries([...bound.shared.values(), ...extraEntries], file, signal);
  const whole = wholeOf(bound, new Set(extraPaths));
  const replaced = replacedBy(whole, await readEntries(entriesOf(whole), file, signal), file);
  const context = contextOf(config, bound, { ...at, values: common, replaced });
  const extra = (await tuner.extra?.(context)) ?? {};
  const places = placesOf(bound, extra);
  const effects = (place: Place): Promise<AdapterEffects> =>
    effectsOf(tuner, place, { ...at, config, bound, common, extra, context });
  return {
    report: bound.report,
    base,
    ...(extra.activation && { activation: extra.activation }),
    modules: places.map((place): OpenedModule => {
      const tensors = tensorsIn(place, bound);
      return {
        path: place.path,
        parameters: totalElements(tensors),
        effects: () => effects(place),
      };
    }),
  };
}

/** Every path that something is done to, in the model's order as far as it says one. */
function placesOf(bound: Binding, extra: Partial<AdapterEffects>): Place[] {
  const modules = new Map(bound.modules.map((each) => [each.module.path, each]));
  const parameters = new Map(bound.parameters.map((each) => [each.target.name, each]));
  const paths = new Set([
    ...modules.keys(),
    ...parameters.keys(),
    ...(extra.linear?.keys() ?? []),
    ...(extra.embeddings?.keys() ?? []),
    ...bound.whole.map(({ module }) => module.path),
  ]);
  return [...paths].map((path) => ({
    path,
    whole: wholeOf(bound, new Set([path])),
    module: modules.get(path),
    parameter: parameters.get(path),
  }));
}

function wholeOf(bound: Binding, paths: ReadonlySet<string>): Binding["whole"] {
  return bound.whole.filter(({ module }) => paths.has(module.path));
}

function entriesOf(whole: Binding["whole"]): TensorEntry[] {
  return whole.map(({ entry }) => entry);
}

function tensorsIn({ path, whole, module, parameter }: Place, bound: Binding): TensorEntry[] {
  const own = module?.tensors ?? parameter?.tensors ?? bound.stored.get(path);
  return [...(own?.values() ?? []), ...entriesOf(whole)];
}

async function effectsOf<C extends TunerConfig>(
  tuner: Tuner<C>,
  place: Place,
  at: LoadAt & {
    config: C;
    bound: Binding;
    common: Values;
    extra: Partial<AdapterEffects>;
    /** Whose shared tensors methods know again by their identity. */
    context: TunerContext<C>;
  },
): Promise<AdapterEffects> {
  const { adapter, base, bound, extra, signal } = at;
  const { file } = adapter.weights;
  const values = await readEntries(tensorsIn(place, bound), file, signal);
  const replaced = replacedBy(place.whole, values, file);
  const effects = await wholeEffects(place.whole, replaced, base);
  keepOnly(effects, place.path);
  const own = contextOf(at.config, bound, { ...at, values, replaced });
  const context = { ...own, shared: at.context.shared };
  if (place.module) {
    const { module, tensors } = place.module;
    await addEffect(tuner, effects, { module, own: tensorsOf(tensors, values, file), context });
  }
  if (place.parameter) {
    const { target, tensors } = place.parameter;
    const added = await tuner.parameters?.effects(
      target,
      tensorsOf(tensors, values, file),
      context,
    );
    if (added) mergeEffects(effects, added, base);
  }
  mergeEffects(effects, effectsOn(place.path, extra), base);
  return effects;
}

/** A table that grew takes a tied head with it, which is a module of its own. */
function keepOnly({ linear, embeddings, norms }: GrowingEffects, path: string): void {
  for (const map of [linear, embeddings, norms]) {
    for (const other of map.keys()) {
      if (other !== path && other !== `${path}.bias`) map.delete(other);
    }
  }
}

function effectsOn(path: string, all: Partial<AdapterEffects>): Partial<AdapterEffects> {
  const pick = <T>(map: ReadonlyMap<string, T> | undefined): ReadonlyMap<string, T> =>
    new Map([...(map ?? [])].filter(([own]) => own === path));
  return { linear: pick(all.linear), embeddings: pick(all.embeddings) };
}

/** A module as its stored tensors tell it, without a base. */
export interface StoredModule {
  readonly path: string;
  readonly kind: "linear" | "embedding";
  readonly in: number;
  readonly out: number;
}

/**
 * Sizes of modules that follow from the stored tensors alone: the one pair of sizes for which the
 * method expects tensors of just these shapes. Modules for which there are several, or none, are left out.
 */
export function moduleSizes<C extends TunerConfig>(
  tuner: Tuner<C>,
  config: C,
  { weights, config: { file } }: LoadAt["adapter"],
): StoredModule[] {
  const stored = new Map<string, Map<string, TensorEntry>>();
  for (const entry of weights.tensors) {
    const plain = plainTensorName(entry.name);
    const suffix = tuner.suffixes.find((each) => plain.endsWith(`.${each}`));
    if (suffix === undefined) continue;
    const path = plain.slice(0, -suffix.length - 1);
    stored.set(path, (stored.get(path) ?? new Map<string, TensorEntry>()).set(suffix, entry));
  }
  return [...stored].flatMap(([path, tensors]) => {
    const found = fitting(path, tensors, (module) => tuner.shapes(module, config, file));
    // Where tensors are shaped alike for both, a layer is what most have.
    const layers = found.filter(({ kind }) => kind === "linear");
    const [only, ...others] = layers.length > 0 ? layers : found;
    return only && others.length === 0 ? [only] : [];
  });
}

function asModule({ kind, ...sizes }: StoredModule): Exclude<ModuleInfo, { kind: "norm" }> {
  return kind === "linear" ? { kind, ...sizes, hasBias: false } : { kind, ...sizes };
}

function fitting(
  path: string,
  tensors: ReadonlyMap<string, TensorEntry>,
  shapesOf: (
    module: Exclude<ModuleInfo, { kind: "norm" }>,
  ) => Readonly<Record<string, readonly number[]>>,
): StoredModule[] {
  const sizes = [...new Set([...tensors.values()].flatMap(({ shape }) => [...shape]))];
  const products = sizes.flatMap((a) => sizes.map((b) => a * b));
  const candidates = [...new Set([...sizes, ...products])];
  const isExpected = (module: StoredModule): boolean => {
    try {
      const expected = Object.entries(shapesOf(asModule(module)));
      return expected.every(
        ([suffix, shape]) => tensors.get(suffix)?.shape.join() === shape.join(),
      );
    } catch {
      // What a method refuses to be shaped like is no candidate.
      return false;
    }
  };
  return (["linear", "embedding"] as const).flatMap((kind) =>
    candidates.flatMap((inputs) =>
      candidates
        .map((out): StoredModule => ({ path, kind, in: inputs, out }))
        .filter((module) => isExpected(module)),
    ),
  );
}
