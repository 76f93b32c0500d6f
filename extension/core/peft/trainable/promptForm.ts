/** What the training forms of prompt methods share: few tensors, which stand before every sequence. */
import { t } from "@vscode/l10n";
import { unsupported } from "../../base/errors.ts";
import { parseFields } from "../../base/json.ts";
import type { Shape } from "../../base/shape.ts";
import type { TorchGenerator } from "../../base/torchRandom.ts";
import type { AdapterConfig } from "../../checkpoint/adapterConfig.ts";
import type { GraphBuilder } from "../../onnx/builder.ts";
import type { Value } from "../../onnx/graph.ts";
import { bareLayers, type LayerHook } from "../../onnx/layerHook.ts";
import type { Method, MethodBase } from "../method.ts";
import type { PromptConfig } from "../prompt/config.ts";
import { ParameterInputs } from "./parameters.ts";
import type { Parameter, ParameterValues, TrainableMethod } from "./trainable.ts";

export interface PromptContext<C> {
  readonly config: C;
  readonly file: string;
  readonly base: MethodBase;
}

export interface PromptForm<C extends PromptConfig> {
  readonly method: Method;
  /** False for a prefix in the cache, which predicts nothing. */
  readonly predictsFirst: boolean;
  /** Refuses, by name, what only runs. */
  check?(context: PromptContext<C>): void;
  /** Name on disk, name in PEFT, shape. */
  tensor(context: PromptContext<C>): { name: string; torchName: string; shape: Shape };
  initialize(
    context: PromptContext<C>,
    random: TorchGenerator,
  ): Float32Array | Promise<Float32Array>;
  /** Puts the tensor before the sequence. */
  hook(context: PromptContext<C>, own: (g: GraphBuilder) => Value): Partial<LayerHook>;
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
    prepare: (config, base) => {
      const context = contextOf(config, base);
      const tensor = form.tensor(context);
      const parameter: Parameter = {
        ...tensor,
        isTrained: true,
        isStored: true,
        kind: "embedding",
      };
      const inputs = new ParameterInputs([parameter]);
      const own = (g: GraphBuilder): Value => inputs.in(g, tensor.name);
      return {
        config,
        parameters: [parameter],
        layers: null,
        hook: { ...bareLayers, ...form.hook(context, own) },
        dropoutSeed: null,
        virtualTokens: context.config.num_virtual_tokens,
        predictsFirst: form.predictsFirst,
      };
    },
    initialize: async ({ config }, base, { random }): Promise<ParameterValues> => {
      const context = contextOf(config, base);
      return new Map([[form.tensor(context).name, await form.initialize(context, random)]]);
    },
  };
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
