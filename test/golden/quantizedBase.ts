import type { OnProgress } from "../../extension/core/base/progress.ts";
import type { BaseCheckpoint } from "../../extension/core/checkpoint/baseCheckpoint.ts";
import type { ModuleTree } from "../../extension/core/checkpoint/modules.ts";
import { makeWeights } from "../../extension/core/makeWeights.ts";
import { linearGroup } from "../../extension/core/onnx/layerHook.ts";
import { mapWeights } from "../../extension/core/quant/mapWeights.ts";
import { planWeights } from "../../extension/core/quant/plan.ts";
import type { Quantization } from "../../extension/core/quant/weightSource.ts";

export interface QuantizedBase {
  readonly checkpoint: BaseCheckpoint;
  /** Removes what stands on disk; sessions that map it are closed before. */
  dispose(): Promise<void>;
}

/**
 * A base whose linear layers, the head aside, have the values that bitsandbytes quantizes them to: what
 * QLoRA trains on. The values are exact and the memory is that of the base's own type: they stand
 * dequantized in a temporary file that ONNX Runtime maps, since its NF4 kernel is many times slower
 * than fp32. For int8 the weights alone are rounded; LLM.int8 rounds activations too.
 */
export async function quantizedBase(
  checkpoint: BaseCheckpoint,
  tree: ModuleTree,
  at: {
    quantization: Quantization;
    /** Paths of the modules to round; all linear layers when absent. */
    only?: ReadonlySet<string>;
    onProgress?: OnProgress;
    signal?: AbortSignal;
  },
): Promise<QuantizedBase> {
  const { quantization, only, onProgress, signal } = at;
  const groups = tree.modules.flatMap((module) =>
    module.kind === "linear" ? [linearGroup([module])] : [],
  );
  const request = {
    precision: "auto",
    quantization,
    blockSize: 128,
    skip: [],
    ...(only && { only }),
  } as const;
  const plan = planWeights(checkpoint, { tree, groups }, { request, stored: null });
  const label = quantization.type;
  const made = await makeWeights(checkpoint, plan, {
    request,
    label,
    dir: undefined,
    onProgress,
    signal,
  });
  const mapped = mapWeights(checkpoint, plan, { file: made.file, accuracyLevel: 0 });
  return { checkpoint: mapped, dispose: made.dispose };
}
