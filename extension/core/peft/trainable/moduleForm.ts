/**
 * Training forms of methods that put a formula around linear layers and have no more to say than what
 * their tensors are, how they begin and what they do; tuner.ts does the rest.
 */
import { t } from "@vscode/l10n";
import { misfit, unsupported } from "../../base/errors.ts";
import type { Shape } from "../../base/shape.ts";
import type { TorchGenerator } from "../../base/torchRandom.ts";
import { type ModuleInfo, weightName } from "../../checkpoint/modules.ts";
import type { GraphBuilder } from "../../onnx/builder.ts";
import type { Value } from "../../onnx/graph.ts";
import type { LinearModule } from "../../onnx/layerHook.ts";
import type { MethodBase } from "../method.ts";
import type { TunerConfig } from "../tuner/config.ts";
import type { TunerMethod, TunerPlan } from "../tuner/tuner.ts";
import type { ModuleMasks } from "./dropout.ts";
import type { BeginningWork } from "./eachModule.ts";
import { peftPrefix } from "./parameters.ts";
import type {
  Allocator,
  Parameter,
  ParameterValues,
  TrainableAdapter,
  TrainableMethod,
} from "./trainable.ts";
import { type ChanceAt, type ExtraTensor, trainableTuner } from "./tuner.ts";

/** A tensor of one module: on disk its name is the module's path and this. */
export interface OwnTensor {
  readonly suffix: string;
  readonly shape: Shape;
  /** False for what PEFT keeps beside its parameters and never trains; true when absent. */
  readonly isTrained?: boolean;
  /** False where PEFT makes it anew from config or base instead of saving it; true when absent. */
  readonly isStored?: boolean;
  /** Modules that have the same tensor; the file has it under each of them. */
  readonly sharers?: readonly LinearModule[];
}

/** A config and its file, for messages. */
export interface Settings<C> {
  readonly config: C;
  readonly file: string;
}

export interface FormContext<C> extends Settings<C> {
  readonly base: MethodBase;
  /** The chosen layers in the model's order. */
  readonly targets: readonly LinearModule[];
}

/** A context with the base's numbers. */
export interface ReadContext<C> extends FormContext<C> {
  /** A layer's weight as y = W x: [out, in]. */
  weight(module: LinearModule): Promise<Float32Array>;
  /** [out], or null. */
  bias(module: LinearModule): Promise<Float32Array | null>;
}

export interface InitialContext<C> extends ReadContext<C> {
  readonly random: TorchGenerator;
  readonly signal: AbortSignal | undefined;
}

/** A context with what modules share in an adapter. */
export interface DerivedContext<C> extends ReadContext<C> {
  shared(name: string): Float32Array;
}

/** Tensors by suffix. */
export type Initial = Readonly<Record<string, Float32Array>>;

/** One layer, seen from its method's formula. */
export interface FormLayer<C> extends Settings<C> {
  readonly module: LinearModule;
  readonly targets: readonly LinearModule[];
  /** [batch, seq, in] */
  readonly x: Value;
  /** The base layer, bias included. */
  base(x: Value): Value;
  /** W x, without the bias. */
  product(x: Value): Value;
  /** [out, in] */
  weight(): Value;
  /** [out], or null. */
  bias(): Value | null;
  /** A tensor of this module. */
  own(suffix: string): Value;
  /** A tensor that all modules share. */
  shared(name: string): Value;
  /** x [..., in] with entries left out at random, as often as the config says. */
  dropout(x: Value, size?: number): Value;
  /** Numbers between 0 and 1 for each of x's rows, drawn anew in every step; null in evaluation. */
  chance(x: Value, at: ChanceAt): Value | null;
  /** Each text's task, [batch] int64. */
  tasks(): Value;
  readonly masks: ModuleMasks;
}

/** What a term of the loss is made of. */
export interface PenaltyContext<C> extends FormContext<C> {
  of(module: LinearModule, suffix: string): Value;
}

/** Which tensor is to be settled. */
export interface Settled<C> extends Settings<C> {
  readonly module: LinearModule;
  readonly suffix: string;
  /** Tensors of the same module. */
  of(suffix: string): Float32Array;
}

