/**
 * What all methods that change modules share: which modules are targeted, which stored tensors are
 * theirs, what is stored whole beside them, and how that becomes effects. A method file says only
 * what its own tensors are and what they do.
 */
import { z } from "zod";
import { dtypeLabel, isFloatDtype, toFloat32 } from "../base/dtype.ts";
import { badFile, GraftError, misfit, throwIfAborted, unsupported } from "../base/errors.ts";
import { parseFields } from "../base/json.ts";
import { elementCount, isSameShape, type Shape, showShape } from "../base/shape.ts";
import { type AdapterCheckpoint, plainTensorName } from "../checkpoint/adapterCheckpoint.ts";
import type { AdapterConfig } from "../checkpoint/adapterConfig.ts";
import type { ModuleInfo } from "../checkpoint/modules.ts";
import { resolveTargets, type TargetFields } from "../checkpoint/targets.ts";
import type { LinearModule } from "../onnx/layerHook.ts";
import type { TensorEntry } from "../safetensors/header.ts";
import { readTensors } from "../safetensors/read.ts";
import { type AdapterEffects, compose, type EmbeddingEffect, type LinearEffect } from "./effect.ts";
import type {
  BindReport,
  FieldInfo,
  LoadedWeights,
  Method,
  MethodBase,
  ModuleSummary,
} from "./method.ts";

const names = z.union(
  [z.string(), z.array(z.string())],
  "It must be a string or a list of strings.",
);
const optionalNames = names.nullish().transform((value) => value ?? null);
const indices = z.union([z.int(), z.array(z.int())], "It must be a layer index or a list of them.");

/** The fields by which every tuner chooses modules; a method's schema extends them. */
export const tunerFields = {
  target_modules: optionalNames,
  exclude_modules: optionalNames,
  layers_to_transform: indices.nullish().transform((value) => value ?? null),
  layers_pattern: optionalNames,
  modules_to_save: z
    .array(z.string())
    .nullish()
    .transform((value) => value ?? []),
  bias: z
    .string()
    .nullish()
    .transform((value) => value ?? "none"),
};

const tunerSchema = z.looseObject(tunerFields);

export type TunerConfig = z.infer<typeof tunerSchema>;

/** A field that must be a whole number of at least 1. */
export const wholeNumber = z.int("It must be a whole number.").positive("It must be at least 1.");

/** Meanings of the shared fields, for forms. */
export const tunerFieldInfo: Readonly<Record<string, FieldInfo>> = {
  target_modules: {
    default: null,
    meaning: "Modules that carry an update: names, a regex or all-linear.",
  },
  exclude_modules: { default: null, meaning: "Modules left out although they are targeted." },
  layers_to_transform: { default: null, meaning: "Only these layers carry an update." },
  layers_pattern: {
    default: null,
    meaning: "Name of the list of layers that the indices refer to.",
  },
  modules_to_save: {
    default: null,
    meaning: "Modules that were trained whole and are stored whole.",
  },
};

/** The stored tensors of one module, by what follows the module's path on disk. */
export interface ModuleTensors {
  has(suffix: string): boolean;
  /** Row-major fp32. @throws when the file has none or it is not floating-point */
  values(suffix: string): Float32Array;
  /** Integer tensors (indices), as numbers. */
  integers(suffix: string): number[];
  shape(suffix: string): Shape;
}

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
  /** The stored tensors of any module, targeted or not. */
  adapterTensors(path: string): ModuleTensors;
  /** The module's weight as y = W x: [out, in], fp32. */
  weight(module: ModuleInfo): Promise<Float32Array>;
  /** [out], or null. */
  bias(module: ModuleInfo): Promise<Float32Array | null>;
  readonly signal: AbortSignal | undefined;
}

