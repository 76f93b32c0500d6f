import { readFileSync } from "node:fs";
import * as path from "node:path";
import { elementCount } from "../../extension/core/base/shape.ts";
import type { StoredTensor } from "../../extension/core/quant/bitsandbytes.ts";
import type { TensorEntry } from "../../extension/core/safetensors/header.ts";
import { openSafetensors, readTensors } from "../../extension/core/safetensors/read.ts";

/** A tensor of expected.safetensors. */
export interface Truth {
  readonly shape: readonly number[];
  readonly data: Float32Array | BigInt64Array;
}

/**
 * The tensors of a truth file by name. Those that cases have in common may lie in shared.safetensors
 * beside the case's folder (compact.py), where the file's metadata names them.
 */
export async function readTruths(file: string): Promise<Map<string, Truth>> {
  const stored = await readStored(file);
  return new Map(
    [...stored].map(([name, { dtype, shape, bytes }]) => {
      const length = elementCount(shape);
      const data =
        dtype === "I64"
          ? new BigInt64Array(bytes.buffer, bytes.byteOffset, length)
          : new Float32Array(bytes.buffer, bytes.byteOffset, length);
      return [name, { shape, data }];
    }),
  );
}

/** The same as bytes, in the order of the file, or of names where some lie elsewhere. */
export async function readStored(file: string): Promise<Map<string, StoredTensor>> {
  const { tensors, metadata } = await openSafetensors(file);
  const own = await tensorsOf(file, tensors);
  const shared = references(metadata, "shared:");
  const same = references(metadata, "same:");
  if (shared.size + same.size === 0) return own;
  const sharedFile = path.join(path.dirname(path.dirname(file)), "shared.safetensors");
  const names = new Set(shared.values());
  const beside = shared.size > 0 ? (await openSafetensors(sharedFile)).tensors : [];
  const found = await tensorsOf(
    sharedFile,
    beside.filter(({ name }) => names.has(name)),
  );
  const take = (name: string, tensor: StoredTensor | undefined): void => {
    if (!tensor) throw new Error(`${file} names a tensor for ${name} that is not there`);
    own.set(name, tensor);
  };
  for (const [name, place] of shared) take(name, found.get(place));
  for (const [name, other] of same) take(name, own.get(other));
  return new Map([...own].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Which tensor stands for which, by the metadata's keys with a prefix. */
function references(
  metadata: Readonly<Record<string, string>>,
  prefix: string,
): Map<string, string> {
  const found = Object.entries(metadata).filter(([key]) => key.startsWith(prefix));
  return new Map(found.map(([key, value]) => [key.slice(prefix.length), value]));
}

async function tensorsOf(
  file: string,
  tensors: readonly TensorEntry[],
): Promise<Map<string, StoredTensor>> {
  const bytes = await readTensors(file, tensors);
  return new Map(
    tensors.map(({ name, dtype, shape }, i) => {
      return [name, { dtype, shape, bytes: bytes[i] as Uint8Array }];
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
