/** What the training forms of prompt methods share: few tensors, which stand before every sequence. */
import { t } from "@vscode/l10n";
import { unsupported } from "../../base/errors.ts";
import { parseFields } from "../../base/json.ts";
import type { Shape } from "../../base/shape.ts";
import type { AdapterConfig } from "../../checkpoint/adapterConfig.ts";
import type { GraphBuilder } from "../../onnx/builder.ts";
import type { Value } from "../../onnx/graph.ts";
import { bareLayers, type LayerHook } from "../../onnx/layerHook.ts";
import type { Method, MethodBase } from "../method.ts";
import { encoderLayers, type PromptConfig, submodules, tokenEmbedding } from "../prompt/config.ts";
import { storedPrompt } from "../prompt/virtualTokens.ts";
import { isSaved } from "../tuner/wholeParameters.ts";
import { withFields, withTaskHeads } from "./completedConfig.ts";
import { taskIdsName } from "./names.ts";
import { ParameterInputs, promptPrefix } from "./parameters.ts";
import type {
  InitializeOptions,
  Parameter,
  ParameterValues,
  TrainableAdapter,
  TrainableMethod,
  VirtualLabel,
} from "./trainable.ts";
import { inOrder, wholeTensors, type WholeTensor, wholeValues } from "./whole.ts";
import { wholeHook } from "./wholeLayers.ts";

export interface PromptContext<C> {
  readonly config: C;
  readonly file: string;
  readonly base: MethodBase;
  /** PEFT's task_type. */
  readonly taskType: string | null;
}

/** A tensor that a prompt is made of. */
export interface PromptTensor {
  /** Below `prompt_encoder`. */
  readonly name: string;
  /** Its name in the adapter's file; absent for what is not stored there. */
  readonly stored?: string;
  readonly shape: Shape;
  readonly isTrained: boolean;
}

/** What a hook finds in a graph. */
export interface PromptValues {
  /** The prompt as the file has it. */
  prompt(g: GraphBuilder): Value;
  /** One of the tensors. */
  own(g: GraphBuilder, name: string): Value;
  /** The task of each text, int64 [batch]. */
  tasks(g: GraphBuilder): Value;
}

export interface PromptForm<C extends PromptConfig> {
  readonly method: Method;
  /** False for a prefix in the cache, which predicts nothing. */
  readonly predictsFirst: boolean;
  /** True where a decoder behind an encoder gets rows of its own before the answer. */
  readonly precedesAnswer?: boolean;
  /** Refuses, by name, what only runs. */
  check?(context: PromptContext<C>): void;
  /** Fields that PEFT reads off the base (utils/other.py, _prepare_prompt_learning_config). */
  fields(context: PromptContext<C>): Readonly<Record<string, number>>;
  /** In PEFT's order. */
  tensors(context: PromptContext<C>): readonly PromptTensor[];
  initialize(
    context: PromptContext<C>,
    options: InitializeOptions,
  ): ParameterValues | Promise<ParameterValues>;
  /** What is stored in place of tensors that are not: the prompt as the file has it, [virtual tokens, numbers of each]. */
  make?(g: GraphBuilder, context: PromptContext<C>, own: (name: string) => Value): Value;
  /** What PEFT's forward changes before it computes with them. */
  settle?(context: PromptContext<C>, values: ParameterValues): ParameterValues;
  /** What its tokens themselves are to say. */
  virtualLabels?(context: PromptContext<C>): readonly VirtualLabel[];
  /** How many tasks there are, each text being of one. */
  tasks?(context: PromptContext<C>): number;
  /** Puts the prompt before the sequence. */
  hook(context: PromptContext<C>, values: PromptValues): Partial<LayerHook>;
}

/** Makes a training form of a prompt's description. */
export function promptForm<C extends PromptConfig>(form: PromptForm<C>): TrainableMethod {
  const contextOf = (given: AdapterConfig, base: MethodBase): PromptContext<C> => {
    form.method.check(given);
    const { file, taskType } = given;
    const config = parseFields(form.method.schema, given.raw, file) as C;
    const context = { config, file, base, taskType };
    requireTask(given, base);
    refuseTable(context);
    form.check?.(context);
    return context;
  };
  return {
    peftType: form.method.peftType,
    prepare: (given, base) => {
      const config = completed(given, base, form.fields(contextOf(given, base)));
      return adapterOf(form, config, contextOf(config, base));
    },
    initialize: async ({ config }, base, options) => {
      const context = contextOf(config, base);
      const own = await form.initialize(context, options);
      return new Map([...own, ...(await wholeValues(wholeOf(context), base, options.signal))]);
    },
  };
}

