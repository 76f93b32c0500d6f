/**
 * Reads Python pickles as data: numbers, texts, lists, dicts and torch tensors, nothing else. No
 * code is ever run; a pickle that asks for any other class or function is refused by its name
 * (https://docs.python.org/3/library/pickletools.html; torch/_weights_only_unpickler.py).
 */
import { t } from "@vscode/l10n";
import { badFile } from "../base/errors.ts";

/** A class or function that a pickle names. */
class PickleGlobal {
  constructor(readonly name: string) {}
}

/** What a pickle says about bytes that lie elsewhere: torch's ("storage", type, key, device, size). */
export interface PickledStorage {
  readonly kind: "storage";
  /** "torch.FloatStorage" */
  readonly type: string;
  readonly key: string;
  readonly elements: number;
}

/** A tensor as a view of a storage; sizes in elements. */
export interface PickledTensor {
  readonly kind: "tensor";
  readonly storage: PickledStorage;
  readonly offset: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
  /** "torch.uint16": its element type where the storage's class does not say it. */
  readonly type?: string;
}

/** Functions that a pickle may call, and what they make of their arguments. */
const calls: Readonly<Record<string, (args: readonly unknown[]) => unknown>> = {
  "collections.OrderedDict": ([pairs]) =>
    new Map(Array.isArray(pairs) ? (pairs as [unknown, unknown][]) : []),
  "torch._utils._rebuild_tensor_v2": tensorOf,
  "torch._utils._rebuild_tensor_v3": (args) => {
    const type = args[6];
    return { ...tensorOf(args), type: type instanceof PickleGlobal ? type.name : String(type) };
  },
  "torch._utils._rebuild_parameter": ([tensor]) => tensor,
};

function tensorOf([storage, offset, shape, strides]: readonly unknown[]): object {
  return { kind: "tensor", storage, offset, shape, strides };
}

const mark = Symbol("mark");

interface Machine {
  readonly file: string;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  at: number;
  stack: unknown[];
  readonly memo: Map<number, unknown>;
}

/**
 * Reads the pickle that begins at `start`.
 * @returns its value, dicts as Map and tuples as arrays, and where it ends
 * @throws bad-file when it is broken or holds more than data
 */
export function readPickle(
  bytes: Uint8Array,
  { file, start = 0 }: { file: string; start?: number },
): { value: unknown; end: number } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const machine: Machine = { file, bytes, view, at: start, stack: [], memo: new Map() };
  for (;;) {
    const code = take(machine, 1)[0] as number;
    if (code === stop) break;
    const operation = operations[code];
    if (!operation)
      throw badFile(file, t("is no pickle of tensors: opcode {0} at {1}", code, machine.at - 1));
    operation(machine);
  }
  return { value: pop(machine), end: machine.at };
}

const stop = 0x2e;

/** By opcode; names as in Python's pickletools. */
const operations: Readonly<Record<number, (m: Machine) => void>> = {
  0x80: (m) => void take(m, 1), // PROTO
  0x95: (m) => void take(m, 8), // FRAME
  0x28: (m) => push(m, mark),
  0x4e: (m) => push(m, null),
  0x88: (m) => push(m, true),
  0x89: (m) => push(m, false),
  0x4b: (m) => push(m, number(m, 1)), // BININT1
  0x4d: (m) => push(m, number(m, 2)), // BININT2
  0x4a: (m) => push(m, number(m, 4) | 0), // BININT
  0x8a: (m) => push(m, long(take(m, number(m, 1)))), // LONG1
  0x47: (m) => push(m, m.view.getFloat64(skip(m, 8), false)), // BINFLOAT
  0x58: (m) => push(m, text(m, number(m, 4))), // BINUNICODE
  0x8c: (m) => push(m, text(m, number(m, 1))), // SHORT_BINUNICODE
  0x8d: (m) => push(m, text(m, number(m, 8))), // BINUNICODE8
  0x55: (m) => push(m, text(m, number(m, 1))), // SHORT_BINSTRING
  0x54: (m) => push(m, text(m, number(m, 4))), // BINSTRING
  0x7d: (m) => push(m, new Map()), // EMPTY_DICT
  0x5d: (m) => push(m, []), // EMPTY_LIST
  0x29: (m) => push(m, []), // EMPTY_TUPLE
  0x74: (m) => push(m, popToMark(m)), // TUPLE
  0x6c: (m) => push(m, popToMark(m)), // LIST
  0x85: (m) => push(m, popMany(m, 1)),
  0x86: (m) => push(m, popMany(m, 2)),
  0x87: (m) => push(m, popMany(m, 3)),
  0x61: (m) => extend(m, popMany(m, 1)), // APPEND
  0x65: (m) => extend(m, popToMark(m)), // APPENDS
  0x73: (m) => setItems(m, popMany(m, 2)), // SETITEM
  0x75: (m) => setItems(m, popToMark(m)), // SETITEMS
  0x71: (m) => void m.memo.set(number(m, 1), top(m)), // BINPUT
  0x72: (m) => void m.memo.set(number(m, 4), top(m)), // LONG_BINPUT
  0x94: (m) => void m.memo.set(m.memo.size, top(m)), // MEMOIZE
  0x68: (m) => push(m, recall(m, number(m, 1))), // BINGET
  0x6a: (m) => push(m, recall(m, number(m, 4))), // LONG_BINGET
  0x63: (m) => push(m, new PickleGlobal(`${line(m)}.${line(m)}`)), // GLOBAL
  0x93: (m) => push(m, new PickleGlobal(popMany(m, 2).join("."))), // STACK_GLOBAL
  0x52: reduce, // REDUCE
  0x51: persistent, // BINPERSID
  // State of an OrderedDict: torch's version marks, which no tensor needs.
  0x62: (m) => void pop(m), // BUILD
};

