/**
 * Files of training data as tokens, kept on disk: a run that goes on, or is trained once more, need not
 * tokenise them again. A file is known by its content, its tokenizer and how its records are read.
 * Whatever is damaged, of another version, or cannot be written is as if it were not there.
 */
import { createHash, type Hash, randomBytes } from "node:crypto";
import { createReadStream } from "node:fs";
import {
  type FileHandle,
  mkdir,
  open,
  readdir,
  rename,
  rm,
  stat,
  statfs,
  utimes,
} from "node:fs/promises";
import * as path from "node:path";
import { deserialize, serialize } from "node:v8";
import { throwIfAborted } from "../../base/errors.ts";
import type { DataProblem } from "./problems.ts";
import type { TokenizedExample } from "./tokenizeExample.ts";

/** Changes whenever texts become other tokens than before, or a file's bytes mean something else. */
const cacheFormat = 2;

const magic = Buffer.from(`graft tokens ${cacheFormat}\n`);
const digestBytes = 32;

/** Above this the least recently used files go. */
const cacheLimit = 4e9;

/** So much of the disk is left to checkpoints and to others. */
const roomLeft = 2e9;

/** Bytes from one look at the disk to the next. */
const lookEvery = 64e6;

/** A file of data below this is tokenised in a second. */
const least = 256 * 1024;

/** Texts of one block: few enough to be in memory, many enough for one call of v8. */
const blockTexts = 512;

/** What a record became: tokens with a digest of its text, or what is wrong with it. */
export type ReadItem =
  | { readonly kind: "text"; readonly digest: Buffer; readonly tokenized: TokenizedExample }
  | { readonly kind: "problem"; readonly problem: Omit<DataProblem, "file"> };

export interface TokenCacheOptions {
  readonly folder: string;
  /** Of the tokenizer's files. */
  readonly tokenizer: string;
  /** Bytes that the folder may have. */
  readonly limit?: number;
  /** Bytes from which on a file is worth it. */
  readonly least?: number;
}

/** @param how everything that decides what a record becomes */
export class TokenCache {
  constructor(
    private readonly options: TokenCacheOptions,
    private readonly how: unknown,
  ) {}

  /** The place of a file's tokens; null for one that is not worth it. */
  async placeOf(file: string, signal: AbortSignal | undefined): Promise<string | null> {
    const { size } = await stat(file).catch(() => ({ size: 0 }));
    if (size < (this.options.least ?? least)) return null;
    const content = await digestOf(file, 0, signal);
    const all = JSON.stringify([cacheFormat, content, this.options.tokenizer, this.how]);
    const key = createHash("sha256").update(all).digest("hex");
    return path.join(this.options.folder, `${key}.tokens`);
  }

  /** Whether a place holds what was written there, every byte of it. */
  async isWhole(place: string, signal: AbortSignal | undefined): Promise<boolean> {
    const now = new Date();
    try {
      const handle = await open(place, "r");
      try {
        const start = await handle.read(Buffer.alloc(magic.length + digestBytes), 0);
        const { buffer } = start;
        if (!buffer.subarray(0, magic.length).equals(magic)) return false;
        const found = await digestOf(place, magic.length + digestBytes, signal);
        if (found !== buffer.subarray(magic.length).toString("hex")) {
          await rm(place, { force: true });
          return false;
        }
      } finally {
        await handle.close();
      }
      await utimes(place, now, now).catch(() => undefined);
      return true;
    } catch {
      throwIfAborted(signal);
      return false;
    }
  }

  /** What stands at a place that is whole, block by block. */
  async *read(place: string, signal: AbortSignal | undefined): AsyncGenerator<ReadItem[]> {
    const handle = await open(place, "r");
    try {
      const { size } = await handle.stat();
      for (let at = magic.length + digestBytes; at < size;) {
        throwIfAborted(signal);
        const head = await handle.read(Buffer.alloc(4), 0, 4, at);
        const length = head.buffer.readUInt32LE();
        const { buffer } = await handle.read(Buffer.alloc(length), 0, length, at + 4);
        yield (deserialize(buffer) as Packed[]).map(unpacked);
        at += 4 + length;
      }
    } finally {
      await handle.close();
    }
  }

  /** Writes a file's items as they come. */
  writer(place: string): TokenCacheWriter {
    return new TokenCacheWriter(place, this.options.limit ?? cacheLimit);
  }
}

/** Takes items and keeps them once all are there; a disk that is full keeps nothing. */
class TokenCacheWriter {
  private readonly part: string;
  private readonly hash: Hash = createHash("sha256");
  private handle: FileHandle | null = null;
  private waiting: Packed[] = [];
  private written = magic.length + digestBytes;
  private looked = -Infinity;
  private isGivenUp = false;

  constructor(
    private readonly place: string,
    private readonly limit: number,
  ) {
    this.part = `${place}.${randomBytes(6).toString("hex")}.part`;
  }

