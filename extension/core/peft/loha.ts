/**
 * LoHa (https://arxiv.org/abs/2108.06098; PEFT tuners/loha): ΔW = alpha / r · (w1a w1b) ⊙ (w2a w2b).
 * The product of two rank-r matrices, element by element, has rank r²: its factors are all products
 * of a column of w1a with one of w2a, and of a row of w1b with one of w2b. That is the low-rank path;
 * where r² outgrows the layer, the dense difference is cheaper.
 */
import { z } from "zod";
import { multiply } from "../base/matrix.ts";
import type { Shape } from "../base/shape.ts";
import type { LinearModule } from "../onnx/layerHook.ts";
import { loraTargets } from "./defaultTargets.ts";
import type { LinearEffect } from "./effect.ts";
import {
  isKernelApart,
  isLowRank,
  kernelProduct,
  lycorisFieldInfo,
  lycorisFields,
  lycorisScale,
} from "./lycorisConfig.ts";
import { tunerMethod } from "./tuner/tuner.ts";

const schema = z.looseObject({ ...lycorisFields, init_weights: z.boolean().default(true) });

export type LohaConfig = z.infer<typeof schema>;

export const loha = tunerMethod<LohaConfig>({
  peftType: "LOHA",
  schema,
  fields: lycorisFieldInfo,
  defaultTargets: loraTargets,
  suffixes: ["hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b", "hada_t1", "hada_t2"],
  convolutions: true,
  kinds: ["linear"],
  rank: ({ r }) => r,
  scale: lycorisScale,
  shapes: (module, config, file): Record<string, Shape> => {
    const { rank } = lycorisScale(config, module.path, file);
    const inputs = module.kind === "norm" ? 0 : module.in;
    if (isKernelApart(module, config)) {
      const [channels, ...size] = module.kernel;
      const [a, b, t] = [
        [rank, module.out],
        [rank, channels],
        [rank, rank, ...size],
      ];
      return {
        ...{ hada_w1_a: a, hada_w1_b: b, hada_t1: t },
        ...{ hada_w2_a: a, hada_w2_b: b, hada_t2: t },
      };
    }
    return {
      hada_w1_a: [module.out, rank],
      hada_w1_b: [rank, inputs],
      hada_w2_a: [module.out, rank],
      hada_w2_b: [rank, inputs],
    };
  },
  linear: (module, tensors, { config, file }) => {
    const { rank, scaling } = lycorisScale(config, module.path, file);
    if (isKernelApart(module, config)) {
      const [, height, width] = module.kernel;
      const part = (name: string): Float32Array => tensors.values(`hada_${name}`);
      const [left, right] = ([1, 2] as const).map((i) =>
        kernelProduct(
          { t: part(`t${i}`), a: part(`w${i}_a`), b: part(`w${i}_b`) },
          { rank, pixels: height * width },
        ),
      ) as [Float32Array, Float32Array];
      return { delta: left.map((value, i) => scaling * value * (right[i] as number)) };
    }
    const factors: Factors = {
      first: { a: tensors.values("hada_w1_a"), b: tensors.values("hada_w1_b") },
      second: { a: tensors.values("hada_w2_a"), b: tensors.values("hada_w2_b") },
      rank,
      scaling,
    };
    return isLowRank(rank * rank, module) ? products(module, factors) : dense(module, factors);
  },
});

/** Two updates a [out, rank] · b [rank, in] that are multiplied element by element. */
interface Factors {
  readonly first: { readonly a: Float32Array; readonly b: Float32Array };
  readonly second: { readonly a: Float32Array; readonly b: Float32Array };
  readonly rank: number;
  readonly scaling: number;
}

function products(
  { in: inputs, out }: LinearModule,
  { first, second, rank, scaling }: Factors,
): LinearEffect {
  const pairs = rank * rank;
  const a = Float32Array.from({ length: pairs * inputs }, (_, i) => {
    const [pair, column] = [Math.floor(i / inputs), i % inputs];
    const [j, k] = [Math.floor(pair / rank), pair % rank];
    return (first.b[j * inputs + column] as number) * (second.b[k * inputs + column] as number);
  });
  const b = Float32Array.from({ length: out * pairs }, (_, i) => {
    const [row, pair] = [Math.floor(i / pairs), i % pairs];
    const [j, k] = [Math.floor(pair / rank), pair % rank];
    return scaling * (first.a[row * rank + j] as number) * (second.a[row * rank + k] as number);
  });
  return { lowRank: { a, b, rank: pairs } };
}

function dense(
  { in: inputs, out }: LinearModule,
  { first, second, rank, scaling }: Factors,
): LinearEffect {
  const size = { rows: out, inner: rank, columns: inputs };
  const left = multiply(first.a, first.b, size);
  const right = multiply(second.a, second.b, size);
  return { delta: Float32Array.from(left, (value, i) => scaling * value * (right[i] as number)) };
}