export interface ModuleForm<C extends TunerConfig> {
  readonly method: TunerMethod<C>;
  /** Why only saved adapters are trained on, and no new ones begun; absent for most. */
  whyNotNew?(): string;
  /** Refuses, by name, what only runs. */
  check?(context: FormContext<C>): void;
  /** Of one module, in the order of `named_parameters()`. */
  tensors(module: LinearModule, context: FormContext<C>): readonly OwnTensor[];
  /** Of all modules together; names without PEFT's `base_model.`. */
  shared?(context: FormContext<C>): readonly OwnTensor[];
  /** What a new adapter begins with, drawn in PEFT's order. */
  initialize(module: LinearModule, context: InitialContext<C>): Initial | Promise<Initial>;
  /** Drawn before all modules. */
  initializeShared?(context: InitialContext<C>): Initial | Promise<Initial>;
  /** How often dropout leaves an entry out; 0 when absent. */
  dropout?(config: C): number;
  /** True where the formula draws in training (`chance`). */
  readonly draws?: boolean;
  /** How many tasks texts may be of, where the formula asks. */
  tasks?(config: C): number;
  /** Reads what the shapes of a module's tensors follow from, before `tensors` is asked. */
  look?(context: ReadContext<C>, work: BeginningWork): Promise<void>;
  /** Multiplications that finding a module's first values takes; absent where these are few. */
  cost?(module: LinearModule, config: C): number;
  /** What acts between the steps of a run; null where nothing does. */
  allocator?(context: FormContext<C>, parameters: readonly Parameter[]): Allocator | null;
  /** Sentences on what the config asks for and a run of so many steps does not do. */
  remarks?(context: FormContext<C>, steps: number): readonly string[];
  /** The module whose tensor this one computes with, itself when absent. */
  owner?(module: LinearModule, suffix: string, context: FormContext<C>): LinearModule;
  /** What follows from a file's values and is not in it, module by module. */
  derive?(module: LinearModule, context: DerivedContext<C>): Promise<Initial>;
  /** What PEFT's forward writes back into parameters before it computes with them. */
  settle?(tensor: Float32Array, at: Settled<C>): Float32Array;
  /** A number that is added to the loss; null for none. */
  penalty?(g: GraphBuilder, context: PenaltyContext<C>): Value | null;
  /** What the layer gives. [batch, seq, out] */
  forward(g: GraphBuilder, layer: FormLayer<C>): Value;
}

/** A number of a config that the schema does not know. */
export function numberOf(config: object, field: string, otherwise = 0): number {
  const value = (config as Record<string, unknown>)[field];
  return typeof value === "number" ? value : otherwise;
}

/** Makes a training form of a method's description. */
export function moduleForm<C extends TunerConfig>(form: ModuleForm<C>): TrainableMethod {
  // Every plan has a config object of its own.
  const contexts = new WeakMap<object, FormContext<C>>();
  const contextOf = (plan: TunerPlan<C>): FormContext<C> => {
    const { config, file, base } = plan;
    const made = contexts.get(config);
    if (made) return made;
    const targets = plan.targets.map(({ module }) => linearOf(module, { form, file }));
    const context = { config, file, base, targets };
    contexts.set(config, context);
    form.check?.(context);
    return context;
  };
  const reading = (context: FormContext<C>): ReadContext<C> => ({
    ...context,
    weight: (module) => layerTensor(context.base, weightName(module)),
    bias: (module) =>
      module.hasBias ? layerTensor(context.base, `${module.path}.bias`) : Promise.resolve(null),
  });
  const initial = (
    context: FormContext<C>,
    { random, signal }: Pick<InitialContext<C>, "random" | "signal">,
  ): InitialContext<C> => ({ ...reading(context), random, signal });
  const rate = (config: C): number => form.dropout?.(config) ?? 0;
  const method = trainableTuner<C>({
    method: form.method,
    tensors: (module, plan) => {
      const own = form.tensors(linearOf(module, { form, file: plan.file }), contextOf(plan));
      return Object.fromEntries(own.map(named));
    },
    ownerOf: ({ path }, suffix, plan) => {
      const context = contextOf(plan);
      const module = context.targets.find((each) => each.path === path);
      return (module && form.owner?.(module, suffix, context).path) ?? path;
    },
    sharedTensors: (plan) => Object.fromEntries((form.shared?.(contextOf(plan)) ?? []).map(named)),
    dropout: rate,
    draws: form.draws === true,
    ...(form.tasks && { tasks: form.tasks }),
    ...(form.look && {
      look: async (plan, work) => form.look?.(reading(contextOf(plan)), work),
    }),
    ...(form.cost && {
      cost: (module, { config, file }) =>
        form.cost?.(linearOf(module, { form, file }), config) ?? 0,
    }),
    linear: (layer) => {
      const { g, config } = layer;
      return form.forward(g, {
        config,
        file: layer.file,
        module: layer.module,
        targets: (contexts.get(config) as FormContext<C>).targets,
        x: layer.x,
        base: (x) => layer.base(x),
        product: (x) => layer.product(x),
        weight: () => layer.weight(),
        bias: () => layer.bias(),
        own: (suffix) => layer.parameter(suffix),
        shared: (name) => layer.shared(name),
        dropout: (x, size) => layer.dropout(x, rate(config), size),
        chance: (x, at) => layer.chance(x, at),
        tasks: () => layer.tasks(),
        masks: layer.masks,
      });
    },
    initialize: (module, { config, file, ...at }) => {
      const context = contexts.get(config) as FormContext<C>;
      return form.initialize(linearOf(module, { form, file }), initial(context, at));
    },
    initializeShared: async (plan, at) =>
      (await form.initializeShared?.(initial(contextOf(plan), at))) ?? {},
    ...(form.derive && {
      derive: (plan, values) => derived(form, reading(contextOf(plan)), values),
    }),
  });
  const { whyNotNew } = form;
  return {
    ...method,
    ...(whyNotNew && { whyNotNew }),
    prepare: (config, base, options) => {
      const adapter = method.prepare(config, base, options);
      const context = contextOf(form.method.plan(adapter.config, base));
      return Object.assign(adapter, behaviour(form, context, adapter.parameters));
    },
  };
}

