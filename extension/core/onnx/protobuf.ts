import * as path from "node:path";
import {
  type Attribute,
  type Graph,
  type GraphFormat,
  type Initializer,
  type Node,
  onnxTypes,
  type Port,
} from "./graph.ts";
import { MessageWriter } from "./wire.ts";

/** What Graft's own graphs are written in. */
const ownFormat: GraphFormat = {
  irVersion: 10,
  producer: "graft",
  opsets: new Map([
    ["", 21],
    ["com.microsoft", 1],
  ]),
  functions: [],
  rest: new Uint8Array(0),
};

/** A serialised ModelProto, and the folder that its external data locations are relative to. */
export interface EncodedModel {
  readonly bytes: Uint8Array;
  readonly externalFolder: string | null;
}

/** Field numbers of onnx.proto (IR version 12); what a table leaves out is kept as it was read. */
export const fieldIds = {
  model: { irVersion: 1, producer: 2, graph: 7, opsets: 8, functions: 25 },
  graph: { node: 1, name: 2, initializer: 5, input: 11, output: 12, value: 13 },
  node: { input: 1, output: 2, name: 3, op: 4, attribute: 5, domain: 7, metadata: 9 },
  attribute: { name: 1, float: 2, int: 3, string: 4, tensor: 5, graph: 6, ints: 8, type: 20 },
  tensor: { dims: 1, type: 2, name: 8, raw: 9, external: 13, location: 14 },
  port: { name: 1, type: 2 },
  entry: { key: 1, value: 2 },
} as const;

/** AttributeProto.AttributeType of the kinds that Graft understands. */
export const attributeTypes = {
  float: 1,
  int: 2,
  string: 3,
  tensor: 4,
  graph: 5,
  ints: 7,
} as const;

/**
 * Encodes a graph as ONNX's ModelProto; weights stay in their files and are named by byte range.
 * @param values types and shapes of values inside, for a reader that would find fewer itself
 */
export function encodeModel(graph: Graph, values: readonly Port[] = []): EncodedModel {
  const externalFolder = commonFolder(allInitializers(graph));
  const format = graph.format ?? ownFormat;
  const ids = fieldIds.model;
  const writer = new MessageWriter()
    .int(ids.irVersion, format.irVersion)
    .string(ids.producer, format.producer);
  for (const [domain, version] of format.opsets) {
    writer.message(ids.opsets, (opset) => opset.string(1, domain).int(2, version));
  }
  writer.message(ids.graph, (into) => {
    writeGraph(into, graph, externalFolder);
    for (const value of values) into.message(fieldIds.graph.value, (one) => writePort(one, value));
  });
  for (const each of format.functions) writer.bytes(ids.functions, each);
  return { bytes: writer.raw(format.rest).finish(), externalFolder };
}

function writeGraph(into: MessageWriter, graph: Graph, folder: string | null): void {
  const ids = fieldIds.graph;
  into.string(ids.name, graph.name);
  for (const node of graph.nodes) into.message(ids.node, (one) => writeNode(one, node, folder));
  for (const tensor of graph.initializers) {
    into.message(ids.initializer, (one) => writeTensor(one, tensor, folder));
  }
  for (const port of graph.inputs) into.message(ids.input, (one) => writePort(one, port));
  for (const port of graph.outputs) into.message(ids.output, (one) => writePort(one, port));
  if (graph.rest) into.raw(graph.rest);
}

function writeNode(into: MessageWriter, node: Node, folder: string | null): void {
  const ids = fieldIds.node;
  for (const input of node.inputs) into.string(ids.input, input);
  for (const output of node.outputs) into.string(ids.output, output);
  into.string(ids.name, node.name).string(ids.op, node.op).string(ids.domain, node.domain);
  for (const [name, attribute] of Object.entries(node.attributes)) {
    into.message(ids.attribute, (one) => writeAttribute(one, { name, attribute }, folder));
  }
  for (const [key, value] of node.metadata ?? []) {
    into.message(ids.metadata, (entry) => writeEntry(entry, key, value));
  }
  if (node.rest) into.raw(node.rest);
}

