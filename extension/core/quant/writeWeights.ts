import { t } from "@vscode/l10n";
import { createHash, type Hash } from "node:crypto";
import type { FileHandle } from "node:fs/promises";
import { byteLengthOf, type Dtype, toFloat32 } from "../base/dtype.ts";
import { badFile, unsupported } from "../base/errors.ts";
import { fromFloat32 } from "../base/halfFloat.ts";
import { transposed } from "../base/matrix.ts";
import { pause } from "../base/pause.ts";
import type { Shape } from "../base/shape.ts";
import { readWeight } from "../checkpoint/readWeight.ts";
import { emptyRows, packRows, type PackedRows } from "./nBits.ts";
import type { PackedItem, PackedSection, PlainItem, WeightPlan } from "./plan.ts";

/** What rounding took from one layer. */
export interface LayerError {
  readonly path: string;
  /** Root mean square of the difference, as a share of the weight's own. */
  readonly relative: number;
  readonly error: number;
  readonly total: number;
}

export interface WrittenWeights {
  /** Layers that were rounded by Graft; those taken over without loss are not among them. */
  readonly errors: readonly LayerError[];
  /** SHA-256 of the whole file. */
  readonly sha256: string;
}

/** Numbers that are rounded in one go: 16 MB of fp32. */
const chunk = 4 * 1024 * 1024;

interface Entry {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: Shape;
}

/** Bytes of the file that a plan writes. */
export function plannedBytes(plan: WeightPlan): number {
  return (
    encodeHeader(plan).byteLength +
    entriesOf(plan).reduce((sum, each) => sum + byteLengthOf(each), 0)
  );
}

/** Bytes that are read while a plan is written. */
export function sourceBytes({ packed, plain }: WeightPlan): number {
  const own = packed.flatMap(({ items }) => items.map(({ source }) => source.bytes));
  const rest = plain.map(({ source, ref }) => source?.bytes ?? ref.byteLength);
  return [...own, ...rest].reduce((sum, bytes) => sum + bytes, 0);
}

/**
 * Writes a plan's tensors as a safetensors file, from its start, one after the other: layers' codes in
 * parts, so that no more than a few rows or one tensor stand in memory.
 * @param onRead is told how many bytes were read since the last call
 * @throws bad-file when a weight holds NaN or infinity, unsupported when one is too large for fp16
 */
export async function writeWeights(
  handle: FileHandle,
  plan: WeightPlan,
  at: { onRead: (bytes: number) => void; signal?: AbortSignal | undefined },
): Promise<WrittenWeights> {
  const out = new HashedFile(handle);
  await out.write(encodeHeader(plan));
  const errors: LayerError[] = [];
  const zeroPoints: Uint8Array[] = [];
  for (const section of plan.packed) {
    const written = await writeSection(out, section, at);
    errors.push(...written.errors);
    zeroPoints.push(...written.zeroPoints);
  }
  for (const item of plan.plain) {
    await out.write(await plainBytes(item, at.signal));
    at.onRead(item.source?.bytes ?? item.ref.byteLength);
    await pause(at.signal);
  }
  for (const bytes of zeroPoints) await out.write(bytes);
  return { errors, sha256: out.digest() };
}

/** A file that is written in order, and hashed. */
class HashedFile {
  private readonly hash: Hash = createHash("sha256");

  constructor(private readonly handle: FileHandle) {}

  async write(bytes: Uint8Array): Promise<void> {
    this.hash.update(bytes);
    await this.handle.writeFile(bytes);
  }

  digest(): string {
    return this.hash.digest("hex");
  }
}

/** Codes of all layers, then their scales and order; zero points come last in the file. */
async function writeSection(
  out: HashedFile,
  section: PackedSection,
  at: { onRead: (bytes: number) => void; signal?: AbortSignal | undefined },
): Promise<{ errors: LayerError[]; zeroPoints: Uint8Array[] }> {
  const errors: LayerError[] = [];
  const zeroPoints: Uint8Array[] = [];
  const scales: Float32Array[] = [];
  let order: Uint32Array | undefined;
  for (const item of section.items) {
    const { lossless } = item.source;
    if (item.isLossless && lossless) {
      const rows = await lossless.read(at.signal);
      await out.write(rows.codes);
      scales.push(rows.scales);
      if (section.hasZeroPoints && rows.zeroPoints) zeroPoints.push(rows.zeroPoints);
      order = rows.order;
      at.onRead(item.source.bytes);
      await pause(at.signal);
    } else {
      errors.push(await writeRounded(out, item, { ...at, section, scales }));
    }
  }
  for (const each of scales) await out.write(bytesOf(each));
  if (section.isSorted && order) {
    await out.write(bytesOf(BigInt64Array.from(order, BigInt)));
  }
  return { errors, zeroPoints };
}

