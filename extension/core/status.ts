/**
 * What PEFT's `get_layer_status` and `get_model_status` say of a model (peft_model.py), of the same
 * fields. Layers are named by their Hugging Face path, which PEFT writes with one more "model." in
 * front. A model of prompts alone, which PEFT refuses to describe, has no layers.
 */
import { elementCount } from "./base/shape.ts";
import type { BaseModel } from "./baseModel.ts";
import type { BaseCheckpoint } from "./checkpoint/baseCheckpoint.ts";
import { type ModuleTree, weightName } from "./checkpoint/modules.ts";
import { layerType, pythonNames } from "./peft/adapterLayers.ts";
import type { ParameterCounts } from "./peft/method.ts";
import type { LoadedAdapter } from "./loadAdapter.ts";

/** Where parts of a model disagree, PEFT says so in place of a value. */
export type Irregular = "irregular";

export interface LayerStatus {
  readonly name: string;
  /** PEFT's class: "lora.Linear", "ModulesToSaveWrapper". */
  readonly moduleType: string;
  readonly enabled: boolean;
  readonly activeAdapters: readonly string[];
  readonly mergedAdapters: readonly string[];
  readonly requiresGrad: Readonly<Record<string, boolean | Irregular>>;
  readonly availableAdapters: readonly string[];
  readonly devices: Readonly<Record<string, readonly string[]>>;
  readonly quantizationBackend: string | null;
}

export interface ModelStatus {
  readonly baseModelType: string;
  /** PEFT's class of the method; "MixedModel" for several methods, "None" without adapter layers. */
  readonly adapterModelType: string;
  /** `peft_type` by adapter. */
  readonly peftTypes: Readonly<Record<string, string>>;
  readonly trainableParams: number;
  readonly totalParams: number;
  readonly numAdapterLayers: number;
  readonly enabled: boolean | Irregular;
  readonly activeAdapters: readonly string[] | Irregular;
  readonly mergedAdapters: readonly string[] | Irregular;
  readonly requiresGrad: Readonly<Record<string, boolean | Irregular>>;
  readonly availableAdapters: readonly string[];
  readonly devices: Readonly<Record<string, readonly string[]>>;
  readonly quantizationBackend: string | null;
}

/** What the status of a model is read off. */
export interface ModelState {
  readonly base: BaseModel;
  readonly adapters: readonly LoadedAdapter[];
  /** Names in the order in which they are active; none is the bare base. */
  readonly active: readonly string[];
  /** Names of the adapters that are merged into the base in memory. */
  readonly merged: readonly string[];
  /** Names of the adapters that are to be trained on. */
  readonly trainable: ReadonlySet<string>;
}

/** Trainable and all parameters, as PEFT's `get_nb_trainable_parameters`. */
export function countModel(state: ModelState): { trainable: number; total: number } {
  const { base, adapters, active } = state;
  const sum = (of: (counts: ParameterCounts, name: string) => number): number =>
    adapters.reduce((total, { name, weights }) => total + of(weights.counts, name), 0);
  return {
    trainable: sum((counts, name) => {
      if (state.trainable.has(name)) return counts.trainable;
      return active.includes(name) ? counts.alwaysTrainable : 0;
    }),
    total: baseParameters(base.checkpoint, base.adaptable.tree) + sum((counts) => counts.added),
  };
}

/** Tensors of old checkpoints that PyTorch holds as buffers. */
const buffers = /(^|\.)(rotary_emb\.inv_freq|attn\.(masked_)?bias|attention\.(masked_)?bias)$/;

/** A base's own parameters as PEFT counts them; a table that is tied to a head counts once. */
export function baseParameters(
  checkpoint: Pick<BaseCheckpoint, "weights" | "parameters">,
  tree: ModuleTree,
): number {
  const twins = tree.modules
    .filter((module) => weightName(module) !== `${module.path}.weight`)
    .map(({ path }) => `${path}.weight`);
  const others = [...checkpoint.weights].filter(
    ([name, { shape }]) =>
      twins.includes(name) ||
      (buffers.test(name) && (shape.length !== 1 || name.endsWith("inv_freq"))),
  );
  return (
    checkpoint.parameters - others.reduce((sum, [, { shape }]) => sum + elementCount(shape), 0)
  );
}

/** Every layer that an adapter has put into the model, in the model's order. */
export function layerStatus(state: ModelState): LayerStatus[] {
  const { modules, experts = [] } = state.base.adaptable.tree;
  const places = new Map([
    ...modules.map(({ path }, i) => [path, i] as const),
    ...experts.map(({ path, place }) => [path, place - 0.5] as const),
  ]);
  const layers = new Map<string, { name: string; type: string; isTuner: boolean; of: string[] }>();
  for (const { name: adapter, weights, checkpoint } of state.adapters) {
    for (const layer of weights.layers) {
      const type = layerType(layer, checkpoint.config.peftType);
      const key = `${layer.path} ${type}`;
      const known = layers.get(key);
      if (known) known.of.push(adapter);
      else
        layers.set(key, { name: layer.path, type, isTuner: layer.kind === "tuner", of: [adapter] });
    }
  }
  // Layers of a model with more layers than the base come last.
  const place = (name: string): number =>
    places.get(name.replace(/(\.token_adapter|(\.base_layer)+)$/, "")) ?? places.size;
  return [...layers.values()]
    .sort((a, b) => place(a.name) - place(b.name))
    .map((layer) => describe(layer, state));
}

