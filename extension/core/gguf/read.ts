import { t } from "@vscode/l10n";
import { open } from "node:fs/promises";
import { bitsOf } from "../base/dtype.ts";
import { badFile, notFound, unsupported } from "../base/errors.ts";
import { showShape } from "../base/shape.ts";
import type { TensorEntry } from "../safetensors/header.ts";
import {
  defaultAlignment,
  floatTypes,
  magic,
  scalarSizes,
  type Value,
  valueTypes,
} from "./format.ts";

/** A GGUF file's keys and tensors; no tensor byte is read. */
export interface GgufFile {
  readonly file: string;
  /** Keys with values of types that adapters have; null for another type. */
  readonly keys: ReadonlyMap<string, Value>;
  /** Row-major shapes, the fastest dimension last. */
  readonly tensors: readonly TensorEntry[];
}

/** What is read of a file before its tensors: vocabularies of 256 k tokens take 10 MB, adapters none. */
const largestHead = 64 * 1024 * 1024;

/** Files in the wild have some 1,000 tensors and 50 keys; each takes at least 13 bytes of the head. */
const mostEntries = 1_000_000;

/**
 * Reads the head; lengths and offsets are checked against the file's size.
 * @throws bad-file naming what is broken, unsupported for quantized tensors or another version
 */
export async function openGguf(file: string): Promise<GgufFile> {
  const handle = await open(file, "r").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") throw notFound(t("File"), file);
    throw badFile(file, t("cannot be opened ({0})", error.code ?? error.message));
  });
  try {
    const { size } = await handle.stat();
    const head = Buffer.alloc(Math.min(size, largestHead));
    const { bytesRead } = await handle.read(head, 0, head.length, 0);
    return parseGguf(head.subarray(0, bytesRead), { file, size });
  } finally {
    await handle.close();
  }
}

/** @param head the file's beginning, all of it where that is short */
export function parseGguf(head: Buffer, { file, size }: { file: string; size: number }): GgufFile {
  const reader = new Reader(head, file);
  if (reader.take(4, "the magic").toString("latin1") !== magic) {
    throw badFile(file, t("does not begin with {0}", magic));
  }
  const version = reader.uint32("the version");
  if (version !== 2 && version !== 3) {
    throw unsupported(
      t("{0}: GGUF version {1}; Graft reads 2 and 3, little-endian", file, version),
    );
  }
  const tensorCount = reader.count("tensors", mostEntries);
  const keyCount = reader.count("keys", mostEntries);
  const keys = new Map<string, Value>();
  for (let i = 0; i < keyCount; i++) {
    const key = reader.text("a key");
    if (keys.has(key)) throw badFile(file, t('names "{0}" twice', key));
    keys.set(key, reader.value(reader.uint32(`"${key}"`), key));
  }
  const infos = Array.from({ length: tensorCount }, () => reader.info());
  const alignment = alignmentOf(keys, file);
  const start = Math.ceil(reader.at / alignment) * alignment;
  const names = new Set<string>();
  let total = 0;
  const tensors = infos.map((info) => {
    if (names.has(info.name)) throw badFile(file, t('names "{0}" twice', info.name));
    names.add(info.name);
    const entry = entryOf(info, { file, size, start, alignment });
    // Tensors that share their bytes could ask for any amount of memory.
    total += entry.byteLength;
    if (total > size) throw badFile(file, t("has tensors that overlap"));
    return entry;
  });
  return { file, keys, tensors };
}

interface Info {
  readonly name: string;
  readonly shape: readonly number[];
  readonly type: number;
  readonly offset: number;
}

function alignmentOf(keys: ReadonlyMap<string, Value>, file: string): number {
  const alignment = keys.get("general.alignment") ?? defaultAlignment;
  const isValid =
    typeof alignment === "number" &&
    alignment >= 1 &&
    alignment <= 2 ** 20 &&
    Number.isInteger(Math.log2(alignment));
  if (isValid) return alignment;
  throw badFile(file, t("general.alignment is {0}, no power of two", JSON.stringify(alignment)));
}

