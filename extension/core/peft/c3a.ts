/**
 * C3A, circular convolution (https://arxiv.org/abs/2407.19342; PEFT tuners/c3a): ΔW consists of
 * circulant blocks, ΔW[p b + i, q b + j] = k[p, q, (j − i) mod b] / in (c3a/utils.py,
 * get_circulant_fast). Circulant blocks have full rank: a dense Δ.
 */
import { t } from "@vscode/l10n";
import { z } from "zod";
import { misfit } from "../base/errors.ts";
import type { ModuleInfo } from "../checkpoint/modules.ts";
import type { LinearModule } from "../onnx/layerHook.ts";
import { type DefaultTargets, loraTargets } from "./defaultTargets.ts";
import type { LinearEffect } from "./effect.ts";
import { tunerFields, wholeNumber } from "./tuner/config.ts";
import { matchNameEnd, numberPattern } from "./tuner/patterns.ts";
import type { ModuleTensors } from "./tuner/tensors.ts";
import { type TunerContext, tunerMethod } from "./tuner/tuner.ts";

const c3aSchema = z.looseObject({
  ...tunerFields,
  block_size: wholeNumber.default(256),
  block_size_pattern: numberPattern,
});

export type C3aConfig = z.infer<typeof c3aSchema>;

export const c3a = tunerMethod<C3aConfig>({
  peftType: "C3A",
  schema: c3aSchema,
  fields: {
    block_size: { default: 256, meaning: t("Size of a circulant block.") },
    block_size_pattern: { default: {}, meaning: t("Block sizes of single modules.") },
    init_weights: {
      default: "xavier_uniform",
      meaning: t("How the kernels were initialised before training."),
    },
    bias: { default: "none", meaning: t("Which biases were trained and are stored.") },
  },
  defaultTargets: spectralTargets,
  suffixes: ["c3a_kernel"],
  kinds: ["linear"],
  rank: () => null,
  shapes: (module, config, file) => {
    const size = blockSize(module, config, file);
    const inputs = module.kind === "linear" ? module.in : 0;
    return { c3a_kernel: [module.out / size, inputs / size, size] };
  },
  linear: linearEffect,
});

/** LoRA's defaults, except in GPT-2 and its like; FourierFT and WaveFT have the same. */
export function spectralTargets(modelType: string): DefaultTargets {
  return modelType === "gpt2" || modelType === "gpt_bigcode"
    ? ["mlp.c_proj"]
    : loraTargets(modelType);
}

/** Side of a module's circulant blocks. @throws misfit when they cannot tile it */
export function blockSize(module: ModuleInfo, config: C3aConfig, file: string): number {
  const { block_size: common, block_size_pattern: patterns } = config;
  const size = matchNameEnd(patterns, module.path, { field: "block_size_pattern", file }) ?? common;
  const inputs = module.kind === "linear" ? module.in : 0;
  if (inputs % size !== 0 || module.out % size !== 0) {
    throw misfit(
      t(
        "{0}: blocks of {1} cannot tile {2}, which is [{3}, {4}].",
        file,
        size,
        module.path,
        module.out,
        inputs,
      ),
    );
  }
  return size;
}

function linearEffect(
  { in: inputs, out }: LinearModule,
  tensors: ModuleTensors,
  _context: TunerContext<C3aConfig>,
): LinearEffect {
  const kernel = tensors.values("c3a_kernel");
  const [, across = 0, size = 0] = tensors.shape("c3a_kernel");
  const delta = new Float32Array(out * inputs);
  for (let row = 0; row < out; row++) {
    for (let column = 0; column < inputs; column++) {
      const block = Math.floor(row / size) * across + Math.floor(column / size);
      const turn = ((column % size) - (row % size) + size) % size;
      delta[row * inputs + column] = (kernel[block * size + turn] as number) / inputs;
    }
  }
  return { delta };
}
