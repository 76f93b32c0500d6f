import { t } from "@vscode/l10n";
import { badRequest, throwIfAborted, unsupported } from "../base/errors.ts";
import { writeAtomically } from "../base/files.ts";
import {
  dataTypes,
  formatVersion,
  identifier,
  largestFile,
  type OrtAdapter,
  type Parameter,
} from "./format.ts";

/** A table of four fields of 4 bytes behind its own offset: both kinds have the same vtable. */
const tableSize = 20;
const vtable = [12, tableSize, 4, 8, 12, 16];
const vtableAt = 8;
const rootAt = vtableAt + 2 * vtable.length;
/** The list of parameters. */
const listAt = rootAt + tableSize;

/** Writes an adapter file atomically. */
export async function writeOrtAdapter(
  file: string,
  adapter: OrtAdapter,
  signal?: AbortSignal,
): Promise<void> {
  const { head, data } = layOut(adapter, file);
  await writeAtomically(file, async (handle) => {
    await handle.writeFile(head);
    for (const part of data) {
      throwIfAborted(signal);
      await handle.writeFile(part);
    }
  });
}

/** Where the parts of a parameter stand, in bytes from the file's start. */
interface Place {
  readonly table: number;
  readonly name: number;
  readonly dims: number;
  readonly data: number;
}

/** Everything but the values in one buffer, then each parameter's values with padding before. */
function layOut(adapter: OrtAdapter, file: string): { head: Buffer; data: Uint8Array[] } {
  const { parameters } = adapter;
  const names = parameters.map(({ name }) => Buffer.from(name, "utf8"));
  let end = listAt + 4 + 4 * parameters.length;
  const heads = parameters.map(({ shape }, i) => {
    const table = end;
    const name = table + tableSize;
    // A string ends with a zero byte that its length does not count.
    const dims = lengthBefore(name + 4 + (names[i] as Buffer).length + 1);
    end = dims + 4 + 8 * shape.length;
    return { table, name, dims };
  });
  const head = Buffer.alloc(end);
  const places = heads.map((each, i): Place => {
    const data = lengthBefore(end);
    end = data + 4 + (parameters[i] as Parameter).bytes.length;
    return { ...each, data };
  });
  if (end > largestFile) {
    throw unsupported(t("{0} would take {1} bytes; the format holds {2}", file, end, largestFile));
  }
  writeRoot(head, adapter);
  places.forEach((place, i) => {
    const entry = listAt + 4 + 4 * i;
    head.writeUInt32LE(place.table - entry, entry);
    writeParameter(head, parameters[i] as Parameter, { place, name: names[i] as Buffer });
  });
  return { head, data: valuesOf(parameters, places, head.length) };
}

function writeRoot(head: Buffer, { adapterVersion, modelVersion, parameters }: OrtAdapter): void {
  head.writeUInt32LE(rootAt, 0);
  head.write(identifier, 4, "latin1");
  vtable.forEach((value, i) => head.writeUInt16LE(value, vtableAt + 2 * i));
  writeTable(head, rootAt, [formatVersion, adapterVersion, modelVersion, listAt - (rootAt + 16)]);
  head.writeUInt32LE(parameters.length, listAt);
}

/** Offsets in a table count from the field that holds them. */
function writeParameter(
  head: Buffer,
  { shape, ...parameter }: Parameter,
  { place, name }: { place: Place; name: Buffer },
): void {
  const { table, name: nameAt, dims, data } = place;
  const type = typeOf(parameter);
  writeTable(head, table, [nameAt - (table + 4), dims - (table + 8), type, data - (table + 16)]);
  head.writeUInt32LE(name.length, nameAt);
  name.copy(head, nameAt + 4);
  head.writeUInt32LE(shape.length, dims);
  shape.forEach((size, d) => head.writeBigInt64LE(BigInt(size), dims + 4 + 8 * d));
}

function writeTable(head: Buffer, at: number, fields: readonly number[]): void {
  head.writeInt32LE(at - vtableAt, at);
  fields.forEach((value, i) => head.writeInt32LE(value, at + 4 + 4 * i));
}

/** Where the length of a vector stands whose elements begin at a multiple of 8. */
function lengthBefore(end: number): number {
  return Math.ceil((end + 4) / 8) * 8 - 4;
}

function valuesOf(
  parameters: readonly Parameter[],
  places: readonly Place[],
  start: number,
): Uint8Array[] {
  let end = start;
  return parameters.flatMap(({ bytes }, i) => {
    const { data } = places[i] as Place;
    const before = Buffer.alloc(data + 4 - end);
    before.writeUInt32LE(bytes.length, before.length - 4);
    end = data + 4 + bytes.length;
    return [before, bytes];
  });
}

function typeOf({ name, dtype }: Pick<Parameter, "name" | "dtype">): number {
  const [type] = [...dataTypes].find(([, own]) => own === dtype) ?? [];
  if (type !== undefined) return type;
  throw badRequest(t('Tensor "{0}" is {1}, which the format has no name for.', name, dtype));
}
