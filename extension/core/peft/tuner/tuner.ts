/**
 * What all methods that change modules share: which modules are targeted, which stored tensors are
 * theirs, what is stored whole beside them, and how that becomes effects. A method file says only
 * what its own tensors are and what they do.
 */
import type { z } from "zod";
import { throwIfAborted } from "../../base/errors.ts";
import { parseFields } from "../../base/json.ts";
import type { Shape } from "../../base/shape.ts";
import type { AdapterCheckpoint } from "../../checkpoint/adapterCheckpoint.ts";
import type { AdapterConfig } from "../../checkpoint/adapterConfig.ts";
import type { ModuleInfo, ModuleTree } from "../../checkpoint/modules.ts";
import type { ParameterTarget } from "../../checkpoint/parameters.ts";
import type { LinearModule } from "../../onnx/layerHook.ts";
import type { TensorEntry } from "../../safetensors/header.ts";
import type { DefaultTargets } from "../defaultTargets.ts";
import type { AdapterEffects, EmbeddingEffect, LinearEffect } from "../effect.ts";
import type { FieldInfo, LoadedWeights, Method, MethodBase, ModuleSummary } from "../method.ts";
import {
  bind,
  type Binding,
  type PlannedModule,
  type PlannedParameter,
  planModules,
  summarize,
} from "./binding.ts";
import { checkCombinations, checkDropout, tunerFieldInfo, type TunerConfig } from "./config.ts";
import {
  type GrowingEffects,
  mergeEffects,
  valueWarnings,
  wholeEffects,
} from "./growingEffects.ts";
import { contextOf, type LoadAt, replacedBy, addEffect } from "./context.ts";
import { countParameters, layersOf } from "./counting.ts";
import { fieldWarnings } from "./fieldWarnings.ts";
import { moduleSizes, openModules } from "./modules.ts";
import { tableWarnings, wholeWarnings } from "./wholeParameters.ts";
import { type ModuleTensors, readAll, tensorsOf } from "./tensors.ts";

/** What a method's effect may need besides its own tensors. */
export interface TunerContext<C> {
  readonly config: C;
  /** The config file, for messages. */
  readonly file: string;
  readonly base: MethodBase;
  /** Tensors that are stored once for all modules. */
  readonly shared: ModuleTensors;
  /** The targeted modules in the model's order. */
  readonly targets: readonly ModuleInfo[];
  /** Which of the adapter's tasks is asked for. */
  readonly task: number;
  /** The stored tensors of any module, targeted or not. */
  adapterTensors(path: string): ModuleTensors;
  /** The module's weight as y = W x: [out, in], fp32. */
  weight(module: ModuleInfo): Promise<Float32Array>;
  /** [out], or null. */
  bias(module: ModuleInfo): Promise<Float32Array | null>;
  readonly signal: AbortSignal | undefined;
}

/** What a method does to parameters that are targeted by their own names. */
export interface ParameterTuner<C> {
  /** The names that the config gives. */
  names(config: C): readonly string[];
  /** @throws where the method cannot change a parameter that the names choose */
  targets(config: C, tree: ModuleTree, file: string): readonly ParameterTarget[];
  /** Shapes that a parameter's tensors must have. */
  shapes(target: ParameterTarget, config: C, file: string): Readonly<Record<string, Shape>>;
  effects(
    target: ParameterTarget,
    tensors: ModuleTensors,
    context: TunerContext<C>,
  ): Promise<Partial<AdapterEffects>>;
}