export interface Tuner<C extends TunerConfig> {
  readonly peftType: string;
  readonly schema: z.ZodType<C>;
  readonly fields: Readonly<Record<string, FieldInfo>>;
  /** PEFT's default targets for a `model_type` (utils/constants.py), or null. */
  defaultTargets(modelType: string): readonly string[] | null;
  /** Refuses options, by name, that this version does not run. */
  check?(config: C, raw: AdapterConfig): void;
  /** Per-module tensors as the file spells them after the module's path, e.g. "lora_A.weight". */
  readonly suffixes: readonly string[];
  /** Names of tensors stored once, without PEFT's `base_model.`. */
  readonly shared?: readonly string[];
  /** Tensors that only training needs. */
  readonly ignored?: RegExp;
  /** Shapes that a targeted module's tensors must have; a suffix not named may be absent. */
  shapes(module: ModuleInfo, config: C, file: string): Readonly<Record<string, Shape>>;
  /** Kinds of modules that can be targeted. */
  readonly kinds: readonly ModuleInfo["kind"][];
  rank(config: C): number | null;
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
  /** The weight [size] that replaces a norm's. */
  norm?(module: ModuleInfo, tensors: ModuleTensors): Float32Array;
  /** Modules besides the targets whose tensors `extra` takes. */
  extraModules?(config: C, base: MethodBase): readonly string[];
  /** Effects that follow from the whole adapter rather than from one targeted module. */
  extra?(context: TunerContext<C>): Promise<Partial<AdapterEffects>>;
  /** Sentences on what PEFT decides in silence. */
  warnings?(config: C, raw: AdapterConfig, base: MethodBase): string[];
}

/** Makes a method of a tuner's description. */
export function tunerMethod<C extends TunerConfig>(tuner: Tuner<C>): Method {
  const parse = (config: AdapterConfig): C => {
    const fields = parseFields(tuner.schema, config.raw, config.file);
    checkCombinations(fields, config.file);
    tuner.check?.(fields, config);
    return fields;
  };
  return {
    peftType: tuner.peftType,
    fields: { ...tunerFieldInfo, ...tuner.fields },
    check: (config) => void parse(config),
    rank: (config) => tuner.rank(parse(config)),
    summarize: (adapter) => summarize(tuner, parse(adapter.config), adapter),
    bind: (adapter, base) => bind(tuner, parse(adapter.config), { adapter, base }).report,
    load: (adapter, base, signal) => load(tuner, parse(adapter.config), { adapter, base, signal }),
  };
}

function checkCombinations(fields: TunerConfig, file: string): void {
  const fail = (field: string, problem: string): Error =>
    new GraftError("bad-file", `${file}: field "${field}" ${problem}.`, { file, field });
  if (typeof fields.target_modules === "string" && fields.target_modules !== "all-linear") {
    for (const field of ["layers_to_transform", "layers_pattern"] as const) {
      if (fields[field] !== null) {
        throw fail(field, `cannot be used with target_modules "${fields.target_modules}"`);
      }
    }
  }
  if (fields.layers_pattern?.length && fields.layers_to_transform === null) {
    throw fail("layers_pattern", "needs layers_to_transform beside it");
  }
}

function targetFields<C extends TunerConfig>(
  tuner: Tuner<C>,
  fields: C,
  { file, base }: { file: string; base: MethodBase },
): TargetFields {
  const targets = fields.target_modules ?? tuner.defaultTargets(base.modelType);
  if (targets === null || targets.length === 0) {
    throw new GraftError("bad-file", `${file}: field "target_modules" names no module.`, {
      file,
      field: "target_modules",
    });
  }
  return {
    file,
    targetModules: targets,
    excludeModules: fields.exclude_modules,
    layersToTransform: fields.layers_to_transform,
    layersPattern: fields.layers_pattern,
    modulesToSave: fields.modules_to_save,
  };
}

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
    const single = tuner.shared?.find((name) => plain === name || plain === `base_model.${name}`);
    const suffix = tuner.suffixes.find((each) => plain.endsWith(`.${each}`));
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

