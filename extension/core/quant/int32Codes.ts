/** Small integers packed into the 32-bit words of GPTQ and AWQ checkpoints. */
import { t } from "@vscode/l10n";
import { type Dtype, isReadableDtype, toFloat32 } from "../base/dtype.ts";
import { badFile } from "../base/errors.ts";
import { showShape } from "../base/shape.ts";
import type { WeightRef } from "../checkpoint/baseCheckpoint.ts";
import { readTensors } from "../safetensors/read.ts";

/** Weights by the names that parameters have. */
export type Weights = ReadonlyMap<string, WeightRef>;

export function requireRef(weights: Weights, name: string, like: WeightRef): WeightRef {
  const ref = weights.get(name);
  if (ref) return ref;
  throw badFile(like.file, t('tensor "{0}" is missing, "{1}" needs it', name, like.name));
}

/** A tensor's bytes, once its type and shape are what they must be. */
export async function readExactly(
  ref: WeightRef,
  {
    dtype,
    shape,
    signal,
  }: { dtype: Dtype; shape: readonly number[]; signal?: AbortSignal | undefined },
): Promise<Uint8Array> {
  checkShape(ref, shape);
  if (ref.dtype !== dtype)
    throw badFile(ref.file, t('tensor "{0}" is {1}, not {2}', ref.name, ref.dtype, dtype));
  return (await readTensors(ref.file, [ref], signal))[0] as Uint8Array;
}

/** A tensor of any floating-point type as fp32. @throws bad-file for another type or shape */
export async function readFloats(
  ref: WeightRef,
  { shape, signal }: { shape: readonly number[]; signal?: AbortSignal | undefined },
): Promise<Float32Array> {
  checkShape(ref, shape);
  if (!isReadableDtype(ref.dtype)) {
    throw badFile(
      ref.file,
      t('tensor "{0}" is {1}, not a floating-point type', ref.name, ref.dtype),
    );
  }
  return toFloat32((await readTensors(ref.file, [ref], signal))[0] as Uint8Array, ref.dtype);
}

/** @throws bad-file */
export function checkShape({ file, name, shape: own }: WeightRef, shape: readonly number[]): void {
  if (own.length === shape.length && own.every((size, i) => size === shape[i])) return;
  throw badFile(file, t('tensor "{0}" is {1}, not {2}', name, showShape(own), showShape(shape)));
}

/** A tensor of int32 words. @throws bad-file for another type or shape */
export async function readWords(
  ref: WeightRef,
  shape: readonly number[],
  signal?: AbortSignal,
): Promise<Int32Array> {
  const bytes = await readExactly(ref, { dtype: "I32", shape, signal });
  return new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
}

/**
 * Integers that lie one after the other in words, the first in the lowest bits; those of 3 bits go
 * over the ends of words.
 * @param index of the word in which they begin, and how far apart the words are that follow
 * @param read is called with each integer in turn
 */
export function readCodes(
  words: Int32Array,
  at: { start: number; stride: number; bits: number; count: number },
  read: (i: number, code: number) => void,
): void {
  const { start, stride, bits, count } = at;
  const mask = (1 << bits) - 1;
  for (let i = 0; i < count; i++) {
    const bit = i * bits;
    const word = start + (bit >> 5) * stride;
    const shift = bit & 31;
    let code = (words[word] as number) >>> shift;
    if (shift + bits > 32) code |= (words[word + stride] as number) << (32 - shift);
    read(i, code & mask);
  }
}