export interface Tuner<C extends TunerConfig> {
  readonly peftType: string;
  readonly schema: z.ZodType<C>;
  readonly fields: Readonly<Record<string, FieldInfo>>;
  /** PEFT's default targets for a `model_type` (utils/constants.py): names, a regex, "all-linear" or null. */
  defaultTargets(modelType: string): DefaultTargets;
  /** Refuses options, by name, that this version does not run. */
  check?(config: C, raw: AdapterConfig): void;
  /** Fills in what the config leaves to the base, as PEFT's `_prepare_adapter_config` does. */
  prepare?(config: C, base: MethodBase, file: string): C;
  /** A file's tensors as PEFT turns them for a base: those of older transformers' layers. */
  arrange?(tensors: readonly TensorEntry[], base: MethodBase, file: string): readonly TensorEntry[];
  /** Per-module tensors as the file spells them after the module's path, e.g. "lora_A.weight". */
  readonly suffixes: readonly string[];
  /** The same for names with a number, from the dot before them to the end: /\.adamss_A\.\d+$/. */
  readonly suffixPattern?: RegExp;
  /** Names of tensors stored once, without PEFT's `base_model.`. */
  readonly shared?: readonly string[];
  /** The same for names with a number; `shared` tensors are then known by their plain name. */
  readonly sharedPattern?: RegExp;
  /** Those of `suffixes` and `shared` that are stored but not trained: they do not count as parameters. */
  readonly frozen?: readonly (string | RegExp)[];
  /** Tensors that only training needs. */
  readonly ignored?: RegExp;
  /** False for a stored tensor of a module that is another module's too, where it counts. */
  isOwn?(
    suffix: string,
    at: { module: ModuleInfo; config: C; targets: readonly ModuleInfo[] },
  ): boolean;
  /**
   * Parameters of a module that PEFT has and does not store: dropped by saving, never trained, or
   * put together again from what is stored.
   */
  unstored?(config: C, module: ModuleInfo): { trained: number; frozen: number; rebuilt?: number };
  /** Shapes that a targeted module's tensors must have; a suffix not named may be absent. */
  shapes(module: ModuleInfo, config: C, file: string): Readonly<Record<string, Shape>>;
  /** For methods that can target parameters beside modules. */
  readonly parameters?: ParameterTuner<C>;
  /** True where a targeted module's weight becomes another one: two such adapters cannot share it. */
  readonly replacesWeights?: boolean;
  /** True where a Conv2d can be targeted: a linear layer on patches, with shapes of its own. */
  readonly convolutions?: boolean;
  /** Kinds of modules that can be targeted. */
  readonly kinds: readonly ModuleInfo["kind"][];
  rank(config: C): number | null;
  /** How many tasks the adapter holds an effect for, where the caller chooses one; 1 when absent. */
  tasks?(config: C): number;
  /** Rank, alpha and scaling of one module, for people. */
  scale?(config: C, path: string, file: string): Pick<ModuleSummary, "rank" | "alpha" | "scaling">;
  linear?(
    module: LinearModule,
    tensors: ModuleTensors,
    context: TunerContext<C>,
  ): LinearEffect | Promise<LinearEffect>;
  embedding?(
    module: ModuleInfo,
    tensors: ModuleTensors,
    context: TunerContext<C>,
  ): EmbeddingEffect | Promise<EmbeddingEffect>;
  /** The weight [size], and bias where there is one, that replace a norm's. */
  norm?(
    module: ModuleInfo,
    tensors: ModuleTensors,
  ): { weight: Float32Array; bias?: Float32Array | undefined };
  /** Layers of the base in the order in which the adapter runs them; null is each once. */
  layers?(config: C, base: MethodBase, file: string): readonly number[] | null;
  /** Modules besides the targets whose tensors `extra` takes. */
  extraModules?(config: C, base: MethodBase): readonly string[];
  /** Effects that follow from the whole adapter rather than from one targeted module. */
  extra?(context: TunerContext<C>): Promise<Partial<AdapterEffects>>;
  /** Sentences on what PEFT decides in silence. */
  warnings?(config: C, raw: AdapterConfig, base: MethodBase): string[];
}

/** Where an adapter's own tensors go on a base, before there are any. */
export interface TunerPlan<C> {
  readonly config: C;
  /** The config file, for messages. */
  readonly file: string;
  /** With its layers in the order in which the adapter runs them. */
  readonly base: MethodBase;
  readonly layers: readonly number[] | null;
  /** Targeted modules in the model's order, and the tensors that each gets. */
  readonly targets: readonly PlannedModule[];
  readonly parameters: readonly PlannedParameter[];
}

/** A method that was made of a tuner's description. */
export interface TunerMethod<C extends TunerConfig> extends Method {
  plan(config: AdapterConfig, base: MethodBase): TunerPlan<C>;
  defaultTargets(modelType: string): DefaultTargets;
  /** Sentences on what of a config PEFT decides in silence on this base, or passes over. */
  configWarnings(config: AdapterConfig, plan: TunerPlan<C>): string[];
  /** A file's tensors as PEFT turns them for a base: those of older transformers' layers. */
  arrange(tensors: readonly TensorEntry[], base: MethodBase, file: string): readonly TensorEntry[];
}

