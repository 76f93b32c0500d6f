import assert from "node:assert/strict";
import { cp, readFile, writeFile } from "node:fs/promises";
import * as path from "node:path";
import { test } from "node:test";
import { loadBaseModel } from "../../../../extension/core/baseModel.ts";
import { GraphBuilder } from "../../../../extension/core/onnx/builder.ts";
import type { Graph, Value } from "../../../../extension/core/onnx/graph.ts";
import { bareLayers, type LayerHook } from "../../../../extension/core/onnx/layerHook.ts";
import { encodeModel } from "../../../../extension/core/onnx/protobuf.ts";
import { readModel } from "../../../../extension/core/onnx/readModel.ts";
import { findExport } from "../../../../extension/core/onnxExport/findExport.ts";
import { openExport, type OnnxExport } from "../../../../extension/core/onnxExport/openExport.ts";
import { refuseNorms } from "../../../../extension/core/onnxExport/refusals.ts";
import { PeftModel } from "../../../../extension/core/peftModel.ts";
import { failure, fixtures, temporaryFolder } from "../support.ts";

type Test = Parameters<typeof temporaryFolder>[0];

const exports = path.join(fixtures, "exports");

/** A copy of an export with its graph changed. */
async function changed(
  t: Test,
  name: string,
  change: (graph: Graph) => Graph,
): Promise<{ folder: string; file: string }> {
  const folder = await temporaryFolder(t);
  await cp(path.join(exports, name), folder, { recursive: true });
  const { file } = await findExport(folder);
  const made = path.join(path.dirname(file), "changed.onnx");
  await writeFile(made, encodeModel(change(await readModel(file))).bytes);
  return { folder, file: made };
}

/** Gives nodes and inner values other names; inputs and outputs keep theirs. */
function renamed(graph: Graph, rename: (name: string) => string): Graph {
  const kept = new Set<string>(
    [...graph.inputs, ...graph.outputs].map(({ name }): string => name).concat(""),
  );
  const other = <T extends string>(name: T): T => (kept.has(name) ? name : (rename(name) as T));
  return {
    ...graph,
    initializers: graph.initializers.map((each) => ({ ...each, name: other(each.name) })),
    nodes: graph.nodes.map((node) => ({
      ...node,
      name: rename(node.name),
      inputs: node.inputs.map(other),
      outputs: node.outputs.map(other),
    })),
  };
}

const open = async (file: string): Promise<OnnxExport> => openExport(await findExport(file));

test("modules whose names are lost are listed one by one; the others take adapters", async (t) => {
  const { file } = await changed(t, "llama-torchscript", (graph) =>
    renamed(graph, (name) =>
      name
        .replace(/layers\.1\/mlp\/(up|gate)_proj/, "layers.1/mlp/thing_$1")
        .replace("layers.0.input_layernorm", "layers.0.something"),
    ),
  );
  const base = await loadBaseModel(await withStranger(file));
  try {
    const { missing = [], mapped = [], total } = base.export ?? {};
    assert.deepEqual(missing.map((each) => each.path).sort(), [
      "model.layers.0.input_layernorm",
      "model.layers.1.mlp.gate_proj",
      "model.layers.1.mlp.up_proj",
    ]);
    for (const { reason } of missing) assert(reason.length > 10);
    assert.equal(mapped.length, (total ?? 0) - 3);
    const model = new PeftModel(base);
    const source = path.join(exports, "adapters/llama/lora_qv");
    const { report } = await model.loadAdapter(source, { adapterName: "fits" });
    assert.deepEqual(report.unbound, []);
    const all = path.join(exports, "adapters/llama/lora");
    await assert.rejects(
      model.loadAdapter(all, { adapterName: "partly" }),
      failure(
        "partial-bind",
        "13 of 15",
        "layers.1.mlp.up_proj",
        "were not found in the ONNX export",
      ),
    );
  } finally {
    await base.session.dispose();
  }
});

