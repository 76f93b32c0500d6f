import * as path from "node:path";
import protobuf from "protobufjs/light.js";
import { type Attribute, type Graph, type Initializer, onnxTypes, type Port } from "./graph.ts";

/** The operator sets that Graft's graphs are written in. */
const opsets = [
  { domain: "", version: 21 },
  { domain: "com.microsoft", version: 1 },
];
const irVersion = 10;

/** A serialised ModelProto, and the folder that its external data locations are relative to. */
export interface EncodedModel {
  readonly bytes: Uint8Array;
  readonly externalFolder: string | null;
}

/** Encodes a graph as ONNX's ModelProto; weights stay in their files and are named by byte range. */
export function encodeModel(graph: Graph): EncodedModel {
  const externalFolder = commonFolder(graph.initializers);
  const model = {
    irVersion,
    producerName: "graft",
    opsetImport: opsets,
    graph: {
      name: graph.name,
      node: graph.nodes.map((node) => ({
        input: node.inputs,
        output: node.outputs,
        name: node.name,
        opType: node.op,
        domain: node.domain,
        attribute: Object.entries(node.attributes).map(([name, value]) =>
          encodeAttribute(name, value),
        ),
      })),
      initializer: graph.initializers.map((tensor) => encodeInitializer(tensor, externalFolder)),
      input: graph.inputs.map(encodePort),
      output: graph.outputs.map(encodePort),
    },
  };
  return { bytes: ModelProto.encode(ModelProto.fromObject(model)).finish(), externalFolder };
}

function encodePort({ name, type, shape }: Port): object {
  const dim = shape.map((size) =>
    typeof size === "number" ? { dimValue: size } : { dimParam: size },
  );
  return { name, type: { tensorType: { elemType: onnxTypes[type], shape: { dim } } } };
}

function encodeInitializer(tensor: Initializer, folder: string | null): object {
  const { name, type, shape, data } = tensor;
  const common = { name, dataType: onnxTypes[type], dims: shape };
  if (data.kind === "inline") return { ...common, rawData: data.bytes };
  // ONNX wants forward slashes on every platform.
  const location = path
    .relative(folder ?? "", data.file)
    .split(path.sep)
    .join("/");
  return {
    ...common,
    dataLocation: 1,
    externalData: [
      { key: "location", value: location },
      { key: "offset", value: String(data.offset) },
      { key: "length", value: String(data.byteLength) },
    ],
  };
}

function encodeAttribute(name: string, attribute: Attribute): object {
  switch (attribute.kind) {
    case "float":
      return { name, type: 1, f: attribute.value };
    case "int":
      return { name, type: 2, i: attribute.value };
    case "string":
      return { name, type: 3, s: Buffer.from(attribute.value) };
    case "ints":
      return { name, type: 7, ints: attribute.value };
    default:
      return attribute satisfies never;
  }
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

const repeated = "repeated";

/** The part of onnx.proto (IR version 10) that Graft writes; field numbers are ONNX's. */
const { ModelProto } = ((): { ModelProto: protobuf.Type } => {
  const root = protobuf.Root.fromJSON({
    nested: {
      StringStringEntryProto: {
        fields: { key: { type: "string", id: 1 }, value: { type: "string", id: 2 } },
      },
      OperatorSetIdProto: {
        fields: { domain: { type: "string", id: 1 }, version: { type: "int64", id: 2 } },
      },
      TensorProto: {
        fields: {
          dims: { rule: repeated, type: "int64", id: 1 },
          dataType: { type: "int32", id: 2 },
          name: { type: "string", id: 8 },
          rawData: { type: "bytes", id: 9 },
          externalData: { rule: repeated, type: "StringStringEntryProto", id: 13 },
          dataLocation: { type: "int32", id: 14 },
        },
      },
      AttributeProto: {
        fields: {
          name: { type: "string", id: 1 },
          f: { type: "float", id: 2 },
          i: { type: "int64", id: 3 },
          s: { type: "bytes", id: 4 },
          floats: { rule: repeated, type: "float", id: 7 },
          ints: { rule: repeated, type: "int64", id: 8 },
          type: { type: "int32", id: 20 },
        },
      },
      NodeProto: {
        fields: {
          input: { rule: repeated, type: "string", id: 1 },
          output: { rule: repeated, type: "string", id: 2 },
          name: { type: "string", id: 3 },
          opType: { type: "string", id: 4 },
          attribute: { rule: repeated, type: "AttributeProto", id: 5 },
          domain: { type: "string", id: 7 },
        },
      },
      Dimension: {
        oneofs: { value: { oneof: ["dimValue", "dimParam"] } },
        fields: { dimValue: { type: "int64", id: 1 }, dimParam: { type: "string", id: 2 } },
      },
      TensorShapeProto: { fields: { dim: { rule: repeated, type: "Dimension", id: 1 } } },
      TensorTypeProto: {
        fields: { elemType: { type: "int32", id: 1 }, shape: { type: "TensorShapeProto", id: 2 } },
      },
      TypeProto: { fields: { tensorType: { type: "TensorTypeProto", id: 1 } } },
      ValueInfoProto: {
        fields: { name: { type: "string", id: 1 }, type: { type: "TypeProto", id: 2 } },
      },
      GraphProto: {
        fields: {
          node: { rule: repeated, type: "NodeProto", id: 1 },
          name: { type: "string", id: 2 },
          initializer: { rule: repeated, type: "TensorProto", id: 5 },
          input: { rule: repeated, type: "ValueInfoProto", id: 11 },
          output: { rule: repeated, type: "ValueInfoProto", id: 12 },
        },
      },
      ModelProto: {
        fields: {
          irVersion: { type: "int64", id: 1 },
          producerName: { type: "string", id: 2 },
          graph: { type: "GraphProto", id: 7 },
          opsetImport: { rule: repeated, type: "OperatorSetIdProto", id: 8 },
        },
      },
    },
  });
  return { ModelProto: root.lookupType("ModelProto") };
})();
