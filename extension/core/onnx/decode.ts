import { t } from "@vscode/l10n";
import { badFile, unsupported } from "../base/errors.ts";
import type {
  Attribute,
  Graph,
  Initializer,
  InitializerData,
  Node,
  OnnxType,
  Port,
  Value,
} from "./graph.ts";
import { onnxTypes } from "./graph.ts";
import { attributeTypes, fieldIds } from "./protobuf.ts";
import { decodeTensor } from "./decodeTensor.ts";
import { type Field, fieldsOf, readVarint, signed, WireError } from "./wire.ts";

/** What a message of a file is decoded with. */
export interface Decoding {
  /** The .onnx file, for errors. */
  readonly file: string;
  /** Where a tensor's external values are. @throws bad-file for a place outside the model's folder */
  external(name: string, entries: ReadonlyMap<string, string>): InitializerData;
}

/** Graphs inside nodes inside graphs; exporters stay below three. */
const deepest = 8;

const types = new Map<number, OnnxType>(
  Object.entries(onnxTypes).map(([name, id]) => [id, name as OnnxType]),
);

/** @throws unsupported for an element type that Graft does not know */
export function typeOf(id: number, what: string, file: string): OnnxType {
  const type = types.get(id);
  if (type) return type;
  throw unsupported(
    t("{0}: {1} has the element type {2}, which Graft does not know", file, what, id),
  );
}

const decoder = new TextDecoder();

export function textOf(field: Field): string {
  return field.kind === "bytes" ? decoder.decode(field.bytes) : "";
}

export function bytesOf(field: Field): Uint8Array {
  return field.kind === "varint" ? new Uint8Array(0) : field.bytes;
}

export function numberOf(field: Field): number {
  return field.kind === "varint" ? Number(signed(field.value)) : 0;
}

/** A repeated integer, packed or one by one, appended to what there is. */
export function integersOf(field: Field): bigint[] {
  if (field.kind === "varint") return [signed(field.value)];
  const out: bigint[] = [];
  const bytes = bytesOf(field);
  for (let at = 0; at < bytes.length;) {
    const { value, end } = readVarint(bytes, at);
    out.push(signed(value));
    at = end;
  }
  return out;
}

/** Joins fields that are carried along; undefined for none. */
export function joined(parts: readonly Uint8Array[]): Uint8Array | undefined {
  return parts.length === 0 ? undefined : Uint8Array.from(Buffer.concat(parts));
}

/** A StringStringEntryProto: key and value. */
export function decodeEntry(bytes: Uint8Array): [string, string] {
  let [key, value] = ["", ""];
  for (const { field } of fieldsOf(bytes)) {
    if (field.id === fieldIds.entry.key) key = textOf(field);
    if (field.id === fieldIds.entry.value) value = textOf(field);
  }
  return [key, value];
}

/** A NodeProto; fields that a node has no place for stand in `rest`. */
export function decodeNode(bytes: Uint8Array, at: Decoding, depth = 0): Node {
  const ids = fieldIds.node;
  const inputs: (Value | "")[] = [];
  const outputs: (Value | "")[] = [];
  const attributes: Record<string, Attribute> = {};
  const metadata = new Map<string, string>();
  const rest: Uint8Array[] = [];
  let [name, op, domain] = ["", "", ""];
  for (const { field, raw } of fieldsOf(bytes)) {
    if (field.id === ids.input) inputs.push(textOf(field) as Value);
    else if (field.id === ids.output) outputs.push(textOf(field) as Value);
    else if (field.id === ids.name) name = textOf(field);
    else if (field.id === ids.op) op = textOf(field);
    else if (field.id === ids.domain) domain = textOf(field);
    else if (field.id === ids.metadata) metadata.set(...decodeEntry(bytesOf(field)));
    else if (field.id === ids.attribute) {
      const [key, attribute] = decodeAttribute(bytesOf(field), at, depth);
      attributes[key] = attribute;
    } else rest.push(raw);
  }
  if (op === "") throw badFile(at.file, t('node "{0}" has no operator', name));
  // "ai.onnx" is the long name of ONNX's own domain.
  if (domain === "ai.onnx") domain = "";
  return {
    ...{ op, domain, name, inputs, outputs, attributes },
    ...(metadata.size > 0 && { metadata }),
    ...optional(rest),
  };
}

function optional(rest: readonly Uint8Array[]): { rest?: Uint8Array } {
  const fields = joined(rest);
  return fields ? { rest: fields } : {};
}

