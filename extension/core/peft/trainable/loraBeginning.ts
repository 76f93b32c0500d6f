/** What LoRA's factors begin with (PEFT tuners/lora/layer.py, update_layer and reset_lora_parameters). */
import type { TorchGenerator } from "../../base/torchRandom.ts";
import type { ModuleInfo } from "../../checkpoint/modules.ts";
import { elementCount, type Shape } from "../../base/shape.ts";
import type { LoraConfig } from "../loraConfig.ts";
import type { Beginning } from "./tuner.ts";

/** A is uniform and B is 0: the adapter begins as the base. */
export function initializeLora(
  _module: ModuleInfo,
  at: Beginning<LoraConfig>,
): Record<string, Float32Array> {
  const { shapes, random } = at;
  const a = shapes["lora_A.weight"] ?? [];
  const b = shapes["lora_B.weight"] ?? [];
  // Both are made as layers, which draw their own weights, before LoRA sets them.
  linearWeight(random, a);
  linearWeight(random, b);
  const bias = shapes["lora_B.bias"];
  if (bias) random.uniform(elementCount(bias));
  return {
    "lora_A.weight": linearWeight(random, a),
    "lora_B.weight": new Float32Array(elementCount(b)),
    ...(bias && { "lora_B.bias": new Float32Array(elementCount(bias)) }),
  };
}

/** torch's kaiming_uniform_(a = √5): ± 1 / √fan_in. */
export function linearWeight(random: TorchGenerator, shape: Shape): Float32Array {
  const bound = Math.sqrt(1 / elementCount(shape.slice(1)));
  return random.uniform(elementCount(shape), -bound, bound);
}
