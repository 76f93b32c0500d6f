import { t } from "@vscode/l10n";
import { open, realpath, stat } from "node:fs/promises";
import { badFile, GraftError, notFound, throwIfAborted } from "../base/errors.ts";
import {
  bytesOf,
  decodeNode,
  decodePort,
  type Decoding,
  joined,
  numberOf,
  textOf,
} from "./decode.ts";
import { decodeTensor } from "./decodeTensor.ts";
import { externalFiles } from "./externalFiles.ts";
import { FileBytes, type FileField } from "./fileFields.ts";
import type { Graph, GraphFormat, Initializer, Node, Port } from "./graph.ts";
import { inOrder } from "./order.ts";
import { fieldIds } from "./protobuf.ts";
import { type Field, fieldsOf, type RawField, WireError } from "./wire.ts";

/** Values of at least so many bytes stay in the .onnx file and are named by their place in it. */
const leastExternal = 1 << 12;

/**
 * Reads a .onnx file: nodes and small constants into memory; large ones stay in their files, as byte
 * ranges. What Graft does not understand is carried along.
 * @throws bad-file for what is no ONNX model, has values outside its folder or goes in a circle
 */
export async function readModel(file: string, signal?: AbortSignal): Promise<Graph> {
  const real = await realpath(file).catch(() => {
    throw notFound(t("ONNX model"), file);
  });
  const { size } = await stat(real);
  const handle = await open(real, "r");
  try {
    const at = { file, external: await externalFiles(file, real) };
    const bytes = new FileBytes(real, size, handle);
    return inOrder(await readModelProto(bytes, at, signal), file);
  } catch (error) {
    if (error instanceof GraftError) throw error;
    if (!(error instanceof WireError)) throw error;
    throw badFile(
      file,
      t("is not a whole ONNX model: {0}", error.message),
      t("Download or export it again."),
    );
  } finally {
    await handle.close();
  }
}

async function readModelProto(
  bytes: FileBytes,
  at: Decoding,
  signal?: AbortSignal,
): Promise<Graph> {
  const ids = fieldIds.model;
  const opsets = new Map<string, number>();
  const functions: Uint8Array[] = [];
  const rest: Uint8Array[] = [];
  let [irVersion, producer] = [0, ""];
  let graph: Graph | null = null;
  for await (const field of bytes.fields(0, bytes.size)) {
    if (field.id === ids.graph && field.type === 2) {
      if (graph) throw badFile(at.file, t("holds two graphs"));
      graph = await readGraph(bytes, field, { at, signal });
      continue;
    }
    const raw = await bytes.read(field.from, field.end);
    const own = only(raw);
    if (field.id === ids.irVersion) irVersion = numberOf(own);
    else if (field.id === ids.producer) producer = textOf(own);
    else if (field.id === ids.opsets) opsets.set(...decodeOpset(bytesOf(own)));
    else if (field.id === ids.functions) functions.push(bytesOf(own));
    else rest.push(raw);
  }
  if (!graph) throw badFile(at.file, t("is not an ONNX model: it holds no graph"));
  if (!opsets.has(""))
    throw badFile(at.file, t("does not say which version of ONNX's operators it uses"));
  // Before version 4 a constant had to be an input as well.
  const format: GraphFormat = {
    irVersion: Math.max(4, irVersion),
    ...{ producer, opsets, functions, rest: joined(rest) ?? new Uint8Array(0) },
  };
  return { ...graph, format };
}

function only(raw: Uint8Array): Field {
  for (const { field } of fieldsOf(raw)) return field;
  throw new WireError(t("it has an empty field"));
}

function decodeOpset(bytes: Uint8Array): [string, number] {
  let [domain, version] = ["", 0];
  for (const { field } of fieldsOf(bytes)) {
    if (field.id === 1) domain = textOf(field);
    if (field.id === 2) version = numberOf(field);
  }
  return [domain === "ai.onnx" ? "" : domain, version];
}

async function readGraph(
  bytes: FileBytes,
  place: FileField,
  { at, signal }: { at: Decoding; signal: AbortSignal | undefined },
): Promise<Graph> {
  const ids = fieldIds.graph;
  const nodes: Node[] = [];
  const initializers: Initializer[] = [];
  const inputs: Port[] = [];
  const outputs: Port[] = [];
  const rest: Uint8Array[] = [];
  let name = "";
  for await (const field of bytes.fields(place.start, place.end)) {
    throwIfAborted(signal);
    if (field.id === ids.initializer) {
      initializers.push(await readTensor(bytes, field, at));
      continue;
    }
    const value = field.type === 2 ? await bytes.read(field.start, field.end) : null;
    if (value && field.id === ids.node) nodes.push(decodeNode(value, at));
    else if (value && field.id === ids.name) name = new TextDecoder().decode(value);
    else if (value && field.id === ids.input) inputs.push(decodePort(value, at.file));
    else if (value && field.id === ids.output) outputs.push(decodePort(value, at.file));
    else rest.push(await bytes.read(field.from, field.end));
  }
  const constants = new Set<string>(initializers.map((each) => each.name));
  const carried = joined(rest);
  return {
    ...{ name, outputs, initializers, nodes },
    inputs: inputs.filter((port) => !constants.has(port.name)),
    ...(carried && { rest: carried }),
  };
}

/** A constant of the graph; values that are not small are named by their place in the file. */
async function readTensor(bytes: FileBytes, place: FileField, at: Decoding): Promise<Initializer> {
  const fields: RawField[] = [];
  let data: Initializer["data"] | null = null;
  for await (const field of bytes.fields(place.start, place.end)) {
    const byteLength = field.end - field.start;
    if (field.id === fieldIds.tensor.raw && byteLength >= leastExternal) {
      data = { kind: "external", file: bytes.file, offset: field.start, byteLength };
    } else {
      const raw = await bytes.read(field.from, field.end);
      fields.push({ field: only(raw), raw });
    }
  }
  return decodeTensor(fields, at, data);
}
