import { t } from "@vscode/l10n";
import { badFile } from "../base/errors.ts";
import type { BaseCheckpoint, WeightRef } from "../checkpoint/baseCheckpoint.ts";
import type { FileRange, PackedWeight } from "../checkpoint/packedWeight.ts";
import { type SafetensorsFile, readTensors } from "../safetensors/read.ts";
import { unpackRows } from "./nBits.ts";
import type { PackedSection, WeightPlan } from "./plan.ts";
import { plainValues } from "./writeWeights.ts";

/** A checkpoint with what a plan wrote in the place of its own weights; all of it is mapped from disk. */
export function mapWeights(
  checkpoint: BaseCheckpoint,
  plan: WeightPlan,
  at: { file: SafetensorsFile; accuracyLevel: PackedWeight["accuracyLevel"] },
): BaseCheckpoint {
  const { file, accuracyLevel } = at;
  const entries = new Map(file.tensors.map((entry) => [entry.name, entry]));
  const rangeOf = (name: string): FileRange => {
    const entry = entries.get(name);
    if (!entry) throw badFile(file.file, t('tensor "{0}" is missing', name));
    return { file: file.file, offset: entry.offset, byteLength: entry.byteLength };
  };
  const weights = new Map<string, WeightRef>(checkpoint.weights);
  for (const { name, ref } of plan.plain) {
    const entry = entries.get(name);
    if (!entry) throw badFile(file.file, t('tensor "{0}" is missing', name));
    weights.set(name, { ...entry, name: ref.name, file: file.file });
  }
  const packed = new Map<string, PackedWeight>(checkpoint.packed);
  for (const section of plan.packed) {
    for (const [path, w] of rowsOf(section, rangeOf)) {
      packed.set(`${path}.weight`, { ...w, accuracyLevel });
    }
  }
  for (const { name } of plan.plain) packed.delete(name);
  const unpacked = new Map(
    [...packed].map(([name, w]) => [
      name,
      (signal?: AbortSignal): Promise<Float32Array> => readPacked(w, signal),
    ]),
  );
  return { ...checkpoint, weights, packed, unpacked };
}

/** The same with numbers that are read from what the plan rounds: of a file that holds none. */
export function withSourceValues(checkpoint: BaseCheckpoint, plan: WeightPlan): BaseCheckpoint {
  const unpacked = new Map(checkpoint.unpacked);
  for (const { path, source } of plan.packed.flatMap(({ items }) => items)) {
    unpacked.set(`${path}.weight`, (signal) => source.rows(0, source.out, signal));
  }
  for (const item of plan.plain) unpacked.set(item.name, (signal) => plainValues(item, signal));
  return { ...checkpoint, unpacked };
}

/** Each layer's rows of its section's tensors. */
function rowsOf(
  { name, layout, items, hasZeroPoints, isSorted }: PackedSection,
  rangeOf: (name: string) => FileRange,
): [string, Omit<PackedWeight, "accuracyLevel">][] {
  const rows = items.reduce((sum, { source }) => sum + source.out, 0);
  const [codes, scales] = [rangeOf(`${name}.codes`), rangeOf(`${name}.scales`)];
  const zeroPoints = hasZeroPoints ? rangeOf(`${name}.zero_points`) : undefined;
  const order = isSorted ? rangeOf(`${name}.order`) : undefined;
  let first = 0;
  return items.map(({ path, source }) => {
    const part = ({ file, offset, byteLength }: FileRange): FileRange => {
      const each = byteLength / rows;
      return { file, offset: offset + first * each, byteLength: source.out * each };
    };
    const w = {
      bits: layout.bits,
      blockSize: layout.blockSize,
      in: source.in,
      out: source.out,
      codes: part(codes),
      scales: part(scales),
      ...(zeroPoints && { zeroPoints: part(zeroPoints) }),
      ...(order && { order }),
    };
    first += source.out;
    return [path, w] as const;
  });
}

/** The numbers [out, in] that a packed weight stands for, as they are computed with. */
async function readPacked(w: PackedWeight, signal?: AbortSignal): Promise<Float32Array> {
  const codes = await readRange(w.codes, signal);
  const scales = await readRange(w.scales, signal);
  const zeroPoints = w.zeroPoints && (await readRange(w.zeroPoints, signal));
  const order = w.order && (await readRange(w.order, signal));
  const values = unpackRows(
    {
      codes,
      scales: new Float32Array(scales.buffer),
      ...(zeroPoints && { zeroPoints }),
    },
    { bits: w.bits, blockSize: w.blockSize, columns: w.in },
  );
  return order ? unsorted(values, new BigInt64Array(order.buffer)) : values;
}

async function readRange(range: FileRange, signal?: AbortSignal): Promise<Uint8Array> {
  const entry = { ...range, name: "", dtype: "U8", shape: [range.byteLength] } as const;
  return (await readTensors(range.file, [entry], signal))[0] as Uint8Array;
}

function unsorted(values: Float32Array, order: BigInt64Array): Float32Array {
  const columns = order.length;
  const places = Int32Array.from(order, Number);
  const out = new Float32Array(values.length);
  for (let start = 0; start < values.length; start += columns) {
    for (let i = 0; i < columns; i++) {
      out[start + (places[i] as number)] = values[start + i] as number;
    }
  }
  return out;
}
