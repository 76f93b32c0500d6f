/** PNG (https://www.w3.org/TR/png-3/) as rows of red, green and blue; transparency is dropped, as PIL's convert("RGB") does. */
import { t } from "@vscode/l10n";
import { inflateSync } from "node:zlib";
import { badFile, unsupported } from "../base/errors.ts";
import type { RgbImage } from "./resize.ts";

const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);

/** More pixels than any camera takes: a small file can claim to be a very large image. */
const mostPixels = 2 ** 27;

/** Values a pixel, by colour type. */
const channelsOf: Readonly<Record<number, number>> = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };

interface Header {
  readonly width: number;
  readonly height: number;
  readonly depth: number;
  readonly colour: number;
}

export function isPng(bytes: Buffer): boolean {
  return bytes.subarray(0, signature.length).equals(signature);
}

/** @throws bad-file or unsupported, naming the file */
export function decodePng(bytes: Buffer, file: string): RgbImage {
  const chunks = chunksOf(bytes, file);
  const header = headerOf(chunks, file);
  const { width, height, depth, colour } = header;
  const bits = (channelsOf[colour] as number) * depth;
  const rowBytes = Math.ceil((width * bits) / 8);
  const packed = Buffer.concat(chunks.filter(({ type }) => type === "IDAT").map((c) => c.data));
  const length = height * (rowBytes + 1);
  const raw = inflated(packed, length, file);
  const rows = unfiltered(raw, { height, rowBytes, step: Math.max(1, bits >> 3) }, file);
  const palette = chunks.find(({ type }) => type === "PLTE")?.data;
  if (colour === 3 && !palette) throw badFile(file, t("its palette is missing"));
  const values = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++) {
    const row = rows.subarray(y * rowBytes, (y + 1) * rowBytes);
    for (let x = 0; x < width; x++) {
      const at = (y * width + x) * 3;
      const [red, green, blue] = pixel(row, x, { header, palette });
      values[at] = red;
      values[at + 1] = green;
      values[at + 2] = blue;
    }
  }
  return { width, height, values };
}

function chunksOf(bytes: Buffer, file: string): { type: string; data: Buffer }[] {
  const chunks: { type: string; data: Buffer }[] = [];
  let offset = signature.length;
  while (offset + 12 <= bytes.length) {
    const length = bytes.readUInt32BE(offset);
    const type = bytes.toString("latin1", offset + 4, offset + 8);
    const end = offset + 8 + length;
    if (end + 4 > bytes.length) throw badFile(file, t("chunk {0} is cut off", type));
    chunks.push({ type, data: bytes.subarray(offset + 8, end) });
    if (type === "IEND") break;
    offset = end + 4;
  }
  return chunks;
}

function headerOf(chunks: readonly { type: string; data: Buffer }[], file: string): Header {
  const [first] = chunks;
  if (first?.type !== "IHDR" || first.data.length !== 13)
    throw badFile(file, t("it has no header"));
  const { data } = first;
  const [width, height] = [data.readUInt32BE(0), data.readUInt32BE(4)];
  const [depth = 0, colour = 0, , , interlace = 0] = data.subarray(8);
  const isKnown = channelsOf[colour] !== undefined && [1, 2, 4, 8, 16].includes(depth);
  if (!isKnown || width === 0 || height === 0)
    throw badFile(file, t("its header is none of PNG's"));
  if (width * height > mostPixels) {
    throw badFile(file, t("it says to be {0} × {1} pixels", width, height));
  }
  if (interlace !== 0) {
    throw unsupported(t("{0} is an interlaced PNG", file), t("Save it without interlacing."));
  }
  return { width, height, depth, colour };
}

function inflated(packed: Buffer, length: number, file: string): Buffer {
  let raw: Buffer;
  try {
    raw = inflateSync(packed, { maxOutputLength: length + 1 });
  } catch {
    throw badFile(file, t("its pixels cannot be unpacked"));
  }
  if (raw.length < length)
    throw badFile(file, t("it has {0} of {1} bytes of pixels", raw.length, length));
  return raw;
}

/** Undoes each row's filter (PNG 9.2). */
function unfiltered(
  raw: Buffer,
  { height, rowBytes, step }: { height: number; rowBytes: number; step: number },
  file: string,
): Uint8Array {
  const rows = new Uint8Array(height * rowBytes);
  for (let y = 0; y < height; y++) {
    const filter = raw[y * (rowBytes + 1)] as number;
    if (filter > 4) throw badFile(file, t("row {0} has filter {1}", y, filter));
    for (let i = 0; i < rowBytes; i++) {
      const at = y * rowBytes + i;
      const left = i >= step ? (rows[at - step] as number) : 0;
      const up = y > 0 ? (rows[at - rowBytes] as number) : 0;
      const corner = y > 0 && i >= step ? (rows[at - rowBytes - step] as number) : 0;
      const guess = [0, left, up, (left + up) >> 1, paeth(left, up, corner)][filter] as number;
      rows[at] = (raw[y * (rowBytes + 1) + 1 + i] as number) + guess;
    }
  }
  return rows;
}

function paeth(left: number, up: number, corner: number): number {
  const sum = left + up - corner;
  const [a, b, c] = [Math.abs(sum - left), Math.abs(sum - up), Math.abs(sum - corner)];
  if (a <= b && a <= c) return left;
  return b <= c ? up : corner;
}

function pixel(
  row: Uint8Array,
  x: number,
  { header, palette }: { header: Header; palette: Buffer | undefined },
): [number, number, number] {
  const { depth, colour } = header;
  const channels = channelsOf[colour] as number;
  const value = (channel: number): number => {
    const bit = (x * channels + channel) * depth;
    const byte = row[bit >> 3] as number;
    if (depth >= 8) return byte;
    const small = (byte >> (8 - depth - (bit & 7))) & ((1 << depth) - 1);
    return colour === 3 ? small : Math.round((small * 255) / ((1 << depth) - 1));
  };
  if (colour === 3 && palette) {
    const at = value(0) * 3;
    return [palette[at] ?? 0, palette[at + 1] ?? 0, palette[at + 2] ?? 0];
  }
  if (channels < 3) return [value(0), value(0), value(0)];
  return [value(0), value(1), value(2)];
}