function describe(
  { name, type, isTuner, of }: { name: string; type: string; isTuner: boolean; of: string[] },
  { active, merged, trainable, base }: ModelState,
): LayerStatus {
  return {
    name,
    moduleType: type,
    enabled: active.length > 0,
    // PEFT's tuner layers name every active adapter, copies only those that they have.
    activeAdapters: isTuner ? active : active.filter((each) => of.includes(each)),
    mergedAdapters: merged.filter((each) => of.includes(each)),
    requiresGrad: Object.fromEntries(of.map((each) => [each, trainable.has(each)])),
    availableAdapters: [...of].sort(),
    devices: Object.fromEntries(of.map((each) => [each, ["cpu"]])),
    quantizationBackend: isTuner ? backendOf(name, base) : null,
  };
}

/** PEFT's name for what quantized a module, or Graft's; other modules are as stored. */
function backendOf(name: string, base: BaseModel): string | null {
  const { precision, checkpoint } = base;
  const { tree } = base.adaptable;
  const module = tree.modules.find(({ path }) => path === name);
  if (module?.kind !== "linear" || precision.kept.some(({ path }) => path === name)) return null;
  if (precision.quantization && name !== tree.outputEmbedding) {
    return precision.quantization.type === "int8" ? "bnb 8bit" : "bnb 4bit";
  }
  const w = checkpoint.packed?.get(`${name}.weight`);
  const isStored = precision.storedLayers.includes(`${name}.weight`);
  return isStored ? precision.stored : w ? `int${w.bits}` : null;
}

/** The whole model in one record; "irregular" where its layers disagree. */
export function modelStatus(state: ModelState): ModelStatus {
  const { trainable, total } = countModel(state);
  const { adapters, base } = state;
  return {
    baseModelType: base.checkpoint.config.architecture,
    adapterModelType: adapterModelType(adapters),
    peftTypes: Object.fromEntries(
      adapters.map(({ name, checkpoint }) => [name, checkpoint.config.peftType]),
    ),
    trainableParams: trainable,
    totalParams: total,
    ...summarizeLayers(layerStatus(state), { isEnabled: state.active.length > 0 }),
  };
}

function adapterModelType(adapters: readonly LoadedAdapter[]): string {
  const types = new Set(
    adapters.flatMap(({ checkpoint, weights }) => {
      const names = pythonNames[checkpoint.config.peftType];
      return weights.layers.length > 0 && names ? [names.model] : [];
    }),
  );
  const [only = "None"] = types;
  return types.size > 1 ? "MixedModel" : only;
}

type LayerSummary = Omit<
  ModelStatus,
  "baseModelType" | "adapterModelType" | "peftTypes" | "trainableParams" | "totalParams"
>;

/** What the layers say together (peft_model.py, get_model_status). */
export function summarizeLayers(
  layers: readonly LayerStatus[],
  { isEnabled = false }: { isEnabled?: boolean } = {},
): LayerSummary {
  return {
    numAdapterLayers: layers.length,
    enabled: same(layers.map(({ enabled }) => enabled)) ?? isEnabled,
    activeAdapters: same(layers.map(({ activeAdapters }) => activeAdapters)) ?? [],
    mergedAdapters: mergedAdapters(layers),
    requiresGrad: perAdapter(layers, ({ requiresGrad }) => requiresGrad, agreement),
    availableAdapters: union(layers.map(({ availableAdapters }) => availableAdapters)),
    devices: perAdapter(layers, ({ devices }) => devices, union),
    quantizationBackend: same(layers.map((layer) => layer.quantizationBackend)) ?? null,
  };
}

/** The value that all have, "irregular" where they differ, undefined where there is none. */
function same<T>(values: readonly T[]): T | Irregular | undefined {
  const distinct = new Map(values.map((value) => [JSON.stringify(value), value]));
  return distinct.size > 1 ? "irregular" : [...distinct.values()][0];
}

/** Merged somewhere; irregular when a layer has one of these that is not merged there. */
function mergedAdapters(layers: readonly LayerStatus[]): string[] | Irregular {
  const somewhere = union(layers.map((layer) => layer.mergedAdapters));
  const isHalf = layers.some((layer) =>
    layer.availableAdapters.some(
      (name) => somewhere.includes(name) && !layer.mergedAdapters.includes(name),
    ),
  );
  return isHalf ? "irregular" : somewhere;
}

function agreement(values: readonly (boolean | Irregular)[]): boolean | Irregular {
  return values.every((value) => value === values[0]) ? (values[0] as boolean) : "irregular";
}

function union(lists: readonly (readonly string[])[]): string[] {
  return [...new Set(lists.flat())].sort();
}

function perAdapter<T, R>(
  layers: readonly LayerStatus[],
  of: (layer: LayerStatus) => Readonly<Record<string, T>>,
  combine: (values: T[]) => R,
): Record<string, R> {
  const values = new Map<string, T[]>();
  for (const layer of layers) {
    for (const [name, value] of Object.entries(of(layer))) {
      values.set(name, [...(values.get(name) ?? []), value]);
    }
  }
  return Object.fromEntries([...values].map(([name, own]) => [name, combine(own)]));
}