  async add(items: readonly ReadItem[]): Promise<void> {
    for (const item of items) {
      this.waiting.push(packed(item));
      if (this.waiting.length === blockTexts) await this.flush();
    }
  }

  /** Moves what was written to its place. */
  async finish(): Promise<void> {
    await this.flush();
    if (this.isGivenUp || !this.handle) return this.drop();
    try {
      await this.handle.write(this.hash.digest(), 0, digestBytes, magic.length);
      await this.handle.sync();
      await this.handle.close();
      this.handle = null;
      await rename(this.part, this.place);
      await removeOldest(path.dirname(this.place), this.limit);
    } catch {
      await this.drop();
    }
  }

  async drop(): Promise<void> {
    this.isGivenUp = true;
    this.waiting = [];
    await this.handle?.close().catch(() => undefined);
    this.handle = null;
    await rm(this.part, { force: true }).catch(() => undefined);
  }

  private async flush(): Promise<void> {
    if (this.waiting.length === 0 || this.isGivenUp) return;
    const body = serialize(this.waiting);
    this.waiting = [];
    const head = Buffer.alloc(4);
    head.writeUInt32LE(body.length);
    const block = Buffer.concat([head, body]);
    this.hash.update(block);
    try {
      if (!this.handle) {
        await mkdir(path.dirname(this.part), { recursive: true });
        this.handle = await open(this.part, "wx");
        await this.handle.write(Buffer.concat([magic, Buffer.alloc(digestBytes)]), 0);
      }
      if (!(await this.hasRoom())) return await this.drop();
      await this.handle.write(block, 0, block.length, this.written);
    } catch {
      return this.drop();
    }
    this.written += block.length;
    // One file of half the cache would push all others out.
    if (this.written > this.limit / 2) await this.drop();
  }

  private async hasRoom(): Promise<boolean> {
    if (this.written < this.looked + lookEvery) return true;
    this.looked = this.written;
    const { bavail, bsize } = await statfs(path.dirname(this.part));
    return bavail * bsize > roomLeft;
  }
}

type Packed =
  | { readonly digest: Buffer; readonly tokens: Record<string, unknown> }
  | { readonly problem: Omit<DataProblem, "file"> };

/** Lists of whole numbers become typed arrays, which v8 writes as they lie in memory. */
function packed(item: ReadItem): Packed {
  if (item.kind === "problem") return { problem: item.problem };
  const fields = Object.entries(item.tokenized).map(([name, value]) => [
    name,
    isNumbers(value) ? typed(value) : value,
  ]);
  return {
    digest: item.digest,
    tokens: Object.fromEntries(fields) as Record<string, unknown>,
  };
}

function unpacked(item: Packed): ReadItem {
  if ("problem" in item) return { kind: "problem", problem: item.problem };
  const fields = Object.entries(item.tokens).map(([name, value]) => [
    name,
    value instanceof Int32Array || value instanceof Uint16Array ? Array.from(value) : value,
  ]);
  const tokenized = Object.fromEntries(fields) as unknown as TokenizedExample;
  return { kind: "text", digest: Buffer.from(item.digest), tokenized };
}

function isNumbers(value: unknown): value is number[] {
  return Array.isArray(value) && value.length > 0 && value.every((each) => (each | 0) === each);
}

/** Ids of most vocabularies have 16 bits. */
function typed(values: readonly number[]): Uint16Array | Int32Array {
  const isShort = values.every((each) => each >= 0 && each < 2 ** 16);
  return isShort ? Uint16Array.from(values) : Int32Array.from(values);
}

async function digestOf(
  file: string,
  start: number,
  signal: AbortSignal | undefined,
): Promise<string> {
  const hash = createHash("sha256");
  const stream = createReadStream(file, { start, highWaterMark: 1 << 20, signal });
  for await (const part of stream) hash.update(part as Buffer);
  return hash.digest("hex");
}

/** What a process that was killed left half written goes after a day. */
const abandoned = 24 * 3600 * 1000;

async function removeOldest(folder: string, limit: number): Promise<void> {
  const names = (await readdir(folder)).filter((name) => /\.(tokens|part)$/.test(name));
  const found = await Promise.all(
    names.map(async (name) => {
      const file = path.join(folder, name);
      const { size, mtimeMs } = await stat(file).catch(() => ({ size: 0, mtimeMs: 0 }));
      return { file, size, mtimeMs, isPart: name.endsWith(".part") };
    }),
  );
  let bytes = 0;
  for (const { file, size, mtimeMs, isPart } of found.sort((a, b) => b.mtimeMs - a.mtimeMs)) {
    bytes += size;
    const isOver = isPart ? Date.now() - mtimeMs > abandoned : bytes > limit;
    if (isOver) await rm(file, { force: true });
  }
}
