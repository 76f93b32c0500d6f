/**
 * Writes zip files whose entries lie as they are, each at a multiple of 64 bytes, as torch.save
 * does: a reader maps a tensor's bytes straight from the file (https://pkware.cachefly.net/webdocs/
 * casestudies/APPNOTE.TXT, 4.3; padding in an extra field "FB", as torch/serialization.py reads it).
 */
import { t } from "@vscode/l10n";
import type { FileHandle } from "node:fs/promises";
import { crc32 } from "node:zlib";
import { badRequest, throwIfAborted } from "../base/errors.ts";

/** An entry to write; bytes are made when it is their turn. */
export interface StoredEntry {
  readonly name: string;
  /** In bytes; known before any entry is written. */
  readonly size: number;
  readonly bytes: (written: readonly WrittenEntry[]) => Uint8Array | Promise<Uint8Array>;
}

export interface WrittenEntry {
  readonly name: string;
  readonly size: number;
  readonly crc: number;
  /** Where its local header begins, in bytes from the start of the file. */
  readonly offset: number;
}

/** What 32 bits cannot say stands in a zip64 field instead; this value sends readers there. */
const tooLarge = 0xffff_ffff;
const alignment = 64;

/** Writes a whole zip from the handle's position 0 on. */
export async function writeStoredZip(
  handle: FileHandle,
  entries: readonly StoredEntry[],
  signal?: AbortSignal,
): Promise<void> {
  const written: WrittenEntry[] = [];
  let offset = 0;
  for (const { name, size, bytes: make } of entries) {
    throwIfAborted(signal);
    const bytes = await make(written);
    if (bytes.length !== size) {
      throw badRequest(
        t('"{0}": {1} bytes were made where {2} were promised.', name, bytes.length, size),
      );
    }
    const entry = { name, size, crc: crc32(bytes), offset };
    const header = localHeader(entry);
    await handle.writeFile(header);
    await handle.writeFile(bytes);
    written.push(entry);
    offset += header.length + size;
  }
  await handle.writeFile(endOfZip(written, offset));
}

/** What stands before an entry's bytes, padded so that these begin at a multiple of 64. */
export function localHeader({ name, size, crc, offset }: WrittenEntry): Buffer {
  const nameBytes = Buffer.from(name, "utf8");
  const isLarge = size >= tooLarge;
  const fixed = Buffer.alloc(30);
  fixed.writeUInt32LE(0x0403_4b50, 0);
  writeCommon(fixed, 4, { crc, size, isLarge });
  fixed.writeUInt16LE(nameBytes.length, 26);
  const zip64 = isLarge ? zip64Field([size, size]) : Buffer.alloc(0);
  const unpadded = offset + fixed.length + nameBytes.length + zip64.length + 4;
  const padding = Buffer.alloc(4 + ((alignment - (unpadded % alignment)) % alignment), "Z");
  padding.write("FB", 0, "latin1");
  padding.writeUInt16LE(padding.length - 4, 2);
  fixed.writeUInt16LE(zip64.length + padding.length, 28);
  return Buffer.concat([fixed, nameBytes, zip64, padding]);
}

/** The directory of all entries and the records that lead to it. */
export function endOfZip(entries: readonly WrittenEntry[], offset: number): Buffer {
  const directory = Buffer.concat(entries.map(directoryEntry));
  const counts = BigInt(entries.length);
  const end64 = Buffer.alloc(56);
  end64.writeUInt32LE(0x0606_4b50, 0);
  end64.writeBigUInt64LE(44n, 4);
  end64.writeUInt16LE(45, 12);
  end64.writeUInt16LE(45, 14);
  end64.writeBigUInt64LE(counts, 24);
  end64.writeBigUInt64LE(counts, 32);
  end64.writeBigUInt64LE(BigInt(directory.length), 40);
  end64.writeBigUInt64LE(BigInt(offset), 48);
  const locator = Buffer.alloc(20);
  locator.writeUInt32LE(0x0706_4b50, 0);
  locator.writeBigUInt64LE(BigInt(offset + directory.length), 8);
  locator.writeUInt32LE(1, 16);
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x0605_4b50, 0);
  end.writeUInt16LE(Math.min(entries.length, 0xffff), 8);
  end.writeUInt16LE(Math.min(entries.length, 0xffff), 10);
  end.writeUInt32LE(Math.min(directory.length, tooLarge), 12);
  end.writeUInt32LE(Math.min(offset, tooLarge), 16);
  return Buffer.concat([directory, end64, locator, end]);
}

function directoryEntry({ name, size, crc, offset }: WrittenEntry): Buffer {
  const nameBytes = Buffer.from(name, "utf8");
  const isLarge = size >= tooLarge;
  const isFar = offset >= tooLarge;
  const sizes = [...(isLarge ? [size, size] : []), ...(isFar ? [offset] : [])];
  const extra = sizes.length > 0 ? zip64Field(sizes) : Buffer.alloc(0);
  const fixed = Buffer.alloc(46);
  fixed.writeUInt32LE(0x0201_4b50, 0);
  fixed.writeUInt16LE(sizes.length > 0 ? 45 : 20, 4);
  writeCommon(fixed, 6, { crc, size, isLarge: sizes.length > 0 });
  fixed.writeUInt16LE(nameBytes.length, 28);
  fixed.writeUInt16LE(extra.length, 30);
  fixed.writeUInt32LE(Math.min(offset, tooLarge), 42);
  return Buffer.concat([fixed, nameBytes, extra]);
}

/** Version, flags (names are UTF-8), method 0, the first day of zip's calendar, CRC and both sizes. */
function writeCommon(
  header: Buffer,
  at: number,
  { crc, size, isLarge }: { crc: number; size: number; isLarge: boolean },
): void {
  header.writeUInt16LE(isLarge ? 45 : 20, at);
  header.writeUInt16LE(0x0800, at + 2);
  header.writeUInt16LE(0x0021, at + 8);
  header.writeUInt32LE(crc, at + 10);
  header.writeUInt32LE(Math.min(size, tooLarge), at + 14);
  header.writeUInt32LE(Math.min(size, tooLarge), at + 18);
}

function zip64Field(sizes: readonly number[]): Buffer {
  const field = Buffer.alloc(4 + 8 * sizes.length);
  field.writeUInt16LE(1, 0);
  field.writeUInt16LE(8 * sizes.length, 2);
  sizes.forEach((size, i) => field.writeBigUInt64LE(BigInt(size), 4 + 8 * i));
  return field;
}
