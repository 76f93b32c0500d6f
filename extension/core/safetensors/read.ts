import { t } from "@vscode/l10n";
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { bitsOf, isFloatDtype, toFloat32 } from "../base/dtype.ts";
import { elementCount } from "../base/shape.ts";
import { badFile, notFound, throwIfAborted, unsupported } from "../base/errors.ts";
import { type Header, largestHeader, parseHeader, type TensorEntry } from "./header.ts";

/** A validated safetensors file on disk; holds no handle and no tensor bytes. */
export interface SafetensorsFile extends Header {
  readonly file: string;
  readonly size: number;
}

/** Reads and validates the header alone: a few kilobytes of a file of any size. */
export async function openSafetensors(file: string): Promise<SafetensorsFile> {
  return withFile(file, async (handle) => {
    const { size } = await handle.stat();
    return readHeader({ file, size }, (offset, length) => readRange(handle, file, offset, length));
  });
}

/** The same at once, for lists of thousands of files: awaiting each step takes longer than the step. */
export function openSafetensorsNow(file: string): SafetensorsFile {
  let handle: number;
  try {
    handle = openSync(file, "r");
  } catch (error) {
    throw openingError(file, error as NodeJS.ErrnoException);
  }
  try {
    const { size } = fstatSync(handle);
    // Most headers of adapters are in the first read.
    const start = readNow(handle, { file, offset: 0, length: Math.min(size, usualHeader) });
    const length = headerLengthOf(start, { file, size });
    const rest = 8 + length - start.length;
    const more = rest > 0 ? readNow(handle, { file, offset: start.length, length: rest }) : null;
    const bytes = (more ? Buffer.concat([start, more]) : start).subarray(8, 8 + length);
    return {
      file,
      size,
      ...parseHeader(decodeUtf8(bytes, file), length, { file, fileSize: size }),
    };
  } finally {
    closeSync(handle);
  }
}

const usualHeader = 16_384;

function readNow(
  handle: number,
  { file, offset, length }: { file: string; offset: number; length: number },
): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  for (let done = 0; done < length;) {
    const bytesRead = readSync(handle, bytes, done, length - done, offset + done);
    if (bytesRead === 0) {
      throw badFile(file, t("ends at byte {0}, more was promised", offset + done));
    }
    done += bytesRead;
  }
  return bytes;
}

/** Reads the header of a file wherever it lies. @param read gives `length` bytes from `offset` */
export async function readHeader(
  { file, size }: { file: string; size: number },
  read: (offset: number, length: number) => Promise<Buffer>,
): Promise<SafetensorsFile> {
  const start = size < 8 ? Buffer.alloc(0) : await read(0, 8);
  const headerLength = headerLengthOf(start, { file, size });
  const bytes = await read(8, headerLength);
  const header = parseHeader(decodeUtf8(bytes, file), headerLength, { file, fileSize: size });
  return { file, size, ...header };
}

/** The header's length, from a file's first bytes. */
function headerLengthOf(start: Buffer, { file, size }: { file: string; size: number }): number {
  if (size < 8) throw badFile(file, t("has {0} bytes, too few for a header length", size));
  const length = start.readBigUInt64LE();
  if (length > BigInt(largestHeader))
    throw badFile(file, t("header length {0} is too large", String(length)));
  const headerLength = Number(length);
  if (headerLength === 0) throw badFile(file, t("header length is 0"));
  if (8 + headerLength > size) {
    throw badFile(file, t("header length {0} exceeds file size {1}", headerLength, size));
  }
  return headerLength;
}

/** The bytes of tensors row by row, in the order asked for; one open file, one range a tensor. */
export async function readTensors(
  file: string,
  tensors: readonly TensorEntry[],
  signal?: AbortSignal,
): Promise<Uint8Array[]> {
  return withFile(file, async (handle) => {
    const out = new Map<TensorEntry, Uint8Array>();
    for (const run of runsOf(tensors)) {
      throwIfAborted(signal);
      const buffers = await readRun(handle, file, run);
      run.forEach((tensor, i) => {
        const bytes = buffers[i] as Uint8Array;
        out.set(tensor, tensor.strides ? rowByRow(bytes, tensor, tensor.strides) : bytes);
      });
    }
    return tensors.map((tensor) => out.get(tensor) as Uint8Array);
  });
}

/** What one call reads: a system takes 1,024 buffers at most, and a wish to stop is heard in between. */
const longestRun = { tensors: 512, bytes: 64 * 1024 * 1024 };

/** Tensors that follow one another in the file, in parts that are read at once. */
function runsOf(tensors: readonly TensorEntry[]): TensorEntry[][] {
  const runs: TensorEntry[][] = [];
  let bytes = 0;
  for (const tensor of tensors.toSorted((a, b) => a.offset - b.offset)) {
    const run = runs.at(-1);
    const last = run?.at(-1);
    const isNext = last !== undefined && last.offset + last.byteLength === tensor.offset;
    bytes += tensor.byteLength;
    if (run && isNext && run.length < longestRun.tensors && bytes <= longestRun.bytes) {
      run.push(tensor);
    } else {
      runs.push([tensor]);
      bytes = tensor.byteLength;
    }
  }
  return runs;
}