type Behaviour = Pick<TrainableAdapter, "penalty" | "settle" | "allocator" | "remarks">;

/** What an adapter does beside computing. */
function behaviour<C extends TunerConfig>(
  form: ModuleForm<C>,
  context: FormContext<C>,
  parameters: readonly Parameter[],
): Behaviour {
  const { penalty, settle, remarks } = form;
  const name = ({ path }: LinearModule, suffix: string): string => `${peftPrefix}${path}.${suffix}`;
  const of = (module: LinearModule, suffix: string): Value => name(module, suffix) as Value;
  const settleAll = (values: ParameterValues): ParameterValues =>
    new Map(
      context.targets.flatMap((module) =>
        form.tensors(module, context).map(({ suffix }) => {
          const valueOf = (each: string): Float32Array =>
            values.get(name(module, each)) as Float32Array;
          const own = valueOf(suffix);
          const at = { ...context, module, suffix, of: valueOf };
          return [name(module, suffix), settle?.(own, at) ?? own];
        }),
      ),
    );
  const makeAllocator = (): Allocator | null => form.allocator?.(context, parameters) ?? null;
  return {
    ...(penalty && { penalty: (g: GraphBuilder) => penalty(g, { ...context, of }) }),
    ...(settle && { settle: settleAll }),
    ...(form.allocator && { allocator: makeAllocator }),
    ...(remarks && { remarks: (steps: number) => remarks(context, steps) }),
  };
}

/** What follows from an adapter's values. */
async function derived<C extends TunerConfig>(
  form: ModuleForm<C>,
  context: ReadContext<C>,
  values: ParameterValues,
): Promise<ParameterValues> {
  const shared = (name: string): Float32Array => values.get(`base_model.${name}`) as Float32Array;
  const made = new Map<string, Float32Array>();
  for (const module of context.targets) {
    const own = (await form.derive?.(module, { ...context, shared })) ?? {};
    for (const [suffix, value] of Object.entries(own))
      made.set(`${peftPrefix}${module.path}.${suffix}`, value);
  }
  return made;
}

function named({
  suffix,
  shape,
  isTrained = true,
  isStored = true,
  sharers = [],
}: OwnTensor): [string, ExtraTensor] {
  const copies = sharers.map(({ path }) => `${peftPrefix}${path}.${suffix}`);
  return [suffix, { shape, isTrained, isStored, ...(copies.length > 0 && { copies }) }];
}

async function layerTensor(base: MethodBase, name: string): Promise<Float32Array> {
  const own = await base.readTensor(name);
  if (own) return own;
  throw misfit(t('The base has no tensor "{0}", which the adapter needs.', name));
}

function linearOf<C extends TunerConfig>(
  module: ModuleInfo,
  { form, file }: { form: ModuleForm<C>; file: string },
): LinearModule {
  if (module.kind === "linear" && !module.kernel) return module;
  throw unsupported(
    t(
      "{0}: Graft trains {1} on linear layers alone, and target_modules chooses {2}",
      file,
      form.method.peftType,
      module.path,
    ),
  );
}