function writeEntry(into: MessageWriter, key: string, value: string): void {
  into.string(fieldIds.entry.key, key).string(fieldIds.entry.value, value);
}

function writePort(into: MessageWriter, port: Port): void {
  const { name, type, shape, isUnranked, rest } = port;
  into.string(fieldIds.port.name, name).message(fieldIds.port.type, (holder) =>
    holder.message(1, (tensor) => {
      tensor.int(1, onnxTypes[type]);
      if (isUnranked) return;
      tensor.message(2, (dims) => {
        for (const size of shape) {
          dims.message(1, (dim) => {
            if (typeof size === "number") dim.int(1, size);
            else if (size !== "") dim.string(2, size);
          });
        }
      });
    }),
  );
  if (rest) into.raw(rest);
}

function writeTensor(into: MessageWriter, tensor: Initializer, folder: string | null): void {
  const { name, type, shape, data, rest } = tensor;
  const ids = fieldIds.tensor;
  for (const size of shape) into.int(ids.dims, size);
  into.int(ids.type, onnxTypes[type]).string(ids.name, name);
  switch (data.kind) {
    case "inline":
      into.bytes(ids.raw, data.bytes);
      break;
    case "encoded":
      into.raw(data.fields);
      break;
    case "external": {
      // ONNX wants forward slashes on every platform.
      const location = path
        .relative(folder ?? "", data.file)
        .split(path.sep)
        .join("/");
      const entries = { location, offset: data.offset, length: data.byteLength };
      for (const [key, value] of Object.entries(entries)) {
        into.message(ids.external, (entry) => writeEntry(entry, key, String(value)));
      }
      into.int(ids.location, 1);
      break;
    }
    default:
      data satisfies never;
  }
  if (rest) into.raw(rest);
}

function writeAttribute(
  into: MessageWriter,
  { name, attribute }: { name: string; attribute: Attribute },
  folder: string | null,
): void {
  const ids = fieldIds.attribute;
  into.string(ids.name, name);
  if (attribute.kind === "encoded") {
    into.raw(attribute.fields);
    return;
  }
  into.int(ids.type, attributeTypes[attribute.kind]);
  switch (attribute.kind) {
    case "float":
      into.float(ids.float, attribute.value);
      break;
    case "int":
      into.int(ids.int, attribute.value);
      break;
    case "string":
      into.string(ids.string, attribute.value);
      break;
    case "ints":
      for (const value of attribute.value) into.int(ids.ints, value);
      break;
    case "tensor":
      into.message(ids.tensor, (one) => writeTensor(one, attribute.value, folder));
      break;
    case "graph":
      into.message(ids.graph, (one) => writeGraph(one, attribute.value, folder));
      break;
    default:
      attribute satisfies never;
  }
}

/** Constants of a graph, of its nodes, and of the graphs inside nodes. */
function allInitializers(graph: Graph): Initializer[] {
  const inNodes = graph.nodes.flatMap(({ attributes }) =>
    Object.values(attributes).flatMap((attribute) => {
      if (attribute.kind === "tensor") return [attribute.value];
      return attribute.kind === "graph" ? allInitializers(attribute.value) : [];
    }),
  );
  return [...graph.initializers, ...inNodes];
}

/**
 * The deepest folder above all external files. ONNX Runtime resolves locations against one folder
 * and refuses any that leave it, so the folder is derived from the files' real paths.
 */
function commonFolder(initializers: readonly Initializer[]): string | null {
  let common: string[] | null = null;
  for (const { data } of initializers) {
    if (data.kind !== "external") continue;
    const parts = path.dirname(data.file).split(path.sep);
    const shared: number = common?.findIndex((part, i) => part !== parts[i]) ?? -1;
    common = common === null ? parts : shared === -1 ? common : common.slice(0, shared);
  }
  if (common === null) return null;
  // A drive or the root alone needs its separator: "D:" means that drive's current folder.
  const folder = common.join(path.sep);
  return common.length === 1 ? folder + path.sep : folder;
}
