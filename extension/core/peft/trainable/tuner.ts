/**
 * What all methods that change modules share when they are trained: which modules are targeted, what
 * is trained whole beside them, and how formulas get around the base's layers. A method's file says
 * its formula and how its own tensors begin.
 */
import { t } from "@vscode/l10n";
import type { TorchGenerator } from "../../base/torchRandom.ts";
import { misfit } from "../../base/errors.ts";
import { elementCount, type Shape } from "../../base/shape.ts";
import type { AdapterConfig } from "../../checkpoint/adapterConfig.ts";
import type { ModuleInfo } from "../../checkpoint/modules.ts";
import type { ParameterTarget } from "../../checkpoint/parameters.ts";
import type { GraphBuilder } from "../../onnx/builder.ts";
import type { Value } from "../../onnx/graph.ts";
import type { ExpertMatrix, LinearModule } from "../../onnx/layerHook.ts";
import type { MethodBase } from "../method.ts";
import type { TunerConfig } from "../tuner/config.ts";
import type { TunerMethod, TunerPlan } from "../tuner/tuner.ts";
import { completedConfig, withFields } from "./completedConfig.ts";
import type { ModuleMasks } from "./dropout.ts";
import { type BeginningWork, eachModule } from "./eachModule.ts";
import { tunerHook } from "./hook.ts";
import { parametersOf } from "./parametersOf.ts";
import { dropoutSeedName } from "./names.ts";
import { ParameterInputs, peftPrefix } from "./parameters.ts";
import type {
  InitializeOptions,
  ParameterKind,
  ParameterValues,
  PlainForm,
  PrepareOptions,
  TrainableAdapter,
  TrainableMethod,
} from "./trainable.ts";
import { type TokenTable, tokenTables, tokenValues } from "./tokenRows.ts";
import { wholeTensors, type WholeTensor, wholeValues } from "./whole.ts";

/** What a formula has at hand in the graph. */
export interface TrainedModule<C, M extends ModuleInfo = ModuleInfo> {
  readonly g: GraphBuilder;
  readonly config: C;
  readonly file: string;
  readonly module: M;
  /** A tensor of this module by what follows its path on disk. */
  parameter(suffix: string): Value;
  /** A tensor that is stored once for all modules, by its name without PEFT's prefix. */
  shared(name: string): Value;
  /**
   * x [..., size] with each number left out with this probability, the others scaled up; x itself for
   * 0. The size is the module's inputs where none is given.
   */
  dropout(x: Value, probability: number, size?: number): Value;
  /**
   * A number between 0 and 1 for each of x's rows and `size` columns, drawn anew for every micro-batch;
   * other numbers for another `salt`. Null in evaluation.
   */
  chance(x: Value, at: ChanceAt): Value | null;
  /** Each text's task, [batch] int64. */
  tasks(): Value;
  /** What is left out of a module by more than single numbers. */
  readonly masks: ModuleMasks;
}

/** What is drawn, and for what. */
export interface ChanceAt {
  readonly size: number;
  readonly salt: string;
  /** x's rows are texts, not tokens. */
  readonly isPerText?: boolean;
}

/** A targeted linear layer. */
export interface TrainedLayer<C> extends TrainedModule<C, LinearModule> {
  /** [batch, seq, in] */
  readonly x: Value;
  /** What the base makes of its input, or of another one; bias included. */
  base(x?: Value): Value;
  /** W x, without the bias. */
  product(x: Value): Value;
  /** [out, in] as y = W x, in fp32. */
  weight(): Value;
  /** [out], or null; the trained one where biases are trained. */
  bias(): Value | null;
  /** Which tokens come after an invocation, [batch, seq, 1] of 0 and 1; only with `invocation`. */
  active(): Value;
}

/** A targeted table. */
export interface TrainedTable<C> extends TrainedModule<C> {
  /** [batch, seq] */
  readonly ids: Value;
  /** [batch, seq, dim] */
  readonly rows: Value;
  /** [rows, dim] */
  table(): Value;
}

/** A matrix of experts whose parameter is targeted. */
export interface TrainedExperts<C> extends Omit<
  TrainedModule<C>,
  "module" | "dropout" | "chance" | "tasks" | "masks"
> {
  readonly target: ParameterTarget;
  readonly matrix: ExpertMatrix;
}

/** Where a tensor's first values come from. */
export interface Beginning<C> {
  readonly config: C;
  readonly file: string;
  readonly base: MethodBase;
  readonly shapes: Readonly<Record<string, Shape>>;
  readonly random: TorchGenerator;
  readonly data: InitializeOptions["data"];
  readonly signal: AbortSignal | undefined;
}

/** Tensors that a method adds to what is on disk: fed, perhaps trained, with a shape of their own. */
export interface ExtraTensor {
  readonly shape: Shape;
  readonly isTrained: boolean;
  /** Only in the graph: it follows from the base. */
  readonly isStored: boolean;
  /** Names under which the file has it once more. */
  readonly copies?: readonly string[];
}

