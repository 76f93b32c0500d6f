import { roundToBfloat16, type TorchGenerator, torchGenerator } from "../base/torchRandom.ts";
import type { LayerSize } from "./effect.ts";

/** RandLoRA's shared bases. */
export interface RandomBases {
  /** [r, narrow]: on the smaller side of a layer. */
  readonly a: Float32Array;
  /** [wide, count, r]: on the larger side. */
  readonly b: Float32Array;
  readonly narrow: number;
  readonly count: number;
}

interface BasesConfig {
  readonly r: number;
  readonly projection_prng_key: number;
  readonly sparse: boolean;
  readonly very_sparse: boolean;
}

/**
 * The bases that a seed gives for the largest layer among the targets, A first, then B
 * (PEFT randlora/model.py). Dense ones are drawn and scaled in bfloat16.
 */
export function randomBases(config: BasesConfig, { in: inputs, out }: LayerSize): RandomBases {
  const { r, projection_prng_key: seed } = config;
  const [narrow, wide] = [Math.min(inputs, out), Math.max(inputs, out)];
  const count = Math.ceil(narrow / r);
  const generator = torchGenerator(seed);
  if (config.very_sparse || config.sparse) {
    const sparsity = config.very_sparse ? Math.sqrt(narrow) : 3;
    const a = ternary(generator, r * narrow, sparsity);
    const b = ternary(generator, wide * count * r, sparsity);
    return { a, b, narrow, count };
  }
  const a = dense(generator, r * narrow, narrow);
  const b = new Float32Array(wide * count * r);
  for (let n = 0; n < count; n++) {
    const basis = dense(generator, wide * r, r);
    for (let j = 0; j < wide; j++) {
      b.set(basis.subarray(j * r, (j + 1) * r), (j * count + n) * r);
    }
  }
  const divided = (values: Float32Array): Float32Array => {
    const deviation = roundToBfloat16(standardDeviation(values));
    return values.map((value) => roundToBfloat16(value / deviation));
  };
  return { a: divided(a), b: divided(b), narrow, count };
}

/** torch's kaiming_uniform_ with a = √5: within 1 / √fan in. */
function dense(generator: TorchGenerator, length: number, fanIn: number): Float32Array {
  const bound = Math.sqrt(3) * (Math.sqrt(2 / 6) / Math.sqrt(fanIn));
  return generator.uniformBfloat16(length, -bound, bound);
}

/** −1 and 1 with a probability of 1 / (2 sparsity) each, else 0, then divided by the deviation. */
function ternary(generator: TorchGenerator, length: number, sparsity: number): Float32Array {
  const [low, high] = [Math.fround(1 / (2 * sparsity)), Math.fround(1 - 1 / (2 * sparsity))];
  const signs = generator.uniform(length).map((value) => (value < low ? -1 : value > high ? 1 : 0));
  const deviation = Math.fround(standardDeviation(signs));
  return signs.map((sign) => sign / deviation);
}

/** Unbiased, as torch's std. */
function standardDeviation(values: Float32Array): number {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return Math.sqrt(squares / (values.length - 1));
}
