import { t } from "@vscode/l10n";
import { open } from "node:fs/promises";
import { bitsOf } from "../base/dtype.ts";
import { badFile, notFound, throwIfAborted, unsupported } from "../base/errors.ts";
import { showShape } from "../base/shape.ts";
import {
  adapterFields,
  dataTypes,
  formatVersion,
  identifier,
  largestFile,
  type OrtAdapter,
  type Parameter,
  parameterFields,
} from "./format.ts";

/**
 * Reads an adapter file whole; every offset and length is checked before it is followed.
 * @throws bad-file naming what is broken, unsupported for another version of the format
 */
export async function readOrtAdapter(file: string, signal?: AbortSignal): Promise<OrtAdapter> {
  const bytes = await readBounded(file);
  throwIfAborted(signal);
  return parseOrtAdapter(bytes, file);
}

/** The same of a file's bytes. */
export function parseOrtAdapter(bytes: Buffer, file: string): OrtAdapter {
  if (bytes.length < 8 || bytes.toString("latin1", 4, 8) !== identifier) {
    throw badFile(file, t("is no adapter of ONNX Runtime: bytes 4 to 8 are not {0}", identifier));
  }
  const buffer = new FlatBuffer(bytes, file);
  const root = buffer.table(buffer.u32(0, "the root table"), "the root table");
  const version = buffer.int(root, adapterFields.formatVersion);
  if (version !== formatVersion) {
    throw unsupported(t("{0}: format version {1}; Graft reads {2}", file, version, formatVersion));
  }
  const names = new Set<string>();
  let total = 0;
  const parameters = buffer.tables(root, adapterFields.parameters).map((table, i) => {
    const parameter = readParameter(buffer, table, { file, i });
    if (names.has(parameter.name)) throw badFile(file, t('names "{0}" twice', parameter.name));
    names.add(parameter.name);
    // Parameters that share their bytes could ask for any amount of memory.
    total += parameter.bytes.length;
    if (total > bytes.length) throw badFile(file, t("has parameters that overlap"));
    return parameter;
  });
  return {
    adapterVersion: buffer.int(root, adapterFields.adapterVersion),
    modelVersion: buffer.int(root, adapterFields.modelVersion),
    parameters,
  };
}

function readParameter(
  buffer: FlatBuffer,
  table: Table,
  { file, i }: { file: string; i: number },
): Parameter {
  const name = buffer.text(table, parameterFields.name);
  if (name === "") throw badFile(file, t("parameter {0} has no name", i));
  const fail = (problem: string): Error => badFile(file, t('parameter "{0}": {1}', name, problem));
  const type = buffer.int(table, parameterFields.dataType);
  const dtype = dataTypes.get(type);
  if (dtype === undefined) throw fail(t("data type {0} is not known", type));
  const shape = buffer.sizes(table, parameterFields.dims);
  if (!shape.every((size) => Number.isSafeInteger(size) && size >= 0)) {
    throw fail(t("{0} is no shape", showShape(shape)));
  }
  const bits = shape.reduce((product, size) => product * size, bitsOf(dtype));
  const own = buffer.bytes(table, parameterFields.rawData);
  if (bits !== own.length * 8) {
    throw fail(
      t("{0} {1} needs {2} bytes, it has {3}", dtype, showShape(shape), bits / 8, own.length),
    );
  }
  return { name, dtype, shape, bytes: own };
}

/** A table and the table of its fields' places. */
interface Table {
  readonly at: number;
  readonly size: number;
  readonly vtable: number;
  readonly fields: number;
}

/** Follows offsets of a FlatBuffer; none leads outside. */
class FlatBuffer {
  constructor(
    private readonly data: Buffer,
    private readonly file: string,
  ) {}

  u32(at: number, what: string): number {
    this.check(at, 4, what);
    return this.data.readUInt32LE(at);
  }

  table(at: number, what: string): Table {
    this.check(at, 4, what);
    const vtable = at - this.data.readInt32LE(at);
    this.check(vtable, 4, what);
    const [length, size] = [this.data.readUInt16LE(vtable), this.data.readUInt16LE(vtable + 2)];
    if (length < 4 || length % 2 !== 0 || size < 4) throw this.broken(what);
    this.check(vtable, length, what);
    this.check(at, size, what);
    return { at, size, vtable, fields: (length - 4) / 2 };
  }

  /** 0 where the field is absent. */
  int(table: Table, field: number): number {
    const at = this.place(table, field);
    return at === null ? 0 : this.data.readInt32LE(at);
  }

  text(table: Table, field: number): string {
    const bytes = this.bytes(table, field);
    try {
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    } catch {
      throw badFile(this.file, t("holds a name that is not UTF-8"));
    }
  }

  /** int64 values; one beyond what a number holds is NaN. */
  sizes(table: Table, field: number): number[] {
    const { start, count } = this.vector(table, field, 8);
    return Array.from({ length: count }, (_, i) => {
      const value = Number(this.data.readBigInt64LE(start + 8 * i));
      return Number.isSafeInteger(value) ? value : NaN;
    });
  }

  bytes(table: Table, field: number): Uint8Array {
    const { start, count } = this.vector(table, field, 1);
    return new Uint8Array(this.data.buffer, this.data.byteOffset + start, count);
  }

  tables(table: Table, field: number): Table[] {
    const { start, count } = this.vector(table, field, 4);
    return Array.from({ length: count }, (_, i) => {
      const at = start + 4 * i;
      return this.table(at + this.u32(at, `parameter ${i}`), `parameter ${i}`);
    });
  }

  private vector(
    table: Table,
    field: number,
    size: number,
  ): { readonly start: number; readonly count: number } {
    const at = this.place(table, field);
    if (at === null) return { start: 0, count: 0 };
    const start = at + this.data.readUInt32LE(at);
    const count = this.u32(start, "a list");
    this.check(start + 4, count * size, "a list");
    return { start: start + 4, count };
  }

  /** Where the 4 bytes of a field stand; null where it is absent. */
  private place({ at, size, vtable, fields }: Table, field: number): number | null {
    const offset = field < fields ? this.data.readUInt16LE(vtable + 4 + 2 * field) : 0;
    if (offset === 0) return null;
    if (offset + 4 > size) throw this.broken("a table");
    return at + offset;
  }

  private check(at: number, length: number, what: string): void {
    if (at >= 0 && at + length <= this.data.length) return;
    throw badFile(
      this.file,
      t("is truncated or broken: {0} lies outside its {1} bytes", what, this.data.length),
    );
  }

  private broken(what: string): Error {
    return badFile(this.file, t("is broken: {0} has no valid layout", what));
  }
}

async function readBounded(file: string): Promise<Buffer> {
  const handle = await open(file, "r").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") throw notFound(t("File"), file);
    throw badFile(file, t("cannot be opened ({0})", error.code ?? error.message));
  });
  try {
    const { size } = await handle.stat();
    if (size > largestFile) {
      throw badFile(file, t("has {0} bytes; the format holds {1}", size, largestFile));
    }
    return await handle.readFile();
  } finally {
    await handle.close();
  }
}
