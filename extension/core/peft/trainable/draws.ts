/** How PyTorch fills new tensors (torch.nn.init), number for number from one generator. */
import { elementCount, type Shape } from "../../base/shape.ts";
import type { TorchGenerator } from "../../base/torchRandom.ts";

export function filled(shape: Shape, value: number): Float32Array {
  return new Float32Array(elementCount(shape)).fill(value);
}

export function zeros(shape: Shape): Float32Array {
  return new Float32Array(elementCount(shape));
}

/** `kaiming_uniform_(tensor, a=√5)`: uniform within ± 1 / √fan_in, which is every size but the first. */
export function kaiming(random: TorchGenerator, shape: Shape): Float32Array {
  const bound = 1 / Math.sqrt(elementCount(shape.slice(1)));
  return random.uniform(elementCount(shape), -bound, bound);
}

/** Tensors as Kaiming has them in their order, but for those that begin with zeros and draw nothing. */
export function kaimingOrZeros(
  random: TorchGenerator,
  tensors: readonly { readonly suffix: string; readonly shape: Shape }[],
  isZero: (suffix: string) => boolean,
): Record<string, Float32Array> {
  const drawn = tensors.map(
    ({ suffix, shape }) =>
      [suffix, isZero(suffix) ? zeros(shape) : kaiming(random, shape)] as const,
  );
  return Object.fromEntries(drawn);
}

/** `torch.randn(shape)`, or `normal_` with another mean and deviation. */
export function normal(
  random: TorchGenerator,
  shape: Shape,
  [mean, deviation]: readonly [number, number] = [0, 1],
): Float32Array {
  return random.normal(elementCount(shape), mean, deviation);
}

/** Weight [out, in] and bias [out] of a new `nn.Linear`. */
export function newLinear(
  random: TorchGenerator,
  [out, inputs]: readonly [number, number],
  hasBias = true,
): { weight: Float32Array; bias: Float32Array } {
  const weight = kaiming(random, [out, inputs]);
  const bound = 1 / Math.sqrt(inputs);
  const bias = hasBias ? random.uniform(out, -bound, bound) : new Float32Array(out);
  return { weight, bias };
}