function entryOf(
  { name, shape, type, offset }: Info,
  at: { file: string; size: number; start: number; alignment: number },
): TensorEntry {
  const fail = (problem: string): Error => badFile(at.file, t('tensor "{0}" {1}', name, problem));
  const dtype = floatTypes.get(type);
  if (dtype === undefined) {
    throw unsupported(
      t(
        '{0}: tensor "{1}" has ggml\'s type {2}; Graft reads F32, F16, BF16 and F64',
        at.file,
        name,
        type,
      ),
      t("Convert the adapter again with one of these as output type."),
    );
  }
  const bits = shape.reduce((product, side) => product * side, bitsOf(dtype));
  if (!Number.isSafeInteger(bits)) throw fail(t("is too large: {0}", showShape(shape)));
  if (offset % at.alignment !== 0)
    throw fail(t("begins at {0}, no multiple of {1}", offset, at.alignment));
  const byteLength = bits / 8;
  if (at.start + offset + byteLength > at.size) {
    throw fail(t("ends at byte {0}, the file has {1}", at.start + offset + byteLength, at.size));
  }
  return { name, dtype, shape, offset: at.start + offset, byteLength };
}

/** Reads a head from front to back; nothing is taken that is not there. */
class Reader {
  at = 0;

  constructor(
    private readonly data: Buffer,
    private readonly file: string,
  ) {}

  take(length: number, what: string): Buffer {
    if (length > this.data.length - this.at) {
      throw badFile(this.file, t("is truncated or broken: {0} lies outside of it", what));
    }
    return this.data.subarray(this.at, (this.at += length));
  }

  uint32(what: string): number {
    return this.take(4, what).readUInt32LE();
  }

  /** A length of 64 bits that fits a number. */
  uint64(what: string): number {
    const value = Number(this.take(8, what).readBigUInt64LE());
    if (Number.isSafeInteger(value)) return value;
    throw badFile(this.file, t("{0} is too large ({1})", what, value));
  }

  count(what: string, most: number): number {
    const count = this.uint64(`the number of ${what}`);
    if (count <= most) return count;
    throw badFile(this.file, t("claims {0} {1}, more than any file has", count, what));
  }

  text(what: string): string {
    const bytes = this.take(this.uint64(`the length of ${what}`), what);
    try {
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    } catch {
      throw badFile(this.file, t("{0} is not UTF-8", what));
    }
  }

  value(type: number, key: string): Value {
    switch (type) {
      case valueTypes.string:
        return this.text(`"${key}"`);
      case valueTypes.uint32:
        return this.uint32(`"${key}"`);
      case valueTypes.float32:
        return this.take(4, `"${key}"`).readFloatLE();
      case valueTypes.array:
        return this.array(key);
      default:
        this.take(this.scalarSize(type, key), `"${key}"`);
        return null;
    }
  }

  info(): Info {
    const name = this.text("a tensor's name");
    const what = `tensor "${name}"`;
    const dimensions = this.uint32(what);
    // ggml's own bound.
    if (dimensions > 4) throw badFile(this.file, t("{0} has {1} dimensions", what, dimensions));
    const shape = Array.from({ length: dimensions }, () => this.uint64(what)).reverse();
    return { name, shape, type: this.uint32(what), offset: this.uint64(what) };
  }

  private array(key: string): Value {
    const type = this.uint32(`"${key}"`);
    const count = this.uint64(`"${key}"`);
    if (type === valueTypes.string) {
      for (let i = 0; i < count; i++) this.take(this.uint64(`"${key}"`), `"${key}"`);
      return null;
    }
    const bytes = this.take(count * this.scalarSize(type, key), `"${key}"`);
    if (type !== valueTypes.uint32) return null;
    return Array.from({ length: count }, (_, i) => bytes.readUInt32LE(4 * i));
  }

  private scalarSize(type: number, key: string): number {
    const size = scalarSizes.get(type);
    if (size !== undefined) return size;
    throw badFile(this.file, t('the value of "{0}" has the unknown type {1}', key, type));
  }
}