function adapterOf<C extends PromptConfig>(
  form: PromptForm<C>,
  config: AdapterConfig,
  context: PromptContext<C>,
): TrainableAdapter {
  const whole = wholeOf(context);
  // PEFT registers the base before what it puts in front.
  const parameters = [
    ...inOrder(context.base.tree, whole, []),
    ...form.tensors(context).map(parameterOf),
  ];
  const inputs = new ParameterInputs(parameters);
  const values = valuesOf(form, context, inputs);
  return {
    config,
    parameters,
    layers: null,
    hook: { ...bareLayers, ...around(wholeHook(whole, inputs), form.hook(context, values)) },
    dropoutSeed: null,
    ...placesOf(form, context),
    predictsFirst: form.predictsFirst,
    ...(form.tasks && { tasks: form.tasks(context) }),
    ...(form.virtualLabels && { virtualLabels: form.virtualLabels(context) }),
    ...(form.make && { made: { name: storedPrompt, make: values.prompt } }),
    ...(form.settle && { settle: (own) => form.settle?.(context, own) ?? new Map() }),
  };
}

/** Where the prompt's tokens stand. */
function placesOf<C extends PromptConfig>(
  { predictsFirst, precedesAnswer = false }: PromptForm<C>,
  context: PromptContext<C>,
): Pick<TrainableAdapter, "virtualTokens" | "answerTokens" | "prefixTokens"> {
  const { base, config } = context;
  const count = config.num_virtual_tokens;
  const isTwice = precedesAnswer && submodules(config, context) === 2;
  if (predictsFirst) return { virtualTokens: count, ...(isTwice && { answerTokens: count }) };
  if (base.hasEncoder) return { answerTokens: count };
  return base.encoder ? { prefixTokens: count } : { virtualTokens: count };
}

function wholeOf({ config, base, file }: PromptContext<PromptConfig>): WholeTensor[] {
  const whole = { modules_to_save: config.modules_to_save, bias: "none" } as const;
  const none = { targets: [], parameters: [] };
  return wholeTensors({ config: whole, base, file, ...none }, promptPrefix);
}

function parameterOf({ name, stored, shape, isTrained }: PromptTensor): Parameter {
  return {
    name: stored ?? name,
    torchName: `prompt_encoder.${name}`,
    shape,
    isTrained,
    isStored: stored !== undefined,
    kind: "embedding",
  };
}

function valuesOf<C extends PromptConfig>(
  form: PromptForm<C>,
  context: PromptContext<C>,
  inputs: ParameterInputs,
): PromptValues {
  const own = (g: GraphBuilder, name: string): Value => inputs.in(g, name);
  return {
    own,
    prompt: oncePerGraph(
      (g) => form.make?.(g, context, (name) => own(g, name)) ?? own(g, storedPrompt),
    ),
    tasks: (g) => inputs.declare(g, taskIdsName, () => g.input(taskIdsName, "int64", ["batch"])),
  };
}

/** A value that several places of a graph read is made once. */
function oncePerGraph(make: (g: GraphBuilder) => Value): (g: GraphBuilder) => Value {
  const made = new WeakMap<GraphBuilder, Value>();
  return (g) => {
    const value = made.get(g) ?? make(g);
    made.set(g, value);
    return value;
  };
}

/** Fields that the config leaves to the base, filled in as PEFT fills them in. */
function completed(
  given: AdapterConfig,
  base: MethodBase,
  fields: Readonly<Record<string, number>>,
): AdapterConfig {
  const usual = {
    num_transformer_submodules: base.hasEncoder ? 2 : 1,
    num_layers: base.hasEncoder ? encoderLayers(base) : base.attention.layers,
    num_attention_heads: base.attention.heads,
    ...fields,
  };
  const missing = Object.entries(usual).filter(([name]) => (given.raw[name] ?? null) === null);
  return withTaskHeads(withFields(given, Object.fromEntries(missing)));
}

/** The prompt's hook, around what is trained whole. */
function around(
  whole: Pick<LayerHook, "linears" | "embedding" | "norm">,
  own: Partial<LayerHook>,
): Partial<LayerHook> {
  const { embedding } = own;
  if (!embedding) return { ...whole, ...own };
  return {
    ...whole,
    ...own,
    embedding: (g, path, at) => embedding(g, path, { ...at, rows: whole.embedding(g, path, at) }),
  };
}

/** Tasks that PEFT puts prompts before, by what the base is. */
const languageTasks: readonly (string | null)[] = [null, "CAUSAL_LM"];
const labelTasks: readonly (string | null)[] = ["SEQ_CLS", "TOKEN_CLS", "QUESTION_ANS"];

/** @throws unsupported for a task that PEFT has no prompts for, or that this base is not for */
function requireTask({ taskType, file, peftType }: AdapterConfig, base: MethodBase): void {
  const known = base.hasEncoder
    ? ["SEQ_2_SEQ_LM"]
    : base.encoder
      ? labelTasks
      : [...languageTasks, ...labelTasks];
  if (known.includes(taskType)) return;
  const names = known.filter((name) => name !== null).join(", ");
  throw unsupported(
    t("{0}: Graft does not train {1} for {2} on this base", file, peftType, String(taskType)),
    t('Set "task_type" to one of {0}.', names),
  );
}

/** A table that is trained whole is not the one that a prompt goes around (PEFT keeps the old one for it). */
function refuseTable({ config, base, file }: PromptContext<PromptConfig>): void {
  const { path } = tokenEmbedding(base);
  if (!isSaved(path, config)) return;
  throw unsupported(
    t('{0}: field "modules_to_save" names {1}, which a prompt goes around', file, path),
    t("Leave it out."),
  );
}
