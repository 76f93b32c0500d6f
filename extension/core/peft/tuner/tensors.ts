import { t } from "@vscode/l10n";
import { isReadableDtype, toFloat32 } from "../../base/dtype.ts";
import { badFile } from "../../base/errors.ts";
import { elementCount, type Shape } from "../../base/shape.ts";
import type { TensorEntry } from "../../safetensors/header.ts";
import { readFloat32, readTensors } from "../../safetensors/read.ts";
import type { Binding } from "./binding.ts";

/** The stored tensors of one module, by what follows the module's path on disk. */
export interface ModuleTensors {
  has(suffix: string): boolean;
  /** Row-major fp32. @throws when the file has none or it is not floating-point */
  values(suffix: string): Float32Array;
  /** Integer tensors (indices), as numbers. */
  integers(suffix: string): number[];
  shape(suffix: string): Shape;
}

/** A tensor that is not in the file as it is, but made of some that are. */
export interface MadeEntry extends TensorEntry {
  readonly dtype: "F32";
  readonly made: {
    readonly from: readonly TensorEntry[];
    /** The values of `from` → its own. */
    of(values: readonly Float32Array[]): Float32Array;
  };
}

/** Tensor bytes by the name in the file. */
export type Values = ReadonlyMap<string, { entry: TensorEntry; bytes: Uint8Array }>;

/** Reads every tensor that a binding takes. */
export async function readAll(bound: Binding, file: string, signal?: AbortSignal): Promise<Values> {
  const entries = [
    ...[...bound.stored.values()].flatMap((tensors) => [...tensors.values()]),
    ...bound.whole.map(({ entry }) => entry),
    ...bound.shared.values(),
  ];
  return readEntries(entries, file, signal);
}

/** Reads tensors; one that is made of others is made of what the file has. */
export async function readEntries(
  entries: readonly TensorEntry[],
  file: string,
  signal?: AbortSignal,
): Promise<Values> {
  const stored = entries.filter((entry) => !isMade(entry));
  const bytes = await readTensors(file, stored, signal);
  const values = new Map(
    stored.map((entry, i) => [entry.name, { entry, bytes: bytes[i] as Uint8Array }]),
  );
  for (const entry of entries.filter(isMade)) {
    const parts = await readFloat32(file, entry.made.from, signal);
    const own = entry.made.of(entry.made.from.map(({ name }) => parts.get(name) as Float32Array));
    values.set(entry.name, { entry, bytes: new Uint8Array(own.buffer) });
  }
  return values;
}

function isMade(entry: TensorEntry): entry is MadeEntry {
  return "made" in entry;
}

/** A floating-point tensor as fp32. */
export function floats(values: Values, { name, dtype }: TensorEntry, file: string): Float32Array {
  if (!isReadableDtype(dtype)) {
    throw badFile(file, t('tensor "{0}" is {1}; a floating-point type is needed', name, dtype));
  }
  return toFloat32((values.get(name) as { bytes: Uint8Array }).bytes, dtype);
}

/** Some tensors by the names that a method knows them by. */
export function tensorsOf(
  entries: ReadonlyMap<string, TensorEntry>,
  values: Values,
  file: string,
): ModuleTensors {
  const need = (suffix: string): TensorEntry => {
    const entry = entries.get(suffix);
    if (!entry) throw badFile(file, t('has no tensor "{0}"', suffix));
    return entry;
  };
  return {
    has: (suffix) => entries.has(suffix),
    values: (suffix) => floats(values, need(suffix), file),
    shape: (suffix) => need(suffix).shape,
    integers: (suffix) =>
      integers(values.get(need(suffix).name) as { entry: TensorEntry; bytes: Uint8Array }, file),
  };
}

function integers(
  { entry, bytes }: { entry: TensorEntry; bytes: Uint8Array },
  file: string,
): number[] {
  const { buffer, byteOffset } = bytes;
  const length = elementCount(entry.shape);
  switch (entry.dtype) {
    case "I64":
      return Array.from(new BigInt64Array(buffer, byteOffset, length), Number);
    case "I32":
      return [...new Int32Array(buffer, byteOffset, length)];
    case "I16":
      return [...new Int16Array(buffer, byteOffset, length)];
    case "F32":
      // On Windows PEFT writes indices as floats.
      return Array.from(new Float32Array(buffer, byteOffset, length), Math.trunc);
    case "U8":
    case "BOOL":
      return [...bytes];
    default:
      throw badFile(
        file,
        t('tensor "{0}" is {1}; an integer type is needed', entry.name, entry.dtype),
      );
  }
}