function summarize<C extends TunerConfig>(
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
interface WholeParameter {
  readonly module: ModuleInfo;
  readonly parameter: "weight" | "bias";
  readonly entry: TensorEntry;
  /** False for a frozen base weight that PEFT saved beside the adapter. */
  readonly isTrained: boolean;
}

interface Binding {
  readonly report: BindReport;
  readonly targets: readonly ModuleInfo[];
  readonly modules: readonly BoundModule[];
  readonly whole: readonly WholeParameter[];
  readonly shared: ReadonlyMap<string, TensorEntry>;
  /** All tensors with a suffix of the method, by module path. */
  readonly stored: ReadonlyMap<string, ReadonlyMap<string, TensorEntry>>;
}

function bind<C extends TunerConfig>(
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
    const tensors = stored.modules.get(module.path);
    const shapes = Object.entries(tuner.shapes(module, config, file));
    if (!tensors || shapes.some(([suffix]) => !tensors.has(suffix))) {
      unbound.push(module.path);
      continue;
    }
    for (const [suffix, shape] of shapes) {
      checkShape(adapter, { module, entry: tensors.get(suffix) as TensorEntry, shape });
    }
    modules.push({ module, tensors });
  }
  const bound = new Set(modules.map(({ module }) => module.path));
  const { whole, strangers } = wholeParameters(config, stored, { adapter, base });
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
function wholeParameters(
  config: TunerConfig,
  stored: Stored,
  { adapter, base }: { adapter: AdapterCheckpoint; base: MethodBase },
): { whole: WholeParameter[]; strangers: string[] } {
  const modules = new Map(base.tree.modules.map((module) => [module.path, module]));
  // A plain suffix as in PEFT: "norm" also means post_attention_layernorm.
  const isSaved = (path: string): boolean =>
    config.modules_to_save.some((name) => path.endsWith(name));
  const whole: WholeParameter[] = [];
  const strangers: string[] = [];
  for (const [name, entry] of stored.others) {
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
    checkWhole(adapter, { module, parameter, entry });
    const isTrained = isSaved(module.path) || parameter === "bias";
    whole.push({ module, parameter, entry, isTrained });
  }
  return { whole, strangers };
}

function checkWhole(
  adapter: AdapterCheckpoint,
  { module, parameter, entry }: { module: ModuleInfo; parameter: string; entry: TensorEntry },
): void {
  const { shape } = entry;
  const isVocabulary = module.kind === "embedding" || module.kind === "linear";
  const own =
    module.kind === "embedding"
      ? [module.in, module.out]
      : [module.out, module.kind === "norm" ? -1 : module.in];
  const wanted = parameter === "bias" || module.kind === "norm" ? [module.out] : own;
  if (isSameShape(shape, wanted)) return;
  if (isVocabulary && parameter === "weight" && shape[1] === wanted[1]) {
    throw unsupported(
      `${adapter.weights.file}: "${entry.name}" has ${shape[0]} rows, this base ${wanted[0]}: ` +
        "its vocabulary was resized, which Graft does not do yet",
    );
  }
  checkShape(adapter, { module, entry, shape: wanted });
}

interface LoadAt {
  readonly adapter: AdapterCheckpoint;
  readonly base: MethodBase;
  readonly signal: AbortSignal | undefined;
}

async function load<C extends TunerConfig>(
  tuner: Tuner<C>,
  config: C,
  at: LoadAt,
): Promise<LoadedWeights> {
  const { adapter, base, signal } = at;
  const { file } = adapter.config;
  const bound = bind(tuner, config, at);
  const values = await readAll(bound, at);
  const replaced = new Map(
    bound.whole.map(({ module, parameter, entry }) => [
      `${module.path}.${parameter}`,
      floats(values, entry, adapter.weights.file),
    ]),
  );
  const context: TunerContext<C> = {
    config,
    file,
    base,
    shared: tensorsOf(bound.shared, values, adapter.weights.file),
    targets: bound.targets,
    adapterTensors: (path) =>
      tensorsOf(bound.stored.get(path) ?? new Map(), values, adapter.weights.file),
    weight: (module) => readWeight(module, replaced, at),
    bias: (module) => readBias(module, replaced, at),
    signal,
  };
  const effects = await wholeEffects(bound.whole, replaced, base);
  for (const { module, tensors } of bound.modules) {
    throwIfAborted(signal);
    const own = tensorsOf(tensors, values, adapter.weights.file);
    await addEffect(tuner, effects, { module, own, context });
  }
  const extra = await tuner.extra?.(context);
  if (extra) mergeEffects(effects, extra, base);
  const trained = bound.whole.filter(({ isTrained }) => isTrained).map(({ entry }) => entry);
  const unexpected = new Set(bound.report.unexpected);
  const own = [...bound.stored.values()].flatMap((tensors) => [...tensors.values()]);
  const counted = [
    ...own.filter(({ name }) => !unexpected.has(name)),
    ...bound.shared.values(),
    ...trained,
  ];
  return {
    effects,
    parameters:
      counted.reduce((sum, { shape }) => sum + elementCount(shape), 0) +
      ignoredParameters(tuner, adapter),
    warnings: [
      ...(tuner.warnings?.(config, adapter.config, base) ?? []),
      ...valueWarnings(values, effects),
    ],
  };
}

function ignoredParameters<C extends TunerConfig>(
  tuner: Tuner<C>,
  { weights }: AdapterCheckpoint,
): number {
  return weights.tensors
    .filter(({ name }) => tuner.ignored?.test(name))
    .reduce((sum, { shape }) => sum + elementCount(shape), 0);
}

type Values = ReadonlyMap<string, { entry: TensorEntry; bytes: Uint8Array }>;

async function readAll(bound: Binding, { adapter, signal }: LoadAt): Promise<Values> {
  const entries = [
    ...[...bound.stored.values()].flatMap((tensors) => [...tensors.values()]),
    ...bound.whole.map(({ entry }) => entry),
    ...bound.shared.values(),
  ];
  const bytes = await readTensors(adapter.weights.file, entries, signal);
  return new Map(entries.map((entry, i) => [entry.name, { entry, bytes: bytes[i] as Uint8Array }]));
}

function floats(values: Values, { name, dtype }: TensorEntry, file: string): Float32Array {
  if (!isFloatDtype(dtype)) {
    throw badFile(file, `tensor "${name}" is ${dtype}; a floating-point type is needed`);
  }
  return toFloat32((values.get(name) as { bytes: Uint8Array }).bytes, dtype);
}

function tensorsOf(
  entries: ReadonlyMap<string, TensorEntry>,
  values: Values,
  file: string,
): ModuleTensors {
  const need = (suffix: string): TensorEntry => {
    const entry = entries.get(suffix);
    if (!entry) throw badFile(file, `has no tensor "${suffix}"`);
    return entry;
  };
  return {
    has: (suffix) => entries.has(suffix),
    values: (suffix) => floats(values, need(suffix), file),
    shape: (suffix) => need(suffix).shape,
    integers: (suffix) =>
      integers(values.get(need(suffix).name) as { entry: TensorEntry; bytes: Uint8Array }, file),
  };
}

function integers(
  { entry, bytes }: { entry: TensorEntry; bytes: Uint8Array },
  file: string,
): number[] {
  const { buffer, byteOffset } = bytes;
  const length = elementCount(entry.shape);
  switch (entry.dtype) {
    case "I64":
      return Array.from(new BigInt64Array(buffer, byteOffset, length), Number);
    case "I32":
      return [...new Int32Array(buffer, byteOffset, length)];
    case "I16":
      return [...new Int16Array(buffer, byteOffset, length)];
    case "U8":
    case "BOOL":
      return [...bytes];
    default:
      throw badFile(file, `tensor "${entry.name}" is ${entry.dtype}; an integer type is needed`);
  }
}

async function readWeight(
  module: ModuleInfo,
  replaced: ReadonlyMap<string, Float32Array>,
  { base, signal }: LoadAt,
): Promise<Float32Array> {
  const own = replaced.get(`${module.path}.weight`);
  if (own) return own;
  const name = weightName(module);
  const weight = await base.readTensor(name, signal);
  if (!weight) throw misfit(`The base has no tensor "${name}", which the adapter needs.`);
  return weight;
}

/** Where a module's weight is stored: a tied head's is the embedding's. */
export function weightName(module: ModuleInfo): string {
  return (module.kind === "linear" ? module.weight : undefined) ?? `${module.path}.weight`;
}

async function readBias(
  module: ModuleInfo,
  replaced: ReadonlyMap<string, Float32Array>,
  { base, signal }: LoadAt,
): Promise<Float32Array | null> {
  return replaced.get(`${module.path}.bias`) ?? base.readTensor(`${module.path}.bias`, signal);
}

/** Effects under construction. */
interface GrowingEffects extends AdapterEffects {
  readonly linear: Map<string, LinearEffect>;
  readonly embeddings: Map<string, EmbeddingEffect>;
  readonly norms: Map<string, Float32Array>;
}

async function wholeEffects(
  whole: readonly WholeParameter[],
  replaced: ReadonlyMap<string, Float32Array>,
  base: MethodBase,
): Promise<GrowingEffects> {
  const effects: GrowingEffects = { linear: new Map(), embeddings: new Map(), norms: new Map() };
  for (const { module, parameter } of whole) {
    const own = replaced.get(`${module.path}.${parameter}`) as Float32Array;
    const old = await base.readTensor(
      parameter === "weight" ? weightName(module) : `${module.path}.bias`,
    );
    const delta = own.map((value, i) => value - (old?.[i] ?? 0));
    if (delta.every((value) => value === 0)) continue;
    if (module.kind === "norm") effects.norms.set(module.path, own);
    else if (module.kind === "embedding") {
      effects.embeddings.set(module.path, {
        rowDelta: (id) => delta.subarray(id * module.out, (id + 1) * module.out),
      });
    } else {
      const part = parameter === "weight" ? { delta } : { shift: delta };
      effects.linear.set(module.path, { ...effects.linear.get(module.path), ...part });
    }
  }
  return effects;
}

async function addEffect<C extends TunerConfig>(
  tuner: Tuner<C>,
  effects: GrowingEffects,
  at: { module: ModuleInfo; own: ModuleTensors; context: TunerContext<C> },
): Promise<void> {
  const { module, own, context } = at;
  if (module.kind === "linear" && tuner.linear) {
    addLinear(effects, module, await tuner.linear(module, own, context));
  } else if (module.kind === "embedding" && tuner.embedding) {
    addEmbedding(effects, module.path, await tuner.embedding(module, own, context));
  } else if (module.kind === "norm" && tuner.norm) {
    effects.norms.set(module.path, tuner.norm(module, own));
  } else {
    throw unsupported(
      `${context.file}: Graft does not run ${tuner.peftType} on ${module.path} yet`,
    );
  }
}

function addLinear(effects: GrowingEffects, module: LinearModule, effect: LinearEffect): void {
  const before = effects.linear.get(module.path);
  effects.linear.set(module.path, before ? compose(before, effect, module) : effect);
}

function addEmbedding(effects: GrowingEffects, path: string, effect: EmbeddingEffect): void {
  const before = effects.embeddings.get(path);
  if (!before) {
    effects.embeddings.set(path, effect);
    return;
  }
  effects.embeddings.set(path, {
    rowDelta: (id) => {
      const [first, second] = [before.rowDelta(id), effect.rowDelta(id)];
      return first && second
        ? first.map((value, i) => value + (second[i] as number))
        : (first ?? second);
    },
  });
}

function mergeEffects(
  effects: GrowingEffects,
  extra: Partial<AdapterEffects>,
  base: MethodBase,
): void {
  const modules = new Map(base.tree.modules.map((module) => [module.path, module]));
  for (const [path, effect] of extra.linear ?? []) {
    addLinear(effects, modules.get(path) as LinearModule, effect);
  }
  for (const [path, effect] of extra.embeddings ?? []) addEmbedding(effects, path, effect);
  for (const [path, weight] of extra.norms ?? []) effects.norms.set(path, weight);
}

/** NaN, Inf and effects that are neutral everywhere are named: PEFT loads them without a word. */
function valueWarnings(values: Values, effects: AdapterEffects): string[] {
  const warnings: string[] = [];
  for (const [name, { entry, bytes }] of values) {
    if (isFloatDtype(entry.dtype) && !toFloat32(bytes, entry.dtype).every(Number.isFinite)) {
      warnings.push(`Tensor "${name}" holds NaN or infinite values.`);
    }
  }
  const changes =
    [...effects.linear.values()].some(changesSomething) ||
    (effects.embeddings?.size ?? 0) + (effects.norms?.size ?? 0) > 0;
  if (!changes) warnings.push("The adapter changes nothing: its update is zero in every module.");
  return warnings;
}

function changesSomething({
  lowRank,
  delta,
  inputScale,
  outputScale,
  shift,
}: LinearEffect): boolean {
  const not = (neutral: number) => (value: number) => value !== neutral;
  return (
    (lowRank !== undefined && lowRank.a.some(not(0)) && lowRank.b.some(not(0))) ||
    (delta?.some(not(0)) ?? false) ||
    (inputScale?.some(not(1)) ?? false) ||
    (outputScale?.some(not(1)) ?? false) ||
    (shift?.some(not(0)) ?? false)
  );
}
