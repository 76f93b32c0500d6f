import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import * as path from "node:path";
import { test } from "node:test";
import { withGradients } from "../../../../extension/core/autodiff/withGradients.ts";
import { buildModel } from "../../../../extension/core/models/index.ts";
import { openCheckpoint } from "../../../../extension/core/models/openCheckpoint.ts";
import { GraphBuilder } from "../../../../extension/core/onnx/builder.ts";
import { reduce } from "../../../../extension/core/onnx/calculus.ts";
import type { Graph, Port, Value } from "../../../../extension/core/onnx/graph.ts";
import { bareLayers, type LayerHook, oneByOne } from "../../../../extension/core/onnx/layerHook.ts";
import {
  float32Tensor,
  int64Tensor,
  OrtSession,
  type Tensor,
} from "../../../../extension/core/session/ortSession.ts";
import { fixtures } from "../support.ts";
import { count, numbers } from "./check.ts";

/** Adds to each layer a product of rank 2, and to each norm's weight a vector. */
const trained: LayerHook = {
  ...bareLayers,
  linears(g, group, { x, base }) {
    return oneByOne(g, group, base(x)).map((y, i) => {
      const { path: name, in: inputs, out } = group.modules[i] as (typeof group.modules)[number];
      const a = g.input(`${name}.lora_A`, "float32", [2, inputs]);
      const b = g.input(`${name}.lora_B`, "float32", [out, 2]);
      return g.add(y, g.matMulTransposed(g.matMulTransposed(x, a), b));
    });
  },
  norm: (g, name, { value, size }) => g.add(value, g.input(`${name}.delta`, "float32", [size])),
};

/** Sizes of a run by the names that ports have. */
const sizes: Record<string, number> = {
  batch: 2,
  seq: 4,
  rows: 4,
  rope_rows: 4,
  past: 0,
  prefix: 0,
  keys: 4,
  source: 3,
  queries: 4,
};

function sizeOf(dimension: number | string): number {
  if (typeof dimension === "number") return dimension;
  const sum = dimension.split(" + ").map((part) =>
    part
      .split("*")
      .map((factor) => sizes[factor] ?? Number(factor))
      .reduce((all, size) => all * size, 1),
  );
  return sum.reduce((all, size) => all + size, 0);
}

const isParameter = ({ name }: Port): boolean => /\.(lora_[AB]|delta)$/.test(name);

/** Plausible feeds of a port: parameters near zero, keys that stand later are not seen. */
function feedOf({ name, type, shape }: Port, seed: number): Tensor {
  const dims = shape.map(sizeOf);
  const n = count(dims);
  if (type === "int64") {
    if (name === "kv_sizes") return int64Tensor([0, 4], [2]);
    const isPlaces = name === "position_ids" || name === "logits_rows";
    return int64Tensor(
      Array.from({ length: n }, (_, i) =>
        isPlaces ? i % 4 : name === "input_ids" ? 3 + i : i % 2,
      ),
      dims,
    );
  }
  const data = numbers(n, seed);
  if (name.startsWith("mask")) {
    const [queries, keys] = dims.slice(-2) as [number, number];
    data.forEach((_, i) => {
      const [query, key] = [Math.floor(i / keys) % queries, i % keys];
      data[i] = queries > 1 && key > query % 4 ? -3.4e38 : 0;
    });
  }
  return float32Tensor(isParameter({ name, type, shape }) ? data.map((x) => x / 8) : data, dims);
}

/** The graph with a loss: the sum of what it puts out times what is fed as weights. */
function withLoss(graph: Graph): { graph: Graph; loss: Value; wrt: Value[] } {
  const g = new GraphBuilder();
  g.include(graph, new Map());
  const outputs = graph.outputs.filter(({ name }) => name !== "new_kv");
  const flat = g.concat(
    outputs.map(({ name }) => g.reshape(name, [-1])),
    0,
  );
  const weights = g.input("weights", "float32", ["n"]);
  const loss = reduce(g, "ReduceSum", { x: g.mul(flat, weights), axes: [0], keep: false });
  g.output(flat, "y", "float32", ["n"]);
  const wrt = graph.inputs.filter(isParameter).map(({ name }) => name);
  return { graph: g.build("loss"), loss, wrt };
}

/** The slope uphill, where it is the gradient's length, by the gradients and by a difference. */
async function compare(graph: Graph): Promise<void> {
  const made = withLoss(graph);
  const full = withGradients(made.graph, made);
  const session = await OrtSession.create(full, { threads: 1 });
  try {
    const given = full.inputs.filter(({ name }) => name !== "weights");
    const feeds = Object.fromEntries(given.map((port, i) => [port.name, feedOf(port, i + 1)]));
    const run = (weights: Float32Array): Promise<Record<string, Tensor>> =>
      session.run({ ...feeds, weights: float32Tensor(weights, [weights.length]) });
    const one = (await run(Float32Array.of(0)))["y"] as Tensor;
    const weights = numbers(one.size, 77);
    const results = await run(weights);
    const gradients = made.wrt.map((name): [Float32Array, Float32Array] => [
      feeds[name]?.data as Float32Array,
      results[`grad.${name}`]?.data as Float32Array,
    ]);
    const squares = gradients.flatMap(([, gradient]) => [...gradient].map((each) => each * each));
    const length = Math.sqrt(squares.reduce((sum, each) => sum + each, 0));
    made.wrt.forEach((name, i) => {
      assert(
        gradients[i]?.[1].some((each) => each !== 0),
        `${name}: nothing came`,
      );
    });
    const lossAt = async (step: number): Promise<number> => {
      const before = gradients.map(([data]) => Float32Array.from(data));
      for (const [data, gradient] of gradients) {
        gradient.forEach((each, i) => (data[i] = (data[i] as number) + (step * each) / length));
      }
      const y = (await run(weights))["y"]?.data as Float32Array;
      gradients.forEach(([data], i) => data.set(before[i] as Float32Array));
      return y.reduce((sum, each, i) => sum + each * (weights[i] as number), 0);
    };
    // So near that hardly a token finds other experts or a Relu turns.
    const h = 1 / 1024;
    const expected = ((await lossAt(h)) - (await lossAt(-h))) / (2 * h);
    assert(Math.abs(length / expected - 1) < 5e-3, `slope ${length} instead of ${expected}`);
  } finally {
    await session.dispose();
  }
}

/** One fixture a family. */
async function examples(): Promise<Map<string, string>> {
  const folder = path.join(fixtures, "models");
  const found = new Map<string, string>();
  for (const name of (await readdir(folder)).sort()) {
    const text = await readFile(path.join(folder, name, "config.json"), "utf8");
    const { model_type: type } = JSON.parse(text) as { model_type: string };
    if (!found.has(type)) found.set(type, path.join(folder, name));
  }
  return found;
}

for (const [modelType, folder] of await examples()) {
  test(`gradients of ${modelType}`, async () => {
    const checkpoint = await openCheckpoint(folder);
    const model = buildModel(checkpoint, trained);
    await compare(model.graph);
    if (model.kind === "seq2seq") await compare(model.encoder.graph);
  });
}
