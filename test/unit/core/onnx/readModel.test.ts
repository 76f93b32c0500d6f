import assert from "node:assert/strict";
import { cp, readFile, writeFile } from "node:fs/promises";
import * as path from "node:path";
import { test } from "node:test";
import type { Graph } from "../../../../extension/core/onnx/graph.ts";
import { encodeModel } from "../../../../extension/core/onnx/protobuf.ts";
import { readModel } from "../../../../extension/core/onnx/readModel.ts";
import { MessageWriter } from "../../../../extension/core/onnx/wire.ts";
import { float32Tensor, OrtSession } from "../../../../extension/core/session/ortSession.ts";
import { failure, fixtures, temporaryFolder } from "../support.ts";
import { floats, graph, model, node, port, tensor, writeModel } from "./protos.ts";

const exported = [
  "llama-torchscript/onnx/model_fp16.onnx",
  "llama-torchscript/onnx/model_quantized.onnx",
  "llama-dynamo/model.onnx",
  "llama-dynamo-q8/model_qdq.onnx",
  "llama-genai-int4/model.onnx",
  "gpt2-torchscript/model.onnx",
];

/** Writes a graph beside the files that its values are in, and reads it again. */
async function again(read: Graph, folder: string): Promise<Graph> {
  const { bytes, externalFolder } = encodeModel(read);
  const file = path.join(externalFolder ?? folder, "again.onnx");
  await writeFile(file, bytes);
  return readModel(file);
}

for (const name of exported) {
  test(`${name} read, written and read again is the same`, async (t) => {
    const folder = await temporaryFolder(t);
    await cp(path.join(fixtures, "exports", path.dirname(name)), folder, { recursive: true });
    const read = await readModel(path.join(folder, path.basename(name)));
    assert(read.nodes.length > 20);
    assert.deepEqual(await again(read, folder), read);
  });
}

/** y = x + w, or x − w where `flag` is false, in an If; with fields that Graft does not know. */
function strangeModel(): Uint8Array {
  const branch = (op: string): ((message: MessageWriter) => void) =>
    graph({
      nodes: [node(op, [["x", "w"], ["z"]]), node("Add", [["z", "inner"], ["out"]])],
      tensors: [tensor("inner", { dims: [2], raw: floats(100, 200) })],
      outputs: [port("out", [2])],
      more: (message) => message.string(99, `mark in ${op}`),
    });
  const branches = (message: MessageWriter): void => {
    for (const [name, op] of [
      ["then_branch", "Add"],
      ["else_branch", "Sub"],
    ] as const) {
      message.message(5, (own) => own.string(1, name).message(6, branch(op)).int(20, 5));
    }
    message
      .string(98, "mark in a node")
      .message(9, (entry) => entry.string(1, "pkg.x").string(2, "a note"));
  };
  const main = graph({
    nodes: [node("If", [["flag"], ["y"]], branches)],
    tensors: [
      (message) => {
        tensor("w", { dims: [2], raw: floats(1, 2) })(message);
        message.string(12, "mark in a tensor");
      },
      tensor("flag", { dims: [], type: 9, raw: Uint8Array.of(1) }),
    ],
    inputs: [port("x", [2])],
    outputs: [port("y", [2])],
    more: (message) => message.string(10, "mark in the graph"),
  });
  const domain = (message: MessageWriter): void => {
    message.message(8, (opset) => opset.string(1, "own").int(2, 1));
    message.message(25, (own) =>
      own
        .string(1, "Twice")
        .string(4, "a")
        .string(5, "b")
        .message(7, node("Add", [["a", "a"], ["b"]]))
        .message(9, (opset) => opset.string(1, "").int(2, 17))
        .string(10, "own"),
    );
    message.message(14, (entry) => entry.string(1, "key").string(2, "mark in the model"));
  };
  return model(main, domain);
}

test("unknown fields, functions and graphs inside nodes survive, and run", async (t) => {
  const folder = await temporaryFolder(t);
  const read = await readModel(await writeModel(folder, strangeModel()));
  assert.equal(read.format?.functions.length, 1);
  assert.deepEqual(Object.fromEntries(read.format.opsets), { "": 17, own: 1 });
  const [holder] = read.nodes;
  assert.equal(holder?.metadata?.get("pkg.x"), "a note");
  const then = holder?.attributes["then_branch"];
  assert(then?.kind === "graph");
  assert.deepEqual(
    then.value.nodes.map(({ op }) => op),
    ["Add", "Add"],
  );
  assert.deepEqual(await again(read, folder), read);
  const written = (await readFile(path.join(folder, "again.onnx"))).toString("latin1");
  for (const place of ["Add", "Sub", "a node", "a tensor", "the graph", "the model"]) {
    assert(written.includes(`mark in ${place}`), place);
  }
  assert(written.includes("Twice"));
});

test("ONNX Runtime runs what was read, with its If", async (t) => {
  const bytes = strangeModel();
  const read = await readModel(await writeModel(await temporaryFolder(t), bytes));
  const session = await OrtSession.create(read);
  try {
    const { y } = await session.run({ x: float32Tensor(Float32Array.of(10, 20), [2]) });
    assert.deepEqual([...(y?.data as Float32Array)], [111, 222]);
  } finally {
    await session.dispose();
  }
});

test("an import of ai.onnx is ONNX's own domain, and nodes are put in order", async (t) => {
  const main = graph({
    nodes: [node("Neg", [["a"], ["y"]]), node("Abs", [["x"], ["a"]])],
    inputs: [port("x", [2])],
    outputs: [port("y", [2])],
  });
  const bytes = new MessageWriter()
    .message(8, (opset) => opset.string(1, "ai.onnx").int(2, 13))
    .message(7, main)
    .finish();
  const read = await readModel(await writeModel(await temporaryFolder(t), bytes));
  assert.equal(read.format?.opsets.get(""), 13);
  assert.deepEqual(
    read.nodes.map(({ op }) => op),
    ["Abs", "Neg"],
  );
});

test("a model that is not there is named", async (t) => {
  const file = path.join(await temporaryFolder(t), "none.onnx");
  await assert.rejects(readModel(file), failure("not-found", file));
});
