import { readFileSync } from "node:fs";
import { elementCount } from "../../extension/core/base/shape.ts";
import { openSafetensors, readTensors } from "../../extension/core/safetensors/read.ts";

/** A tensor of expected.safetensors. */
export interface Truth {
  readonly shape: readonly number[];
  readonly data: Float32Array | BigInt64Array;
}

export async function readTruths(file: string): Promise<Map<string, Truth>> {
  const { tensors } = await openSafetensors(file);
  const bytes = await readTensors(file, tensors);
  return new Map(
    tensors.map(({ name, dtype, shape }, i) => {
      const { buffer } = bytes[i] as Uint8Array;
      const length = elementCount(shape);
      const data =
        dtype === "I64"
          ? new BigInt64Array(buffer, 0, length)
          : new Float32Array(buffer, 0, length);
      return [name, { shape, data }];
    }),
  );
}

/** JSON as Python writes it: NaN and Infinity stand bare and become null. */
export function readJson<T>(file: string): T {
  const text = readFileSync(file, "utf8").replace(/(?<=[:,[]\s*)-?(?:NaN|Infinity)/g, "null");
  return JSON.parse(text) as T;
}

/** Rows of an int64 matrix [rows, columns] as numbers. */
export function integerRows({ shape, data }: Truth): number[][] {
  const [rows = 1, columns = data.length] = shape.length === 1 ? [1, shape[0]] : shape;
  const flat = Array.from(data, Number);
  return Array.from({ length: rows }, (_, i) => flat.slice(i * columns, (i + 1) * columns));
}

/** Largest absolute difference of logits [batch, seq, vocab], masked positions aside, or [batch, labels]. */
export function logitDifference(
  actual: Float32Array,
  expected: Truth,
  mask: readonly (readonly number[])[],
): number {
  const { shape } = expected;
  const isPooled = shape.length === 2;
  const [batch = 0, seq = 0, vocabulary = 0] = isPooled ? [shape[0], 1, shape[1]] : shape;
  if (actual.length !== expected.data.length) return Infinity;
  let largest = 0;
  for (let row = 0; row < batch; row++) {
    for (let position = 0; position < seq; position++) {
      if (!isPooled && mask[row]?.[position] === 0) continue;
      const start = (row * seq + position) * vocabulary;
      for (let i = start; i < start + vocabulary; i++) {
        const difference = Math.abs((actual[i] as number) - Number(expected.data[i]));
        if (!(difference <= largest)) largest = Number.isNaN(difference) ? Infinity : difference;
      }
    }
  }
  return largest;
}
