/**
 * Tensors of a file that torch.save wrote, as byte ranges: the zip of PyTorch 1.6 and later, whose
 * entries are stored as they are, and the plain stream of pickles before it.
 */
import { t } from "@vscode/l10n";
import { open, stat } from "node:fs/promises";
import * as yauzl from "yauzl";
import { bitsOf } from "../base/dtype.ts";
import { badFile, unsupported } from "../base/errors.ts";
import { elementCount } from "../base/shape.ts";
import type { TensorEntry } from "../safetensors/header.ts";
import { readFloat32, type SafetensorsFile } from "../safetensors/read.ts";
import { type PickledTensor, readPickle, refuseGlobal } from "./pickle.ts";
import { dtypesByTorchName } from "./torchDtypes.ts";

/** The largest pickle read: names and shapes of a million tensors take 200 MB, adapters have thousands. */
const largestPickle = 64 * 1024 * 1024;

/** A storage's place in the file, in bytes. */
interface Range {
  readonly offset: number;
  readonly byteLength: number;
}

/**
 * Opens a .bin file of tensors by name and reads no tensor; nothing in it is ever run.
 * @throws bad-file when it is broken, or holds more than tensors
 */
export async function openTorchFile(file: string): Promise<SafetensorsFile> {
  const { value, ranges, size } = await contentsOf(file);
  if (!(value instanceof Map)) throw badFile(file, t("holds no dict of tensors"));
  const tensors = [...value].map(([name, tensor]) =>
    entryOf(String(name), tensor, { file, ranges, fileSize: size }),
  );
  return { file, size, tensors, metadata: {}, dataStart: 0 };
}

/** A tensor of a file that holds more than tensors. */
export class TorchTensor {
  constructor(
    readonly shape: readonly number[],
    /** Row-major. */
    readonly data: Float32Array,
  ) {}
}

/**
 * Reads all of what torch.save wrote, optimizers and schedules too: dicts as Map, tuples and lists
 * as arrays, tensors as their numbers.
 * @throws bad-file when it is broken, or holds more than data and tensors
 */
export async function readTorchValue(file: string): Promise<unknown> {
  const { value, ranges, size } = await contentsOf(file);
  const read = async (part: unknown): Promise<unknown> => {
    refuseGlobal(file, part);
    if (part instanceof Map) {
      const pairs: [unknown, unknown][] = [];
      for (const [key, each] of part) pairs.push([key, await read(each)]);
      return new Map(pairs);
    }
    if (Array.isArray(part)) {
      const values: unknown[] = [];
      for (const each of part) values.push(await read(each));
      return values;
    }
    if (!isTensor(part)) return part;
    const entry = entryOf("tensor", part, { file, ranges, fileSize: size });
    const values = await readFloat32(file, [entry]);
    return new TorchTensor(entry.shape, values.get(entry.name) as Float32Array);
  };
  return read(value);
}

async function contentsOf(file: string): Promise<Contents & { size: number }> {
  const { size } = await stat(file).catch((error: NodeJS.ErrnoException) => {
    throw badFile(file, t("cannot be read ({0})", error.code ?? error.message));
  });
  const isZip = (await readStart(file, 4)).toString("latin1") === "PK\x03\x04";
  const contents = isZip
    ? await readZip(file)
    : readLegacy(await readStart(file, Math.min(size, largestPickle)), file);
  return { ...contents, size };
}

interface Contents {
  readonly value: unknown;
  readonly ranges: ReadonlyMap<string, Range>;
}

/** Zip: <name>/data.pkl beside <name>/data/<key>, one file a storage. */
async function readZip(file: string): Promise<Contents> {
  const zip = await yauzl.openPromise(file, { autoClose: false }).catch((error: Error) => {
    throw badFile(file, t("is a broken zip ({0})", error.message));
  });
  try {
    const ranges = new Map<string, Range>();
    let pickle: Buffer | undefined;
    for await (const entry of zip.eachEntry()) {
      const name = entry.fileName.slice(entry.fileName.indexOf("/") + 1);
      if (name === "data.pkl") pickle = await readEntry(zip, entry, file);
      if (name === "byteorder" && (await readEntry(zip, entry, file)).toString() !== "little") {
        throw unsupported(t("{0}: its tensors are not little-endian", file));
      }
      if (!name.startsWith("data/")) continue;
      if (entry.compressionMethod !== 0) throw badFile(file, t('"{0}" is compressed', name));
      const { fileDataStart } = await zip.readLocalFileHeaderPromise(entry, { minimal: true });
      ranges.set(name.slice(5), { offset: fileDataStart, byteLength: entry.uncompressedSize });
    }
    if (!pickle) throw badFile(file, t("is a zip without data.pkl, not a file of torch.save"));
    return { value: readPickle(pickle, { file }).value, ranges };
  } finally {
    zip.close();
  }
}