export interface TrainableTuner<C extends TunerConfig> {
  readonly method: TunerMethod<C>;
  /**
   * What a new adapter may begin with although files that say so are refused: it is planned with what
   * stands in its place.
   */
  readonly newOnly?: {
    readonly field: string & keyof C;
    readonly values: RegExp;
    readonly place: unknown;
  };
  /** The form in which an adapter is saved, where that is not its own. */
  plain?(adapter: Pick<TrainableAdapter, "parameters">, plan: TunerPlan<C>): PlainForm | null;
  /** Refuses, by name, what is run but not trained. */
  check?(config: C, at: { raw: AdapterConfig; base: MethodBase }): void;
  /** All tensors of a module in PEFT's order, where that is more than its stored form tells. */
  tensors?(module: ModuleInfo, plan: TunerPlan<C>): Readonly<Record<string, ExtraTensor>>;
  /** Tensors of a module beside those that its stored form lists, in PEFT's order behind them. */
  extraTensors?(module: ModuleInfo, plan: TunerPlan<C>): Readonly<Record<string, ExtraTensor>>;
  /** The path of the module whose tensor a module computes with, where that may be another's. */
  ownerOf?(module: ModuleInfo, suffix: string, plan: TunerPlan<C>): string;
  /** Tensors that are stored once, by name without PEFT's prefix. */
  sharedTensors?(plan: TunerPlan<C>): Readonly<Record<string, ExtraTensor>>;
  /** False for what stays as it began; all are trained without it. */
  isTrained?(suffix: string, config: C): boolean;
  kindOf?(suffix: string): ParameterKind;
  /** As named_parameters() calls it, where that is not the name on disk. */
  torchSuffix?(suffix: string): string;
  /** Rows of tables that are trained; those of `trainable_token_indices` are known. */
  tokens?(plan: TunerPlan<C>): readonly TokenTable[];
  /** Tokens from whose last occurrence on the adapter acts (aLoRA). */
  invocation?(config: C): readonly number[];
  linear?(layer: TrainedLayer<C>): Value;
  /** What a layer makes of its rows [batch, seq, dim]. */
  embedding?(table: TrainedTable<C>): Value;
  /** The weight [size] of a norm, given the base's. */
  norm?(norm: TrainedModule<C>, weight: Value): Value;
  experts?(experts: TrainedExperts<C>): Value;
  /** The same for parameters of layers and tables that are targeted by their own names. */
  parameterLinear?(layer: TrainedLayer<C>, name: string): Value;
  parameterRows?(table: TrainedTable<C>, name: string): Value;
  /** Values of a module's tensors by suffix, drawn in PEFT's order. */
  initialize(
    module: ModuleInfo,
    at: Beginning<C>,
  ): Promise<Readonly<Record<string, Float32Array>>> | Readonly<Record<string, Float32Array>>;
  initializeParameter?(
    target: ParameterTarget,
    at: Beginning<C>,
  ): Readonly<Record<string, Float32Array>>;
  /** Drawn before those of any module. */
  initializeShared?(
    plan: TunerPlan<C>,
    at: Omit<Beginning<C>, "shapes">,
  ): Promise<Readonly<Record<string, Float32Array>>>;
  /** Probability of dropout, which the hook may need a seed for. */
  dropout?(config: C): number;
  /** True where the formula draws in training (`chance`). */
  readonly draws?: boolean;
  /** How many tasks texts may be of, where a formula asks. */
  tasks?(config: C): number;
  /** Reads what the shapes of a module's tensors follow from, before anything else is asked. */
  look?(plan: TunerPlan<C>, work: BeginningWork): Promise<void>;
  /** Multiplications that finding a module's first values takes; absent where these are few. */
  cost?(module: ModuleInfo, plan: TunerPlan<C>): number;
  /** What is not stored and follows from what is, anew for a file's values. */
  derive?(plan: TunerPlan<C>, values: ParameterValues): Promise<ParameterValues>;
}

/** A method and what it was prepared for. */
export interface Prepared<C extends TunerConfig> extends TrainableAdapter {
  readonly plan: TunerPlan<C>;
  readonly whole: readonly WholeTensor[];
  readonly tokens: readonly TokenTable[];
}

/** Makes a training form of a tuner's description. */
export function trainableTuner<C extends TunerConfig>(tuner: TrainableTuner<C>): TrainableMethod {
  // What belongs to an adapter is asked for again when it is initialised.
  const prepared = new WeakMap<TrainableAdapter, Prepared<C>>();
  const prepare = (
    config: AdapterConfig,
    base: MethodBase,
    options: PrepareOptions = {},
  ): Prepared<C> => {
    const own = prepareTuner(tuner, config, { base, ...options });
    prepared.set(own, own);
    return own;
  };
  const of = (adapter: TrainableAdapter, base: MethodBase): Prepared<C> =>
    prepared.get(adapter) ?? prepare(adapter.config, base);
  const { derive } = tuner;
  return {
    peftType: tuner.method.peftType,
    prepare,
    ...(tuner.look && {
      look: async (config, base, work = {}) => {
        const completed = completedConfig(config, base, tuner.method);
        await tuner.look?.(tuner.method.plan(completed, base), work);
      },
    }),
    arrange: (tensors, base, file) => tuner.method.arrange(tensors, base, file),
    initialize: (adapter, base, options) => initialize(tuner, of(adapter, base), options),
    ...(derive && {
      derive: (adapter, base, values) => derive(of(adapter, base).plan, values),
    }),
  };
}

