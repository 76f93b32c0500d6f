import { t } from "@vscode/l10n";
/**
 * Protocol Buffers' wire format (https://protobuf.dev/programming-guides/encoding): just enough to
 * read and write ONNX with every byte range known and every field that is not understood kept.
 */

/** One field of a message: its number and what it holds, by wire type. */
export type Field =
  | { readonly id: number; readonly kind: "varint"; readonly value: bigint }
  | { readonly id: number; readonly kind: "fixed32" | "fixed64"; readonly bytes: Uint8Array }
  | { readonly id: number; readonly kind: "bytes"; readonly bytes: Uint8Array };

/** A field and the bytes that hold it, tag included. */
export interface RawField {
  readonly field: Field;
  readonly raw: Uint8Array;
}

/** A message that ends in the middle of a field, or has a tag that there is none of. */
export class WireError extends Error {}

/** A varint of at most ten bytes, as ONNX's integers are. */
export function readVarint(bytes: Uint8Array, start: number): { value: bigint; end: number } {
  let small = 0;
  for (let i = 0; i < 10; i++) {
    const byte = bytes[start + i];
    if (byte === undefined) throw new WireError(t("it ends inside a number"));
    // Up to 28 bits fit in a plain integer, which most numbers are.
    if (i < 4) {
      small += (byte & 127) * 2 ** (7 * i);
      if (byte < 128) return { value: BigInt(small), end: start + i + 1 };
    } else if (byte < 128) return { value: longVarint(bytes, start, i + 1), end: start + i + 1 };
  }
  throw new WireError(t("it holds a number of more than 64 bits"));
}

function longVarint(bytes: Uint8Array, start: number, length: number): bigint {
  let value = 0n;
  for (let i = length - 1; i >= 0; i--) {
    value = (value << 7n) | BigInt((bytes[start + i] as number) & 127);
  }
  return BigInt.asUintN(64, value);
}

/** What a tag says: the field's number and its wire type. */
export function splitTag(tag: bigint): { id: number; type: number } {
  const id = Number(tag >> 3n);
  if (id < 1 || id > 0x1fffffff) throw new WireError(t("it has a field number {0}", id));
  return { id, type: Number(tag & 7n) };
}

/** The fields of a message one after another. @throws WireError where they do not fill the message */
export function* fieldsOf(bytes: Uint8Array): Generator<RawField> {
  let at = 0;
  while (at < bytes.length) {
    const start = at;
    const tag = readVarint(bytes, at);
    const { id, type } = splitTag(tag.value);
    const made = readValue(bytes, tag.end, { id, type });
    at = made.end;
    yield { field: made.field, raw: bytes.subarray(start, at) };
  }
}

function readValue(
  bytes: Uint8Array,
  at: number,
  { id, type }: { id: number; type: number },
): { field: Field; end: number } {
  if (type === 0) {
    const { value, end } = readVarint(bytes, at);
    return { field: { id, kind: "varint", value }, end };
  }
  let start = at;
  let length = type === 1 ? 8 : 4;
  if (type === 2) {
    const size = readVarint(bytes, at);
    start = size.end;
    length = Number(size.value);
  } else if (type !== 1 && type !== 5) {
    throw new WireError(t("it has a field of the unknown wire type {0}", type));
  }
  const end = start + length;
  if (end > bytes.length) throw new WireError(t("field {0} ends behind its message", id));
  const part = bytes.subarray(start, end);
  const kind = type === 2 ? "bytes" : type === 1 ? "fixed64" : "fixed32";
  return { field: { id, kind, bytes: part }, end };
}

/** Two's complement, as int64 and int32 are written. */
export function signed(value: bigint): bigint {
  return BigInt.asIntN(64, value);
}

/** Collects fields of one message, and of messages in it, in one growing buffer. */
export class MessageWriter {
  private buffer = Buffer.allocUnsafe(1 << 12);
  private size = 0;

  int(id: number, value: number | bigint): this {
    this.tag(id, 0);
    this.varint(value);
    return this;
  }

  float(id: number, value: number): this {
    this.tag(id, 5);
    this.reserve(4);
    this.size = this.buffer.writeFloatLE(value, this.size);
    return this;
  }

  bytes(id: number, value: Uint8Array): this {
    this.tag(id, 2);
    this.varint(value.length);
    return this.raw(value);
  }

  string(id: number, value: string): this {
    // No character takes more than three bytes a code unit.
    this.reserve(3 * value.length + 20);
    // Most are short names, of which a graph has ten thousand: the code is slow when it is new.
    if (value.length <= 42 && id < 16) {
      const length = this.buffer.write(value, this.size + 2);
      this.buffer[this.size] = id * 8 + 2;
      this.buffer[this.size + 1] = length;
      this.size += 2 + length;
      return this;
    }
    this.tag(id, 2);
    return this.measured(() => {
      this.size += this.buffer.write(value, this.size);
    });
  }

  message(id: number, write: (message: MessageWriter) => void): this {
    this.tag(id, 2);
    return this.measured(() => {
      write(this);
    });
  }

  /** Whole fields as they were read. */
  raw(fields: Uint8Array): this {
    this.reserve(fields.length);
    this.buffer.set(fields, this.size);
    this.size += fields.length;
    return this;
  }

  finish(): Uint8Array {
    return Uint8Array.prototype.slice.call(this.buffer, 0, this.size);
  }

  /** What `write` adds, its length in front: one byte is left for it, and more made where it needs more. */
  private measured(write: () => void): this {
    const start = this.size;
    this.reserve(1);
    this.size += 1;
    write();
    const length = this.size - start - 1;
    const more = varintSize(length) - 1;
    if (more > 0) {
      this.reserve(more);
      this.buffer.copyWithin(start + 1 + more, start + 1, this.size);
    }
    this.size = start;
    this.varint(length);
    this.size += length;
    return this;
  }

  private tag(id: number, type: number): void {
    this.varint(id * 8 + type);
  }

  private varint(value: number | bigint): void {
    this.reserve(10);
    if (typeof value === "number" && value >= 0 && value < 2 ** 31) {
      if (value < 128) {
        this.buffer[this.size++] = value;
        return;
      }
      let rest = value;
      for (; rest > 127; rest >>>= 7) this.buffer[this.size++] = (rest & 127) | 128;
      this.buffer[this.size++] = rest;
      return;
    }
    let rest = BigInt.asUintN(64, BigInt(value));
    for (; rest > 127n; rest >>= 7n) this.buffer[this.size++] = Number(rest & 127n) | 128;
    this.buffer[this.size++] = Number(rest);
  }

  private reserve(count: number): void {
    if (this.size + count <= this.buffer.length) return;
    const larger = Buffer.allocUnsafe(Math.max(2 * this.buffer.length, this.size + count));
    this.buffer.copy(larger, 0, 0, this.size);
    this.buffer = larger;
  }
}

function varintSize(value: number): number {
  let size = 1;
  for (let rest = value; rest > 127; rest = Math.floor(rest / 128)) size++;
  return size;
}
