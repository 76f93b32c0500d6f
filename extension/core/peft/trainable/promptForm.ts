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
import type { PromptConfig } from "../prompt/config.ts";
import { storedPrompt } from "../prompt/virtualTokens.ts";
import { withFields } from "./completedConfig.ts";
import { taskIdsName } from "./names.ts";
import { ParameterInputs } from "./parameters.ts";
import type {
  InitializeOptions,
  Parameter,
  ParameterValues,
  TrainableAdapter,
  TrainableMethod,
  VirtualLabel,
} from "./trainable.ts";

export interface PromptContext<C> {
  readonly config: C;
  readonly file: string;
  readonly base: MethodBase;
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
    const { file } = given;
    const config = parseFields(form.method.schema, given.raw, file) as C;
    requireLanguageModel(given, config, base);
    const context = { config, file, base };
    form.check?.(context);
    return context;
  };
  return {
    peftType: form.method.peftType,
    prepare: (given, base) => {
      const config = completed(given, base, form.fields(contextOf(given, base)));
      return adapterOf(form, config, contextOf(config, base));
    },
    initialize: async ({ config }, base, options) =>
      form.initialize(contextOf(config, base), options),
  };
}

function adapterOf<C extends PromptConfig>(
  form: PromptForm<C>,
  config: AdapterConfig,
  context: PromptContext<C>,
): TrainableAdapter {
  const parameters = form.tensors(context).map(parameterOf);
  const values = valuesOf(form, context, parameters);
  return {
    config,
    parameters,
    layers: null,
    hook: { ...bareLayers, ...form.hook(context, values) },
    dropoutSeed: null,
    virtualTokens: context.config.num_virtual_tokens,
    predictsFirst: form.predictsFirst,
    ...(form.tasks && { tasks: form.tasks(context) }),
    ...(form.virtualLabels && { virtualLabels: form.virtualLabels(context) }),
    ...(form.make && { made: { name: storedPrompt, make: values.prompt } }),
    ...(form.settle && { settle: (own) => form.settle?.(context, own) ?? new Map() }),
  };
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
  parameters: readonly Parameter[],
): PromptValues {
  const inputs = new ParameterInputs(parameters);
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
    num_transformer_submodules: 1,
    num_layers: base.attention.layers,
    num_attention_heads: base.attention.heads,
    ...fields,
  };
  const missing = Object.entries(usual).filter(([name]) => (given.raw[name] ?? null) === null);
  return withFields(given, Object.fromEntries(missing));
}

/** Prompts before decoders are trained alone: no head beside them, no second stack. */
function requireLanguageModel(
  { taskType, file, peftType }: AdapterConfig,
  config: PromptConfig,
  base: MethodBase,
): void {
  const saved = config["modules_to_save"];
  const hasHead = Array.isArray(saved) && saved.length > 0;
  if ((taskType === null || taskType === "CAUSAL_LM") && !hasHead && !base.hasEncoder) return;
  throw unsupported(
    t(
      "{0}: Graft trains {1} before language models alone, without modules_to_save",
      file,
      peftType,
    ),
    t('Set "task_type" to CAUSAL_LM.'),
  );
}