/** A run in one call, each tensor in a buffer of its own. */
async function readRun(
  handle: FileHandle,
  file: string,
  run: readonly TensorEntry[],
): Promise<Buffer[]> {
  // Memory of its own, but not zeroed first: every byte is read, or the read throws.
  const buffers = run.map(({ byteLength }) => Buffer.allocUnsafeSlow(byteLength));
  const [{ offset = 0 } = {}] = run;
  let done = 0;
  if (run.length > 1) ({ bytesRead: done } = await handle.readv(buffers, offset));
  let start = 0;
  for (const buffer of buffers) {
    const known = Math.min(buffer.length, Math.max(0, done - start));
    const place = { file, offset: offset + start + known };
    if (known < buffer.length) await fillRange(handle, place, buffer.subarray(known));
    start += buffer.length;
  }
  return buffers;
}

/** The bytes of any ranges of a file, in the order asked for. */
export async function readRanges(
  file: string,
  ranges: readonly { offset: number; length: number }[],
): Promise<Uint8Array[]> {
  return withFile(file, async (handle) => {
    const out: Uint8Array[] = [];
    for (const { offset, length } of ranges) {
      out.push(await readRange(handle, file, offset, length));
    }
    return out;
  });
}

/** How much of a tensor is in memory at once; a multiple of every element's size. */
const chunkBytes = 4 * 1024 * 1024;

/**
 * Hands a tensor's bytes over piece by piece, in one buffer that is filled anew each time.
 * @param options `use` gets a piece that begins its buffer, and how many bytes are done with it
 */
export async function eachChunk(
  file: string,
  { offset, byteLength }: TensorEntry,
  options: { use: (bytes: Uint8Array, done: number) => void; signal?: AbortSignal | undefined },
): Promise<void> {
  await withFile(file, async (handle) => {
    const buffer = new Uint8Array(Math.min(chunkBytes, byteLength));
    for (let done = 0; done < byteLength;) {
      throwIfAborted(options.signal);
      const part = buffer.subarray(0, Math.min(buffer.length, byteLength - done));
      await fillRange(handle, { file, offset: offset + done }, part);
      done += part.length;
      options.use(part, done);
    }
  });
}

/** A tensor's elements gathered from a range in which they lie otherwise. */
function rowByRow(
  bytes: Uint8Array,
  { shape, dtype }: TensorEntry,
  strides: readonly number[],
): Uint8Array {
  const size = bitsOf(dtype) / 8;
  const out = new Uint8Array(elementCount(shape) * size);
  for (let i = 0; i < out.length / size; i++) {
    let [rest, from] = [i, 0];
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      const length = shape[axis] as number;
      from += (rest % length) * (strides[axis] as number);
      rest = Math.floor(rest / length);
    }
    out.set(bytes.subarray(from * size, (from + 1) * size), i * size);
  }
  return out;
}

/** Floating-point tensors as fp32, by name. Refuses integer tensors by name. */
export async function readFloat32(
  file: string,
  tensors: readonly TensorEntry[],
  signal?: AbortSignal,
): Promise<Map<string, Float32Array>> {
  const bytes = await readTensors(file, tensors, signal);
  return new Map(
    tensors.map(({ name, dtype }, i) => {
      if (!isFloatDtype(dtype)) {
        throw unsupported(
          t('{0}: tensor "{1}" is {2}, a floating-point type is needed', file, name, dtype),
        );
      }
      return [name, toFloat32(bytes[i] as Uint8Array, dtype)];
    }),
  );
}

async function withFile<T>(file: string, use: (handle: FileHandle) => Promise<T>): Promise<T> {
  const handle = await open(file, "r").catch((error: NodeJS.ErrnoException) => {
    throw openingError(file, error);
  });
  try {
    return await use(handle);
  } finally {
    await handle.close();
  }
}

function openingError(file: string, { code, message }: NodeJS.ErrnoException): Error {
  if (code === "ENOENT") return notFound(t("File"), file);
  return badFile(file, t("cannot be opened ({0})", code ?? message));
}

/** A buffer of its own (never the pool), so that its memory may be handed on. */
async function readRange(
  handle: FileHandle,
  file: string,
  offset: number,
  length: number,
): Promise<Buffer> {
  const bytes = Buffer.from(new ArrayBuffer(length));
  await fillRange(handle, { file, offset }, bytes);
  return bytes;
}

async function fillRange(
  handle: FileHandle,
  { file, offset }: { file: string; offset: number },
  bytes: Uint8Array,
): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    // One read is bounded by 2^31 - 1 bytes on every platform.
    const part = Math.min(bytes.length - done, 0x4000_0000);
    const { bytesRead } = await handle.read(bytes, done, part, offset + done);
    if (bytesRead === 0) {
      throw badFile(
        file,
        t("ends at byte {0}, more was promised", offset + done),
        t("Download or copy it again."),
      );
    }
    done += bytesRead;
  }
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function decodeUtf8(bytes: Uint8Array, file: string): string {
  try {
    return utf8.decode(bytes);
  } catch {
    throw badFile(file, t("header is not UTF-8"));
  }
}
