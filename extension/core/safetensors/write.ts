import { t } from "@vscode/l10n";
import { byteLengthOf, type Dtype, dtypes } from "../base/dtype.ts";
import { badRequest, throwIfAborted } from "../base/errors.ts";
import { writeAtomically } from "../base/files.ts";
import { type Shape, showShape } from "../base/shape.ts";

/** A tensor to write; bytes are little-endian and row-major. */
export interface TensorData {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: Shape;
  /** Given, or made when it is their turn, so that a large file never stands in memory. */
  readonly bytes: Uint8Array | (() => Promise<Uint8Array>);
}

/**
 * Writes a safetensors file atomically, byte for byte as the reference implementation lays it out:
 * largest element type first, then by name; header padded with spaces to a multiple of 8.
 */
export async function writeSafetensors(
  file: string,
  tensors: readonly TensorData[],
  { metadata, signal }: { metadata?: Record<string, string>; signal?: AbortSignal } = {},
): Promise<void> {
  const sorted = [...tensors].sort(
    (a, b) => dtypes.indexOf(b.dtype) - dtypes.indexOf(a.dtype) || compareBytes(a.name, b.name),
  );
  const header = Buffer.from(headerText(sorted, metadata), "utf8");
  await writeAtomically(file, async (handle) => {
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(header.length));
    await handle.writeFile(Buffer.concat([length, header]));
    for (const tensor of sorted) {
      throwIfAborted(signal);
      const bytes = tensor.bytes instanceof Uint8Array ? tensor.bytes : await tensor.bytes();
      checkSize(tensor, bytes.length);
      await handle.writeFile(bytes);
    }
  });
}

function headerText(
  tensors: readonly TensorData[],
  metadata: Record<string, string> | undefined,
): string {
  // Without a prototype: tensor names are anybody's, "__proto__" included.
  const entries = Object.create(null) as Record<string, unknown>;
  if (metadata) entries["__metadata__"] = metadata;
  let position = 0;
  for (const tensor of tensors) {
    const { name, dtype, shape } = tensor;
    if (name in entries) throw badRequest(t('Two tensors are named "{0}".', name));
    const length = byteLengthOf(tensor);
    entries[name] = { dtype, shape, data_offsets: [position, (position += length)] };
  }
  const text = JSON.stringify(entries);
  const length = Buffer.byteLength(text);
  return text + " ".repeat((8 - (length % 8)) % 8);
}

function checkSize(tensor: TensorData, length: number): void {
  if (length === byteLengthOf(tensor)) return;
  const { name, dtype, shape } = tensor;
  throw badRequest(
    t('Tensor "{0}": {1} bytes do not make {2} {3}.', name, length, dtype, showShape(shape)),
  );
}

function compareBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}