function reduce(m: Machine): void {
  const [callee, args] = popMany(m, 2);
  const name = callee instanceof PickleGlobal ? callee.name : String(callee);
  const call = Object.hasOwn(calls, name) ? calls[name] : undefined;
  if (!call) throw foreign(m.file, name);
  if (!Array.isArray(args)) throw badFile(m.file, t("calls {0} without arguments", name));
  push(m, call(args));
}

function persistent(m: Machine): void {
  const [kind, type, key, , elements] = [pop(m)].flat() as unknown[];
  if (kind !== "storage" || !(type instanceof PickleGlobal)) {
    throw badFile(m.file, t("refers to something that is no storage of a tensor"));
  }
  push(m, { kind: "storage", type: type.name, key: String(key), elements: Number(elements) });
}

function foreign(file: string, name: string): Error {
  return badFile(
    file,
    t(
      "asks for {0}, which no tensor needs; a pickle that does may run code, so it is refused",
      name,
    ),
    t("Ask for it as safetensors."),
  );
}

/** @throws bad-file for a name that a pickle may not even mention as a value */
export function refuseGlobal(file: string, value: unknown): void {
  if (value instanceof PickleGlobal) throw foreign(file, value.name);
}

function skip(m: Machine, count: number): number {
  const at = m.at;
  if (!(at + count <= m.bytes.length))
    throw badFile(m.file, t("pickle ends at byte {0}", m.bytes.length));
  m.at += count;
  return at;
}

function take(m: Machine, count: number): Uint8Array {
  const from = skip(m, count);
  return m.bytes.subarray(from, from + count);
}

/** Unsigned, little-endian. */
function number(m: Machine, size: number): number {
  return take(m, size).reduceRight((sum, byte) => sum * 256 + byte, 0);
}

/** Two's complement, little-endian; a number where it fits. */
function long(bytes: Uint8Array): number | bigint {
  const value = bytes.reduceRight((sum, byte) => sum * 256n + BigInt(byte), 0n);
  const signed = BigInt.asIntN(8 * bytes.length, value);
  return Number.isSafeInteger(Number(signed)) ? Number(signed) : signed;
}

function text(m: Machine, length: number): string {
  return new TextDecoder().decode(take(m, length));
}

function line(m: Machine): string {
  const end = m.bytes.indexOf(0x0a, m.at);
  if (end === -1) throw badFile(m.file, t("pickle ends within a name"));
  const found = text(m, end - m.at);
  m.at = end + 1;
  return found;
}

function push(m: Machine, value: unknown): void {
  m.stack.push(value);
}

function pop(m: Machine): unknown {
  if (m.stack.length === 0)
    throw badFile(m.file, t("pickle takes from an empty stack at {0}", m.at));
  return m.stack.pop();
}

function popMany(m: Machine, count: number): unknown[] {
  return Array.from({ length: count }, () => pop(m)).reverse();
}

function popToMark(m: Machine): unknown[] {
  const from = m.stack.lastIndexOf(mark);
  if (from === -1) throw badFile(m.file, t("pickle has no mark at {0}", m.at));
  const values = m.stack.splice(from);
  return values.slice(1);
}

function top(m: Machine): unknown {
  const value = pop(m);
  push(m, value);
  return value;
}

function recall(m: Machine, index: number): unknown {
  if (!m.memo.has(index))
    throw badFile(m.file, t("pickle recalls {0}, which it never kept", index));
  return m.memo.get(index);
}

function extend(m: Machine, values: readonly unknown[]): void {
  const list = top(m);
  if (!Array.isArray(list)) throw badFile(m.file, t("pickle appends to no list at {0}", m.at));
  for (const value of values) list.push(value);
}

function setItems(m: Machine, pairs: readonly unknown[]): void {
  const dict = top(m);
  if (!(dict instanceof Map))
    throw badFile(m.file, t("pickle sets an item of no dict at {0}", m.at));
  for (let i = 0; i + 1 < pairs.length; i += 2) dict.set(pairs[i], pairs[i + 1]);
}