function prepareTuner<C extends TunerConfig>(
  tuner: TrainableTuner<C>,
  given: AdapterConfig,
  { base, isQuiet = false }: PrepareOptions & { base: MethodBase },
): Prepared<C> {
  const { config, plan, warnings } = planOf(tuner, given, base);
  tuner.check?.(plan.config, { raw: config, base: plan.base });
  if (plan.targets.length + plan.parameters.length === 0) {
    throw misfit(
      t(
        '{0}: field "target_modules" names no module of this base: {1}.',
        config.file,
        JSON.stringify(config.raw["target_modules"]),
      ),
    );
  }
  const whole = wholeTensors(plan);
  const tokens = [...tokenTables(plan), ...(tuner.tokens?.(plan) ?? [])];
  const parameters = parametersOf(tuner, plan, { whole, tokens });
  const inputs = new ParameterInputs(parameters);
  const isDrawn = !isQuiet && ((tuner.dropout?.(plan.config) ?? 0) > 0 || tuner.draws === true);
  const plain = tuner.plain?.({ parameters }, plan) ?? null;
  return {
    config,
    warnings,
    ...(plain && { plain }),
    plan,
    whole,
    tokens,
    parameters,
    layers: plan.layers,
    hook: tunerHook(tuner, plan, { inputs, whole, tokens, isQuiet }),
    dropoutSeed: isDrawn ? dropoutSeedName : null,
    ...(tuner.tasks && { tasks: tuner.tasks(plan.config) }),
    ...(tuner.cost && { beginningCost: costOf(tuner, plan) }),
  };
}

function costOf<C extends TunerConfig>({ cost }: TrainableTuner<C>, plan: TunerPlan<C>): number {
  return plan.targets.reduce((sum, { module }) => sum + (cost?.(module, plan) ?? 0), 0);
}

/** The config as PEFT completes it, where its tensors go, and what is said of it. */
function planOf<C extends TunerConfig>(
  { method, newOnly }: TrainableTuner<C>,
  given: AdapterConfig,
  base: MethodBase,
): { config: AdapterConfig; plan: TunerPlan<C>; warnings: readonly string[] } {
  const own = newOnly && given.raw[newOnly.field];
  const isNewOnly = newOnly?.values.test(String(own)) === true;
  const known = isNewOnly ? withFields(given, { [newOnly.field]: newOnly.place }) : given;
  const completed = completedConfig(known, base, method);
  const plan = method.plan(completed, base);
  const warnings = method.configWarnings(known, plan);
  if (!isNewOnly) return { config: completed, plan, warnings };
  return {
    config: withFields(completed, { [newOnly.field]: own }),
    plan: { ...plan, config: { ...plan.config, [newOnly.field]: own } },
    warnings,
  };
}

async function initialize<C extends TunerConfig>(
  tuner: TrainableTuner<C>,
  { plan, whole, tokens, parameters }: Prepared<C>,
  { random, data, ...work }: InitializeOptions,
): Promise<ParameterValues> {
  if (work.sizesOnly) {
    return new Map(
      parameters.map(({ name, shape }) => [name, new Float32Array(elementCount(shape))]),
    );
  }
  const { config, file, base } = plan;
  const { signal } = work;
  const common = { config, file, base, random, data, signal };
  const values = new Map<string, Float32Array>();
  const take = (path: string, made: Readonly<Record<string, Float32Array>>): void => {
    for (const [suffix, value] of Object.entries(made)) values.set(`${path}.${suffix}`, value);
  };
  const shared = (await tuner.initializeShared?.(plan, common)) ?? {};
  for (const [name, value] of Object.entries(shared)) values.set(`base_model.${name}`, value);
  const step = t("Finding first values");
  const moduleCost = ({ module }: { module: ModuleInfo }): number =>
    tuner.cost?.(module, plan) ?? 1;
  const at = { step, costOf: moduleCost, work };
  await eachModule(plan.targets, at, async ({ module, shapes }) =>
    take(`${peftPrefix}${module.path}`, await tuner.initialize(module, { ...common, shapes })),
  );
  for (const { target, shapes } of plan.parameters) {
    const made = tuner.initializeParameter?.(target, { ...common, shapes });
    take(`${peftPrefix}${target.stored}`, made ?? {});
  }
  for (const [name, value] of await wholeValues(whole, base, signal)) values.set(name, value);
  for (const [name, value] of await tokenValues(tokens, base, signal)) values.set(name, value);
  return values;
}