/** Makes a method of a tuner's description. */
export function tunerMethod<C extends TunerConfig>(tuner: Tuner<C>): TunerMethod<C> {
  const parse = (config: AdapterConfig): C => {
    const fields = parseFields(tuner.schema, config.raw, config.file);
    checkCombinations(fields, config.file);
    checkDropout(tuner.fields, config);
    tuner.check?.(fields, config);
    return fields;
  };
  const parseFor = (config: AdapterConfig, base: MethodBase): C => {
    const fields = parse(config);
    return tuner.prepare?.(fields, base, config.file) ?? fields;
  };
  /** What the adapter runs on, and what it says of that base. */
  const onto = (config: AdapterConfig, base: MethodBase): [C, Pick<LoadAt, "base" | "layers">] => {
    const fields = parseFor(config, base);
    const layers = tuner.layers?.(fields, base, config.file) ?? null;
    return [fields, { base: layers ? base.withLayers(layers) : base, layers }];
  };
  /** What was bound last and is not loaded yet: whoever loads has mostly asked for the report before. */
  const proven = new WeakMap<AdapterCheckpoint, { onto: MethodBase; bound: Binding }>();
  return {
    peftType: tuner.peftType,
    fields: { ...tunerFieldInfo, ...tuner.fields },
    schema: tuner.schema,
    check: (config) => void parse(config),
    rank: (config) => tuner.rank(parse(config)),
    summarize: (adapter) => summarize(tuner, parse(adapter.config), adapter),
    bind: (adapter, base) => {
      const [fields, own] = onto(adapter.config, base);
      const bound = bind(tuner, fields, { adapter, base: own.base });
      proven.set(adapter, { onto: base, bound });
      return bound.report;
    },
    load: async (adapter, base, signal) => {
      const [fields, own] = onto(adapter.config, base);
      const known = proven.get(adapter);
      proven.delete(adapter);
      const at = { adapter, signal, ...own };
      return load(tuner, fields, {
        ...at,
        bound: known?.onto === base ? known.bound : bind(tuner, fields, at),
      });
    },
    open: async (adapter, base, signal) => {
      const [fields, own] = onto(adapter.config, base);
      return openModules(tuner, fields, { adapter, signal, ...own });
    },
    defaultTargets: (modelType) => tuner.defaultTargets(modelType),
    configWarnings: (config, { targets, parameters, base }) => {
      const fields = parseFor(config, base);
      return [
        ...(tuner.warnings?.(fields, config, base) ?? []),
        ...fieldWarnings(fields, config, {
          targets: targets.map(({ module }) => module),
          parameters: parameters.map(({ target }) => target.name),
          base,
        }),
      ];
    },
    arrange: (tensors, base, file) => tuner.arrange?.(tensors, base, file) ?? tensors,
    plan: (config, base) => {
      const [fields, own] = onto(config, base);
      const at = { file: config.file, base: own.base };
      return { config: fields, file: at.file, ...own, ...planModules(tuner, fields, at) };
    },
    sizes: (adapter) => moduleSizes(tuner, parse(adapter.config), adapter),
  };
}

async function load<C extends TunerConfig>(
  tuner: Tuner<C>,
  config: C,
  at: LoadAt & { bound: Binding },
): Promise<LoadedWeights> {
  const { adapter, base, signal, bound } = at;
  const values = await readAll(bound, adapter.weights.file, signal);
  const replaced = replacedBy(bound.whole, values, adapter.weights.file);
  const context = contextOf(config, bound, { ...at, values, replaced });
  let tables: readonly string[] = [];
  const effectsOf = async (task: number): Promise<GrowingEffects> => {
    const effects = await wholeEffects(bound.whole, replaced, base);
    tables = tableWarnings(bound.whole, effects);
    for (const { module, tensors } of bound.modules) {
      throwIfAborted(signal);
      const own = tensorsOf(tensors, values, adapter.weights.file);
      await addEffect(tuner, effects, { module, own, context: { ...context, task } });
      if (tuner.replacesWeights) effects.replaces.add(`${module.path}.weight`);
    }
    for (const { target, tensors } of bound.parameters) {
      throwIfAborted(signal);
      const own = tensorsOf(tensors, values, adapter.weights.file);
      const added = await tuner.parameters?.effects(target, own, { ...context, task });
      if (added) mergeEffects(effects, added, base);
    }
    const extra = await tuner.extra?.(context);
    if (extra) mergeEffects(effects, extra, base);
    if (at.layers) effects.layers = at.layers;
    return effects;
  };
  const tasks: AdapterEffects[] = [];
  for (let task = 0; task < (tuner.tasks?.(config) ?? 1); task++) tasks.push(await effectsOf(task));
  const [first] = tasks as [AdapterEffects];
  const effects = tasks.length > 1 ? { ...first, tasks } : first;
  const counts = countParameters(tuner, config, { bound, adapter, base });
  return {
    effects,
    parameters: counts.trained,
    counts,
    layers: layersOf(tuner, config, { bound, base }),
    warnings: [
      ...(tuner.warnings?.(config, adapter.config, base) ?? []),
      ...fieldWarnings(config, adapter.config, {
        targets: bound.targets,
        parameters: bound.parameters.map(({ target }) => target.name),
        base,
      }),
      ...wholeWarnings(bound.whole, { config, targets: bound.targets, tree: base.tree }),
      ...tables,
      ...valueWarnings(values, effects),
    ],
  };
}