async function readEntry(zip: yauzl.ZipFile, entry: yauzl.Entry, file: string): Promise<Buffer> {
  if (entry.uncompressedSize > largestPickle) {
    throw badFile(file, t('"{0}" has {1} bytes, too many', entry.fileName, entry.uncompressedSize));
  }
  const parts: Buffer[] = [];
  for await (const part of await zip.openReadStreamPromise(entry)) parts.push(part as Buffer);
  return Buffer.concat(parts);
}

/** torch.save's first number, and the number of its format. */
const legacyMagic = 0x1950a86a20f9469cfc6cn;
const legacyProtocol = 1001;

/** Magic, protocol, machine, dict, keys: five pickles; then every key's storage after its size. */
function readLegacy(head: Buffer, file: string): Contents {
  const values: unknown[] = [];
  let at = 0;
  while (values.length < 5) {
    const { value, end } = readPickle(head, { file, start: at });
    values.push(value);
    at = end;
    if (values.length === 1 && value !== legacyMagic) {
      throw badFile(file, t("is a pickle, but no file of torch.save"));
    }
  }
  const [, protocol, machine, dict, keys] = values;
  if (protocol !== legacyProtocol) throw badFile(file, t("has protocol {0}", String(protocol)));
  if (machine instanceof Map && machine.get("little_endian") === false) {
    throw unsupported(t("{0}: its tensors are not little-endian", file));
  }
  const types = new Map(tensorsOf(dict).map(({ storage }) => [storage.key, storage] as const));
  const ranges = new Map<string, Range>();
  for (const key of Array.isArray(keys) ? keys.map(String) : []) {
    const storage = types.get(key);
    const bits = bitsOf(dtypesByTorchName.get(storage?.type ?? "") ?? "U8");
    const byteLength = ((storage?.elements ?? 0) * bits) / 8;
    ranges.set(key, { offset: at + 8, byteLength });
    at += 8 + byteLength;
  }
  return { value: dict, ranges };
}

function tensorsOf(dict: unknown): PickledTensor[] {
  const values: unknown[] = dict instanceof Map ? [...dict.values()] : [];
  return values.filter(isTensor);
}

function isTensor(value: unknown): value is PickledTensor {
  const { kind, storage } = (value ?? {}) as Partial<PickledTensor>;
  return kind === "tensor" && storage?.kind === "storage";
}

function entryOf(
  name: string,
  value: unknown,
  at: { file: string; fileSize: number; ranges: ReadonlyMap<string, Range> },
): TensorEntry {
  const { file, fileSize, ranges } = at;
  const fail = (problem: string): Error => badFile(file, `"${name}" ${problem}`);
  refuseGlobal(file, value);
  if (!isTensor(value)) throw fail(t("is no tensor but {0}", describe(value)));
  const { storage, offset, shape, strides, type = storage.type } = value;
  const dtype = dtypesByTorchName.get(type);
  if (!dtype) throw fail(t("is of {0}, which Graft does not read", type));
  const range = ranges.get(storage.key);
  if (!range) throw fail(t("lies in storage {0}, which the file has not", storage.key));
  if (!isSizes(shape) || !isSizes(strides) || shape.length !== strides.length) {
    throw fail(t("has no valid shape"));
  }
  const size = bitsOf(dtype) / 8;
  const count = elementCount(shape);
  const span =
    count === 0 ? 0 : 1 + shape.reduce((sum, n, i) => sum + (n - 1) * (strides[i] as number), 0);
  if (range.offset + range.byteLength > fileSize) {
    throw badFile(
      file,
      t(
        "truncated: storage {0} ends at byte {1}, the file has {2}",
        storage.key,
        range.offset + range.byteLength,
        fileSize,
      ),
      t("Download or copy it again."),
    );
  }
  const isInside = isSizes([offset, span]) && (offset + span) * size <= range.byteLength;
  if (!isInside || !Number.isSafeInteger(count)) {
    throw fail(t("reaches beyond its storage of {0} bytes", range.byteLength));
  }
  const place = { offset: range.offset + offset * size, byteLength: span * size };
  const entry = { name, dtype, shape, ...place };
  return isRowMajor(shape, strides) ? entry : { ...entry, strides };
}

function isSizes(values: unknown): values is number[] {
  return (
    Array.isArray(values) && values.every((value) => Number.isSafeInteger(value) && value >= 0)
  );
}

function isRowMajor(shape: readonly number[], strides: readonly number[]): boolean {
  let expected = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    if (shape[i] !== 1 && strides[i] !== expected) return false;
    expected *= shape[i] as number;
  }
  return true;
}

function describe(value: unknown): string {
  if (value === null) return "None";
  if (value instanceof Map) return t("a dict");
  return Array.isArray(value) ? t("a list") : `a ${typeof value}`;
}

async function readStart(file: string, length: number): Promise<Buffer> {
  const handle = await open(file, "r");
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await handle.close();
  }
}
