/**
 * Writes tensors as torch.save does since PyTorch 1.6: a zip of a pickle, which names them, and one
 * entry for each one's bytes; torch.load(weights_only=True) reads it.
 */
import { t } from "@vscode/l10n";
import { createHash } from "node:crypto";
import * as path from "node:path";
import { byteLengthOf } from "../base/dtype.ts";
import { badRequest, throwIfAborted, unsupported } from "../base/errors.ts";
import { writeAtomically } from "../base/files.ts";
import { elementCount, type Shape } from "../base/shape.ts";
import type { TensorData } from "../safetensors/write.ts";
import { type StoredEntry, writeStoredZip, type WrittenEntry } from "./storedZip.ts";
import { namedTypes, storageTypes } from "./torchDtypes.ts";

/** Python's tuple, where torch wants one instead of a list. */
export class TorchTuple {
  constructor(readonly values: readonly TorchValue[]) {}
}

/** What torch.save can hold here: a number is Python's float, a bigint its int. */
export type TorchValue =
  | null
  | boolean
  | string
  | number
  | bigint
  | readonly TorchValue[]
  | TorchTuple
  | TensorData
  | ReadonlyMap<string | bigint, TorchValue>;

/** Writes a .bin file atomically, tensors in the order given, each in a storage of its own. */
export async function writeTorchFile(
  file: string,
  tensors: readonly TensorData[],
  options: { signal?: AbortSignal } = {},
): Promise<void> {
  const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  if (byName.size !== tensors.length)
    throw badRequest(t("{0}: two tensors have the same name.", file));
  await writeTorchValue(file, byName, options);
}

/** Writes anything that torch.save writes of plain data and tensors, atomically. */
export async function writeTorchValue(
  file: string,
  value: TorchValue,
  { signal }: { signal?: AbortSignal } = {},
): Promise<void> {
  const tensors: TensorData[] = [];
  const pickle = Buffer.concat([
    Buffer.from([0x80, 2]),
    ...pickled(value, { tensors, file }),
    code("."),
  ]);
  const text = (name: string, content: string): StoredEntry => entryOf(name, Buffer.from(content));
  const entries = [
    entryOf("data.pkl", pickle),
    text(".format_version", "1"),
    text(".storage_alignment", "64"),
    text("byteorder", "little"),
    ...tensors.map(({ bytes, ...tensor }, i) => ({
      name: `data/${i}`,
      size: byteLengthOf(tensor),
      bytes: () => (bytes instanceof Uint8Array ? bytes : bytes()),
    })),
    text("version", "3\n"),
    { name: ".data/serialization_id", size: 40, bytes: serializationId },
  ];
  const archive = path.basename(file, path.extname(file));
  throwIfAborted(signal);
  await writeAtomically(file, (handle) =>
    writeStoredZip(
      handle,
      entries.map((entry) => ({ ...entry, name: `${archive}/${entry.name}` })),
      signal,
    ),
  );
}

function entryOf(name: string, bytes: Buffer): StoredEntry {
  return { name, size: bytes.length, bytes: () => bytes };
}

/** 40 digits that are the same for the same contents, which is all that torch asks of them. */
function serializationId(written: readonly WrittenEntry[]): Buffer {
  const hash = createHash("sha256");
  for (const { name, size, crc } of written) hash.update(`${name}\n${size}\n${crc}\n`);
  const value = BigInt(`0x${hash.digest("hex")}`) % 10n ** 40n;
  return Buffer.from(value.toString().padStart(40, "0"));
}

interface Pickling {
  /** Tensors met so far; one's place is the name of its storage. */
  readonly tensors: TensorData[];
  readonly file: string;
}

/** A value in pickle's protocol 2 (https://docs.python.org/3/library/pickletools.html). */
function pickled(value: TorchValue, at: Pickling): Buffer[] {
  if (value === null) return [code("N")];
  if (typeof value === "boolean") return [code(value ? "\x88" : "\x89")];
  if (typeof value === "string") return [text(value)];
  if (typeof value === "number") return [float(value)];
  if (typeof value === "bigint") return [integer(Number(value))];
  if (value instanceof TorchTuple) return [code("("), ...each(value.values, at), code("t")];
  if (value instanceof Map) {
    const pairs = value as ReadonlyMap<string | bigint, TorchValue>;
    return [code("}("), ...[...pairs].flatMap((pair) => each(pair, at)), code("u")];
  }
  if (Array.isArray(value)) return [code("]("), ...each(value as TorchValue[], at), code("e")];
  const tensor = value as TensorData;
  at.tensors.push(tensor);
  return [tensorOf(tensor, { key: String(at.tensors.length - 1), file: at.file })];
}

function each(values: readonly TorchValue[], at: Pickling): Buffer[] {
  return values.flatMap((value) => pickled(value, at));
}

/** BINFLOAT. */
function float(value: number): Buffer {
  const bytes = Buffer.alloc(9, "G");
  bytes.writeDoubleBE(value, 1);
  return bytes;
}

/** A call of torch's _rebuild_tensor_v2, or v3 where the tensor names its element type. */
function tensorOf(tensor: TensorData, { key, file }: { key: string; file: string }): Buffer {
  const { name, dtype, shape } = tensor;
  const own = storageTypes[dtype];
  const type = namedTypes[dtype];
  if (own === undefined && type === undefined) {
    throw unsupported(
      t('{0}: torch.save has no element type for "{1}", which is {2}', file, name, dtype),
    );
  }
  const size = own === undefined ? byteLengthOf(tensor) : elementCount(shape);
  const storage = own === undefined ? global("torch.storage", "UntypedStorage") : torch(own);
  return Buffer.concat([
    global("torch._utils", own === undefined ? "_rebuild_tensor_v3" : "_rebuild_tensor_v2"),
    code("(("),
    ...[text("storage"), storage, text(key), text("cpu"), integer(size)],
    code("tQ"), // the storage, by name
    integer(0),
    tuple(shape),
    tuple(rowMajorStrides(shape)),
    code("\x89"), // needs no gradient
    ...[global("collections", "OrderedDict"), code(")R")], // no hooks
    ...(type === undefined ? [] : [torch(type)]),
    code("tR"),
  ]);
}

/** Elements from one to the next along each dimension, as torch counts them. */
function rowMajorStrides(shape: Shape): number[] {
  let step = 1;
  return shape
    .map((_, i) => shape[shape.length - 1 - i] as number)
    .map((size) => {
      const own = step;
      step *= Math.max(size, 1);
      return own;
    })
    .reverse();
}

function code(opcodes: string): Buffer {
  return Buffer.from(opcodes, "latin1");
}

function torch(name: string): Buffer {
  return global("torch", name);
}

function global(module: string, name: string): Buffer {
  return code(`c${module}\n${name}\n`);
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value, "utf8");
  const head = Buffer.alloc(5, "X");
  head.writeUInt32LE(bytes.length, 1);
  return Buffer.concat([head, bytes]);
}

/** BININT, or LONG1 of eight bytes for what needs more than four. */
function integer(value: number): Buffer {
  if (value < 0x8000_0000) {
    const bytes = Buffer.alloc(5, "J");
    bytes.writeInt32LE(value, 1);
    return bytes;
  }
  const bytes = Buffer.alloc(10);
  bytes.set([0x8a, 8]);
  bytes.writeBigInt64LE(BigInt(value), 2);
  return bytes;
}

function tuple(values: readonly number[]): Buffer {
  return Buffer.concat([code("("), ...values.map(integer), code("t")]);
}
