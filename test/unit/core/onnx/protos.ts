import { writeFile } from "node:fs/promises";
import * as path from "node:path";
import { fieldIds } from "../../../../extension/core/onnx/protobuf.ts";
import { MessageWriter } from "../../../../extension/core/onnx/wire.ts";

type Write = (message: MessageWriter) => void;

/** A TensorProto's fields; fp32 by default. */
export function tensor(
  name: string,
  { dims, raw, external, type = 1 }: TensorFields,
): (message: MessageWriter) => void {
  return (message) => {
    for (const size of dims) message.int(1, size);
    message.int(2, type).string(8, name);
    if (raw) message.bytes(9, raw);
    if (!external) return;
    for (const [key, value] of Object.entries(external)) {
      message.message(13, (entry) => entry.string(1, key).string(2, value));
    }
    message.int(14, 1);
  };
}

interface TensorFields {
  dims: readonly (number | bigint)[];
  raw?: Uint8Array;
  external?: Record<string, string>;
  type?: number;
}

export function node(
  op: string,
  [inputs, outputs]: readonly [readonly string[], readonly string[]],
  more?: Write,
): Write {
  return (message) => {
    for (const each of inputs) message.string(1, each);
    for (const each of outputs) message.string(2, each);
    message.string(3, `${op} to ${outputs.join()}`).string(4, op);
    more?.(message);
  };
}

export function port(name: string, dims: readonly number[]): Write {
  return (message) =>
    message.string(1, name).message(2, (type) =>
      type.message(1, (own) => {
        own
          .int(1, 1)
          .message(2, (shape) =>
            dims.forEach((size) => shape.message(1, (dim) => dim.int(1, size))),
          );
      }),
    );
}

export interface GraphFields {
  nodes?: readonly Write[];
  tensors?: readonly Write[];
  inputs?: readonly Write[];
  outputs?: readonly Write[];
  more?: Write;
}

export function graph({ nodes, tensors, inputs, outputs, more }: GraphFields): Write {
  const ids = fieldIds.graph;
  return (message) => {
    for (const each of nodes ?? []) message.message(ids.node, each);
    message.string(ids.name, "main");
    for (const each of tensors ?? []) message.message(ids.initializer, each);
    for (const each of inputs ?? []) message.message(ids.input, each);
    for (const each of outputs ?? []) message.message(ids.output, each);
    more?.(message);
  };
}

/** A ModelProto with one graph. */
export function model(main: Write, more?: Write): Uint8Array {
  const writer = new MessageWriter()
    .int(1, 10)
    .string(2, "tests")
    .message(8, (opset) => opset.string(1, "").int(2, 17))
    .message(7, main);
  more?.(writer);
  return writer.finish();
}

export async function writeModel(folder: string, bytes: Uint8Array): Promise<string> {
  const file = path.join(folder, "model.onnx");
  await writeFile(file, bytes);
  return file;
}

export function floats(...values: number[]): Uint8Array {
  return new Uint8Array(Float32Array.from(values).buffer);
}