/** Adds a product that the model does not have, so that their order tells nothing. */
async function withStranger(file: string): Promise<string> {
  const graph = await readModel(file);
  const g = new GraphBuilder();
  const stranger = g.float32s("stranger", new Float32Array(32 * 3), [32, 3]);
  const [w] = g.build("extra").initializers;
  const x = graph.nodes.find(({ name }) => name.includes("thing_up"))?.inputs[0];
  assert(w && x);
  const node = {
    ...{ op: "MatMul", domain: "", name: "more", attributes: {} },
    ...{ inputs: [x, stranger], outputs: ["more" as Value] },
  };
  const bytes = encodeModel({
    ...graph,
    initializers: [...graph.initializers, w],
    nodes: [...graph.nodes, node],
  }).bytes;
  await writeFile(file, bytes);
  return file;
}

test("without names products are known by their order, which is said", async (t) => {
  const numbers = new Map<string, string>();
  const number = (name: string): string =>
    numbers.get(name) ?? numbers.set(name, `n${numbers.size}`).get(name) ?? "";
  const { file } = await changed(t, "llama-torchscript", (graph) => renamed(graph, number));
  const { report } = await open(file);
  const linears = report.mapped.filter(({ rule }) => rule === "order");
  assert.equal(linears.length, 15);
  assert.match(report.warnings.join(), /15 layers are known by their order/);
  const places = report.missing.map((each) => each.path);
  assert(places.includes("model.embed_tokens") && places.includes("model.norm"));
});

test("nothing found at all is refused", async (t) => {
  const numbers = new Map<string, string>();
  const number = (name: string): string =>
    numbers.get(name) ?? numbers.set(name, `n${numbers.size}`).get(name) ?? "";
  const { folder, file } = await changed(t, "llama-torchscript", (graph) => renamed(graph, number));
  const config = path.join(folder, "config.json");
  const raw = JSON.parse(await readFile(config, "utf8")) as Record<string, unknown>;
  await writeFile(config, JSON.stringify({ ...raw, num_hidden_layers: 3, layer_types: undefined }));
  await assert.rejects(open(file), failure("unsupported", "none of the", file));
});

test("a merged decoder is refused", async (t) => {
  const { file } = await changed(t, "llama-torchscript", (graph) => {
    const { name, nodes, outputs, initializers } = graph;
    const inner: Graph = { name, inputs: [], initializers: [], nodes, outputs };
    const branch = { kind: "graph", value: inner } as const;
    const flag = { kind: "inline", bytes: Uint8Array.of(1) } as const;
    return {
      ...graph,
      initializers: [
        ...initializers,
        { name: "flag" as Value, type: "bool", shape: [], data: flag },
      ],
      nodes: [
        {
          ...{ op: "If", domain: "", name: "optimum::if", inputs: ["flag" as Value] },
          outputs: outputs.map(({ name }) => name),
          attributes: { then_branch: branch, else_branch: branch },
        },
      ],
    };
  });
  await assert.rejects(
    open(file),
    failure("unsupported", '"optimum::if"', "without merging", "decoder_with_past_model"),
  );
});

test("operators that are too old for what an adapter does are named", async (t) => {
  const { file } = await changed(t, "llama-torchscript", (graph) => {
    assert(graph.format);
    return { ...graph, format: { ...graph.format, opsets: new Map([["", 12]]) } };
  });
  const opened = await open(file);
  assert(opened.model(bareLayers).graph.nodes.length > 0);
  const halves: LayerHook = {
    ...bareLayers,
    embedding: (g, _path, { rows }) => g.concat(g.split(rows, [16, 16], -1), -1),
  };
  assert.throws(
    () => opened.model(halves),
    failure("unsupported", "version 12", "Split-13", "opset 13"),
  );
});

test("norms that GenAI's builder stores with 1 added are refused for adapters that replace them", () => {
  const at = { producer: "onnxruntime-genai", modelType: "gemma2", file: "/m/model.onnx" };
  const norms = { linear: new Map(), norms: new Map([["model.norm", new Float32Array(2)]]) };
  assert.throws(() => refuseNorms(norms, at), failure("unsupported", "/m/model.onnx", "gemma2"));
  const tasks = { linear: new Map(), tasks: [norms] };
  assert.throws(() => refuseNorms(tasks, at), failure("unsupported", "adds 1"));
  refuseNorms({ linear: new Map() }, at);
  refuseNorms(norms, { ...at, modelType: "llama" });
  refuseNorms(norms, { ...at, producer: "pytorch" });
});
