import { unsupported } from "../base/errors.ts";
import type { BaseCheckpoint } from "../checkpoint/baseCheckpoint.ts";
import type { ModelConfig } from "../checkpoint/modelConfig.ts";
import { bareLayers, type LayerHook } from "../onnx/layerHook.ts";
import type { CausalModel } from "./causalModel.ts";
import type { Family } from "./family.ts";
import { gpt2 } from "./gpt2.ts";
import { llama } from "./llama.ts";
import { mistral } from "./mistral.ts";
import { ModelBuilder } from "./modelBuilder.ts";
import { qwen2 } from "./qwen2.ts";
import { qwen3 } from "./qwen3.ts";

/** Every family that Graft runs; a new one is its file and its line here. */
export const families: readonly Family[] = [llama, mistral, qwen2, qwen3, gpt2];

/** The family of a config; an unknown one is refused by name. */
export function familyOf({ modelType, architecture, file }: ModelConfig): Family {
  const family = families.find((known) => known.modelType === modelType);
  const known = families.map((each) => each.architecture);
  if (!family) {
    throw unsupported(
      `${file}: Graft does not run the model family "${modelType}" yet`,
      `It runs ${known.join(", ")}.`,
    );
  }
  if (architecture !== "" && architecture !== family.architecture) {
    throw unsupported(
      `${file}: Graft does not run the architecture ${architecture} yet`,
      `It runs ${known.join(", ")}.`,
    );
  }
  return family;
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
  return familyOf(checkpoint.config).build(new ModelBuilder(checkpoint, hook, layers));
}

/** The same without a head: the hook is shown the stream behind the last norm. */
export function buildBackbone(checkpoint: BaseCheckpoint, hook: LayerHook): CausalModel {
  return familyOf(checkpoint.config).build(new ModelBuilder(checkpoint, hook, null, false));
}
