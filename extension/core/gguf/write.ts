import { t } from "@vscode/l10n";
import { byteLengthOf } from "../base/dtype.ts";
import { badRequest, throwIfAborted } from "../base/errors.ts";
import { writeAtomically } from "../base/files.ts";
import type { TensorData } from "../safetensors/write.ts";
import { currentVersion, defaultAlignment, floatTypes, magic, valueTypes } from "./format.ts";

/** A key's value: text, a float, or whole numbers. */
export type WrittenValue =
  | { readonly kind: "string"; readonly value: string }
  | { readonly kind: "float32"; readonly value: number }
  | { readonly kind: "uint32"; readonly value: number }
  | { readonly kind: "uint32s"; readonly value: readonly number[] };

/** Writes a GGUF file atomically, keys and tensors in the order given. */
export async function writeGguf(
  file: string,
  keys: ReadonlyMap<string, WrittenValue>,
  { tensors, signal }: { tensors: readonly TensorData[]; signal?: AbortSignal | undefined },
): Promise<void> {
  const head = headOf(keys, tensors);
  await writeAtomically(file, async (handle) => {
    await handle.writeFile(padded(head));
    for (const tensor of tensors) {
      throwIfAborted(signal);
      const bytes = tensor.bytes instanceof Uint8Array ? tensor.bytes : await tensor.bytes();
      if (bytes.length !== byteLengthOf(tensor)) {
        throw badRequest(
          t(
            'Tensor "{0}" has {1} bytes, not {2}.',
            tensor.name,
            bytes.length,
            byteLengthOf(tensor),
          ),
        );
      }
      await handle.writeFile(padded(bytes));
    }
  });
}

function headOf(keys: ReadonlyMap<string, WrittenValue>, tensors: readonly TensorData[]): Buffer {
  const parts: Buffer[] = [
    Buffer.from(magic, "latin1"),
    uint32(currentVersion),
    uint64(tensors.length),
    uint64(keys.size),
  ];
  for (const [key, value] of keys) parts.push(text(key), ...valueOf(value));
  let offset = 0;
  for (const tensor of tensors) {
    const { name, shape, dtype } = tensor;
    const [type] = [...floatTypes].find(([, own]) => own === dtype) ?? [];
    if (type === undefined)
      throw badRequest(t('Tensor "{0}" is {1}: no float of GGUF.', name, dtype));
    // ggml names the fastest dimension first.
    const sizes = shape.toReversed().map(uint64);
    parts.push(text(name), uint32(shape.length), ...sizes, uint32(type), uint64(offset));
    offset += roundUp(byteLengthOf(tensor));
  }
  return Buffer.concat(parts);
}

function valueOf(value: WrittenValue): Buffer[] {
  switch (value.kind) {
    case "string":
      return [uint32(valueTypes.string), text(value.value)];
    case "float32": {
      const bytes = Buffer.alloc(4);
      bytes.writeFloatLE(value.value);
      return [uint32(valueTypes.float32), bytes];
    }
    case "uint32":
      return [uint32(valueTypes.uint32), uint32(value.value)];
    case "uint32s": {
      const head = [
        uint32(valueTypes.array),
        uint32(valueTypes.uint32),
        uint64(value.value.length),
      ];
      return [...head, ...value.value.map(uint32)];
    }
    default:
      return value satisfies never;
  }
}

function roundUp(size: number): number {
  return Math.ceil(size / defaultAlignment) * defaultAlignment;
}

function padded(bytes: Uint8Array): Buffer {
  return Buffer.concat([bytes], roundUp(bytes.length));
}

/** A string as GGUF has it: its length in bytes, then UTF-8. */
export function text(value: string): Buffer {
  const bytes = Buffer.from(value, "utf8");
  return Buffer.concat([uint64(bytes.length), bytes]);
}

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

export function uint64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}
