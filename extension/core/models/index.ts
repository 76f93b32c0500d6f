import { t } from "@vscode/l10n";
import { GraftError } from "../base/errors.ts";
import type { BaseCheckpoint } from "../checkpoint/baseCheckpoint.ts";
import type { ModelConfig } from "../checkpoint/modelConfig.ts";
import { bareLayers, type LayerHook } from "../onnx/layerHook.ts";
import { type Architecture, architectureIn } from "./architecture.ts";
import { bert } from "./bert.ts";
import type { CausalModel } from "./causalModel.ts";
import { distilbert } from "./distilbert.ts";
import type { Family } from "./family.ts";
import { bloom } from "./bloom.ts";
import { falcon } from "./falcon.ts";
import { gemma } from "./gemma.ts";
import { gemma2 } from "./gemma2.ts";
import { gemma3, gemma3Text } from "./gemma3.ts";
import { gpt2 } from "./gpt2.ts";
import { gptNeox } from "./gptNeox.ts";
import { granite } from "./granite.ts";
import { graniteMoe } from "./graniteMoe.ts";
import { llama } from "./llama.ts";
import { mistral } from "./mistral.ts";
import { mixtral } from "./mixtral.ts";
import type { Model } from "./model.ts";
import { ModelBuilder } from "./modelBuilder.ts";
import { olmo2 } from "./olmo2.ts";
import { olmoe } from "./olmoe.ts";
import { opt } from "./opt.ts";
import { phi } from "./phi.ts";
import { phi3 } from "./phi3.ts";
import { qwen2 } from "./qwen2.ts";
import { qwen2Moe } from "./qwen2Moe.ts";
import { qwen3 } from "./qwen3.ts";
import { qwen3Moe } from "./qwen3Moe.ts";
import { camembert, roberta, xlmRoberta } from "./roberta.ts";
import { smollm3 } from "./smollm3.ts";
import { stablelm } from "./stablelm.ts";
import { starcoder2 } from "./starcoder2.ts";
import { mt5, t5 } from "./t5.ts";
import { vit } from "./vit.ts";

/** Every family that Graft runs; a new one is its file and its line here. */
export const families: readonly Family[] = [
  llama,
  mistral,
  qwen2,
  qwen3,
  gemma,
  gemma2,
  gemma3Text,
  gemma3,
  phi3,
  starcoder2,
  stablelm,
  olmo2,
  granite,
  smollm3,
  gpt2,
  gptNeox,
  opt,
  bloom,
  falcon,
  phi,
  mixtral,
  qwen2Moe,
  qwen3Moe,
  olmoe,
  graniteMoe,
  bert,
  roberta,
  xlmRoberta,
  camembert,
  distilbert,
  t5,
  mt5,
  vit,
];

/** What builds the graph of a config; a family or architecture that is not known is refused by name. */
export function architectureOf(config: ModelConfig): Architecture {
  return architectureIn(families, config);
}

/**
 * Builds the graph of a checkpoint; the hook is put around every linear layer.
 * @param layers the checkpoint's layers in the order in which the model has them; null is each once
 */
export function buildModel(
  checkpoint: BaseCheckpoint,
  hook: LayerHook = bareLayers,
  layers: readonly number[] | null = null,
): Model {
  const { build, ending, backbone } = architectureOf(checkpoint.config);
  const builder = new ModelBuilder(checkpoint, hook, layers, { ending, backbone });
  const model = build(builder);
  const { head } = builder;
  return head ? { ...model, head, tree: { ...model.tree, outputEmbedding: null } } : model;
}

/** The same without a head: the hook is shown the stream behind the last norm. */
export function buildBackbone(checkpoint: BaseCheckpoint, hook: LayerHook): CausalModel {
  const { build } = architectureOf(checkpoint.config);
  const ending = { kind: "none" } as const;
  const model = build(new ModelBuilder(checkpoint, hook, null, { ending }));
  if (model.kind === "causal") return model;
  throw new GraftError("internal", t("{0} is no decoder.", checkpoint.config.architecture));
}
