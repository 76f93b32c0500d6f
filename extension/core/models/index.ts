import { unsupported } from "../base/errors.ts";
import type { BaseCheckpoint } from "../checkpoint/baseCheckpoint.ts";
import type { ModelConfig } from "../checkpoint/modelConfig.ts";
import { bareLayers, type LayerHook } from "../onnx/layerHook.ts";
import type { CausalModel } from "./causalModel.ts";
import type { Family } from "./family.ts";
import { gemma } from "./gemma.ts";
import { gemma2 } from "./gemma2.ts";
import { gemma3, gemma3Text } from "./gemma3.ts";
import { gpt2 } from "./gpt2.ts";
import { granite } from "./granite.ts";
import { llama } from "./llama.ts";
import { mistral } from "./mistral.ts";
import { ModelBuilder } from "./modelBuilder.ts";
import { olmo2 } from "./olmo2.ts";
import { phi3 } from "./phi3.ts";
import { qwen2 } from "./qwen2.ts";
import { qwen3 } from "./qwen3.ts";
import { smollm3 } from "./smollm3.ts";
import { stablelm } from "./stablelm.ts";
import { starcoder2 } from "./starcoder2.ts";

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
];

/** The architectures that Graft runs, as config.json names them. */
export function knownArchitectures(): string[] {
  return families.flatMap(({ architectures }) => Object.keys(architectures));
}

/** What builds the graph of a config; a family or architecture that is not known is refused by name. */
export function builderOf({
  modelType,
  architecture,
  file,
}: ModelConfig): (m: ModelBuilder) => CausalModel {
  const family = families.find((known) => known.modelType === modelType);
  if (!family) {
    throw unsupported(
      `${file}: Graft does not run the model family "${modelType}" yet`,
      `It runs ${families.map((known) => known.modelType).join(", ")}.`,
    );
  }
  const [first] = Object.values(family.architectures);
  const build = architecture === "" ? first : family.architectures[architecture];
  if (!build) {
    throw unsupported(
      `${file}: Graft does not run the architecture ${architecture} yet`,
      `It runs ${knownArchitectures().join(", ")}.`,
    );
  }
  return build;
}

/**
 * Builds the graph of a checkpoint; the hook is put around every linear layer.
 * @param layers the checkpoint's layers in the order in which the model has them; null is each once
 */
export function buildModel(
  checkpoint: BaseCheckpoint,
  hook: LayerHook = bareLayers,
  layers: readonly number[] | null = null,
): CausalModel {
  return builderOf(checkpoint.config)(new ModelBuilder(checkpoint, hook, layers));
}

/** The same without a head: the hook is shown the stream behind the last norm. */
export function buildBackbone(checkpoint: BaseCheckpoint, hook: LayerHook): CausalModel {
  return builderOf(checkpoint.config)(new ModelBuilder(checkpoint, hook, null, false));
}
