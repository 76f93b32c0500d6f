import { t } from "@vscode/l10n";
import { badFile } from "../base/errors.ts";
import {
  bytesOf,
  type Decoding,
  decodeEntry,
  integersOf,
  joined,
  numberOf,
  textOf,
  typeOf,
} from "./decode.ts";
import type { Initializer, InitializerData, OnnxType, Value } from "./graph.ts";
import { fieldIds } from "./protobuf.ts";
import type { RawField } from "./wire.ts";

/** Bits of an element; 0 where elements have no fixed size. */
const bits: Record<OnnxType, number> = {
  ...{ float32: 32, float16: 16, bfloat16: 16, float64: 64, bool: 8, string: 0 },
  ...{ int64: 64, int32: 32, int16: 16, int8: 8, int4: 4, int2: 2 },
  ...{ uint64: 64, uint32: 32, uint16: 16, uint8: 8, uint4: 4, uint2: 2 },
  ...{ float8e4m3fn: 8, float8e4m3fnuz: 8, float8e5m2: 8, float8e5m2fnuz: 8 },
  ...{ float4e2m1: 4, float8e8m0: 8 },
};

/** Bytes of a tensor's values; null for strings. @throws bad-file for more than a number can count */
function tensorBytes(
  { type, shape }: Pick<Initializer, "type" | "shape">,
  { name, file }: { name: string; file: string },
): number | null {
  const count = shape.reduce((product, size) => product * size, 1);
  if (
    shape.some((size) => size < 0 || !Number.isSafeInteger(size)) ||
    !Number.isSafeInteger(count)
  ) {
    throw badFile(file, t('tensor "{0}" has the impossible shape [{1}]', name, shape.join(", ")));
  }
  return bits[type] === 0 ? null : Math.ceil((count * bits[type]) / 8);
}

/** How the typed lists of a TensorProto hold the elements of each type, as onnx.proto lays them down. */
const lists: Partial<
  Record<OnnxType, [field: number, make: (values: bigint[]) => ArrayBufferView]>
> = {
  int32: [5, (values) => Int32Array.from(values, Number)],
  int16: [5, (values) => Int16Array.from(values, Number)],
  int8: [5, (values) => Int8Array.from(values, Number)],
  uint16: [5, (values) => Uint16Array.from(values, Number)],
  uint8: [5, (values) => Uint8Array.from(values, Number)],
  bool: [5, (values) => Uint8Array.from(values, Number)],
  float16: [5, (values) => Uint16Array.from(values, Number)],
  bfloat16: [5, (values) => Uint16Array.from(values, Number)],
  int64: [7, (values) => BigInt64Array.from(values)],
  uint64: [11, (values) => BigUint64Array.from(values)],
  uint32: [11, (values) => Uint32Array.from(values, Number)],
};

/** Values of floats and doubles are packed as they are in memory. */
const packedLists: Partial<Record<OnnxType, number>> = { float32: 4, float64: 10 };

const listFields = new Set([4, 5, 6, 7, 10, 11]);

/**
 * A TensorProto.
 * @param external where its raw values are in the file, when they were not read
 * @throws bad-file when shape and values disagree
 */
export function decodeTensor(
  fields: readonly RawField[],
  at: Decoding,
  external: InitializerData | null = null,
): Initializer {
  const ids = fieldIds.tensor;
  const shape: number[] = [];
  const entries = new Map<string, string>();
  const listed: RawField[] = [];
  const rest: Uint8Array[] = [];
  let [name, type, isExternal] = ["", "float32" as OnnxType, false];
  let raw: Uint8Array | null = null;
  for (const each of fields) {
    const { field } = each;
    if (field.id === ids.dims) shape.push(...integersOf(field).map(Number));
    else if (field.id === ids.type) type = typeOf(numberOf(field), "a tensor", at.file);
    else if (field.id === ids.name) name = textOf(field);
    else if (field.id === ids.raw) raw = bytesOf(field);
    else if (field.id === ids.external) entries.set(...decodeEntry(bytesOf(field)));
    else if (field.id === ids.location) isExternal = numberOf(field) === 1;
    else if (listFields.has(field.id)) listed.push(each);
    else rest.push(each.raw);
  }
  const wanted = tensorBytes({ type, shape }, { name, file: at.file });
  const data =
    external ??
    (isExternal
      ? at.external(name, new Map([["length", String(wanted ?? 0)], ...entries]))
      : valuesOf(type, { raw, listed, wanted }));
  checkSize({ data, wanted, name, file: at.file, shape });
  const carried = joined(rest);
  return { name: name as Value, type, shape, data, ...(carried && { rest: carried }) };
}

function valuesOf(
  type: OnnxType,
  { raw, listed, wanted }: { raw: Uint8Array | null; listed: RawField[]; wanted: number | null },
): InitializerData {
  if (raw) return { kind: "inline", bytes: Uint8Array.from(raw) };
  const [id, make] = lists[type] ?? [0, null];
  const own = listed.map(({ field }) => field);
  if (make && own.every((field) => field.id === id)) {
    const { buffer, byteOffset, byteLength } = make(own.flatMap(integersOf));
    return { kind: "inline", bytes: new Uint8Array(buffer, byteOffset, byteLength) };
  }
  if (own.length > 0 && own.every((field) => field.id === packedLists[type])) {
    return { kind: "inline", bytes: Uint8Array.from(Buffer.concat(own.map(bytesOf))) };
  }
  if (own.length === 0 && wanted === 0) return { kind: "inline", bytes: new Uint8Array(0) };
  return { kind: "encoded", fields: joined(listed.map((each) => each.raw)) ?? new Uint8Array(0) };
}

function checkSize(at: {
  data: InitializerData;
  wanted: number | null;
  name: string;
  file: string;
  shape: readonly number[];
}): void {
  const { data, wanted, name, file, shape } = at;
  if (data.kind === "encoded" || wanted === null) return;
  const own = data.kind === "inline" ? data.bytes.length : data.byteLength;
  if (own === wanted) return;
  throw badFile(
    file,
    t(
      'tensor "{0}" is [{1}], {2} bytes, but has {3} bytes of values',
      name,
      shape.join(", "),
      wanted,
      own,
    ),
  );
}