async function writeRounded(
  out: HashedFile,
  { path, source }: PackedItem,
  at: {
    section: PackedSection;
    scales: Float32Array[];
    onRead: (bytes: number) => void;
    signal?: AbortSignal | undefined;
  },
): Promise<LayerError> {
  const { layout } = at.section;
  const step = Math.max(1, Math.floor(chunk / Math.max(1, source.in)));
  let error = 0;
  let total = 0;
  for (let first = 0; first < source.out; first += step) {
    const end = Math.min(first + step, source.out);
    const values = await source.rows(first, end, at.signal);
    const rows: PackedRows = emptyRows(layout, end - first);
    const squares = packRows(values, layout, rows);
    error += squares.error;
    total += squares.total;
    await out.write(rows.codes);
    at.scales.push(rows.scales);
    at.onRead((source.bytes * (end - first)) / source.out);
    await pause(at.signal);
  }
  if (!Number.isFinite(total)) {
    throw badFile(path, t("its weight holds NaN or infinite values, which cannot be quantized"));
  }
  return { path, relative: total === 0 ? 0 : Math.sqrt(error / total), error, total };
}

async function plainBytes(
  { ref, name, dtype, source, isTransposed }: PlainItem,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  const values = await plainValues({ ref, source, isTransposed }, signal);
  const bytes = fromFloat32(values, dtype);
  if (
    dtype === "F16" &&
    toFloat32(bytes, dtype).some((value, i) => value !== values[i] && Math.abs(value) === Infinity)
  ) {
    throw unsupported(
      t('{0}: tensor "{1}" has values that are too large for fp16', ref.file, name),
      t("Choose bf16 or int8."),
    );
  }
  return bytes;
}

/** The numbers of a tensor that is not packed, before they are rounded. */
export async function plainValues(
  { ref, source, isTransposed }: Pick<PlainItem, "ref" | "source" | "isTransposed">,
  signal?: AbortSignal,
): Promise<Float32Array> {
  if (source) {
    const rows = await source.rows(0, source.out, signal);
    return isTransposed ? Float32Array.from(transposed(rows, source.out, source.in)) : rows;
  }
  return readWeight(ref, signal);
}

function bytesOf(values: Float32Array | BigInt64Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

/** Tensors in the order in which they are written. */
function entriesOf({ packed, plain }: WeightPlan): Entry[] {
  const sections = packed.flatMap((section): Entry[] => {
    const { name, layout, isSorted } = section;
    const { rows, blocks } = sizesOf(section);
    const bytes = (layout.blockSize * layout.bits) / 8;
    return [
      { name: `${name}.codes`, dtype: "U8", shape: [rows, blocks, bytes] },
      { name: `${name}.scales`, dtype: "F32", shape: [rows, blocks] },
      ...(isSorted
        ? [{ name: `${name}.order`, dtype: "I64", shape: [layout.columns] } as const]
        : []),
    ];
  });
  const rest = plain.map(({ name, ref, dtype, source, isTransposed }): Entry => {
    if (!source) return { name, dtype, shape: ref.shape };
    const shape = [source.out, source.in];
    return { name, dtype, shape: isTransposed ? shape.reverse() : shape };
  });
  const zeroPoints = packed
    .filter(({ hasZeroPoints }) => hasZeroPoints)
    .map((section): Entry => {
      const { rows, blocks } = sizesOf(section);
      const rowBytes = Math.ceil((blocks * section.layout.bits) / 8);
      return { name: `${section.name}.zero_points`, dtype: "U8", shape: [rows, rowBytes] };
    });
  return [...sections, ...rest, ...zeroPoints];
}

function sizesOf({ items, layout }: PackedSection): { rows: number; blocks: number } {
  const rows = items.reduce((sum, { source }) => sum + source.out, 0);
  return { rows, blocks: Math.ceil(layout.columns / layout.blockSize) };
}

/** What a plan's file begins with. */
export function encodeHeader(plan: WeightPlan): Uint8Array {
  const header = Object.create(null) as Record<string, unknown>;
  let position = 0;
  for (const entry of entriesOf(plan)) {
    const { name, dtype, shape } = entry;
    header[name] = { dtype, shape, data_offsets: [position, (position += byteLengthOf(entry))] };
  }
  const text = JSON.stringify(header);
  const padding = " ".repeat((8 - (Buffer.byteLength(text) % 8)) % 8);
  const json = Buffer.from(text + padding, "utf8");
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([length, json]);
}