function decodeAttribute(bytes: Uint8Array, at: Decoding, depth: number): [string, Attribute] {
  const ids = fieldIds.attribute;
  const fields = [...fieldsOf(bytes)];
  const of = (id: number): Field | undefined => fields.find(({ field }) => field.id === id)?.field;
  const nameField = of(ids.name);
  const name = nameField ? textOf(nameField) : "";
  const encoded = (): Attribute => ({
    kind: "encoded",
    fields:
      joined(fields.filter(({ field }) => field.id !== ids.name).map(({ raw }) => raw)) ??
      new Uint8Array(0),
  });
  const known = new Set<number>(Object.values(ids));
  const type = of(ids.type);
  if (!type || fields.some(({ field }) => !known.has(field.id))) return [name, encoded()];
  const [float, int] = [of(ids.float), of(ids.int)];
  switch (numberOf(type)) {
    case attributeTypes.float:
      return [name, { kind: "float", value: float ? floatOf(bytesOf(float)) : 0 }];
    case attributeTypes.int: {
      const value = int ? numberOf(int) : 0;
      return [name, Number.isSafeInteger(value) ? { kind: "int", value } : encoded()];
    }
    case attributeTypes.string: {
      const field = of(ids.string);
      const value = field ? textOf(field) : "";
      const isText = !value.includes("\ufffd");
      return [name, isText ? { kind: "string", value } : encoded()];
    }
    case attributeTypes.ints: {
      const value = fields
        .filter(({ field }) => field.id === ids.ints)
        .flatMap(({ field }) => integersOf(field).map(Number));
      return [name, value.every(Number.isSafeInteger) ? { kind: "ints", value } : encoded()];
    }
    case attributeTypes.tensor: {
      const field = of(ids.tensor);
      if (!field) return [name, encoded()];
      const parts = [...fieldsOf(bytesOf(field))];
      return [name, { kind: "tensor", value: decodeTensor(parts, at) }];
    }
    case attributeTypes.graph: {
      const field = of(ids.graph);
      if (!field) return [name, encoded()];
      return [name, { kind: "graph", value: decodeGraph(bytesOf(field), at, depth + 1) }];
    }
    default:
      return [name, encoded()];
  }
}

function floatOf(bytes: Uint8Array): number {
  if (bytes.length !== 4) throw new WireError(t("it has a float of {0} bytes", bytes.length));
  return new DataView(bytes.buffer, bytes.byteOffset).getFloat32(0, true);
}

/** A graph inside a node: it may use the values of those around it. */
function decodeGraph(bytes: Uint8Array, at: Decoding, depth: number): Graph {
  if (depth > deepest) throw badFile(at.file, t("graphs stand in each other {0} deep", depth));
  const ids = fieldIds.graph;
  const nodes: Node[] = [];
  const initializers: Initializer[] = [];
  const inputs: Port[] = [];
  const outputs: Port[] = [];
  const rest: Uint8Array[] = [];
  let name = "";
  for (const { field, raw } of fieldsOf(bytes)) {
    if (field.id === ids.node) nodes.push(decodeNode(bytesOf(field), at, depth));
    else if (field.id === ids.name) name = textOf(field);
    else if (field.id === ids.input) inputs.push(decodePort(bytesOf(field), at.file));
    else if (field.id === ids.output) outputs.push(decodePort(bytesOf(field), at.file));
    else if (field.id === ids.initializer) {
      initializers.push(decodeTensor([...fieldsOf(bytesOf(field))], at));
    } else rest.push(raw);
  }
  return { name, inputs, outputs, initializers, nodes, ...optional(rest) };
}

/** A ValueInfoProto. Outputs of inner graphs may leave their type out: those count as fp32, unranked. */
export function decodePort(bytes: Uint8Array, file: string): Port {
  const rest: Uint8Array[] = [];
  let name = "";
  let type: Omit<Port, "name"> = { type: "float32", shape: [], isUnranked: true };
  for (const { field, raw } of fieldsOf(bytes)) {
    if (field.id === fieldIds.port.name) name = textOf(field);
    else if (field.id === fieldIds.port.type) type = decodeType(bytesOf(field), file);
    else rest.push(raw);
  }
  return { ...type, name: name as Value, ...optional(rest) };
}

function decodeType(bytes: Uint8Array, file: string): Omit<Port, "name"> {
  for (const { field } of fieldsOf(bytes)) {
    if (field.id !== 1) continue;
    let type: OnnxType = "float32";
    let shape: (number | string)[] | null = null;
    for (const { field: own } of fieldsOf(bytesOf(field))) {
      if (own.id === 1) type = typeOf(numberOf(own), "a value", file);
      if (own.id === 2) shape = decodeShape(bytesOf(own), file);
    }
    return shape ? { type, shape } : { type, shape: [], isUnranked: true };
  }
  throw unsupported(t("{0}: an input or output is no tensor, which Graft does not run", file));
}

function decodeShape(bytes: Uint8Array, file: string): (number | string)[] {
  const shape: (number | string)[] = [];
  for (const { field } of fieldsOf(bytes)) {
    if (field.id !== 1) continue;
    let size: number | string = "";
    for (const { field: own } of fieldsOf(bytesOf(field))) {
      if (own.id === 1) size = numberOf(own);
      if (own.id === 2) size = textOf(own);
    }
    // Some exporters write -1 for a size that each run may choose.
    if (typeof size === "number" && size < 0) size = "";
    if (typeof size === "number" && !Number.isSafeInteger(size)) {
      throw badFile(file, t("an input or output has a dimension of {0}", size));
    }
    shape.push(size);
  }
  return shape;
}
