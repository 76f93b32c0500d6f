import assert from "node:assert/strict";
import { test } from "node:test";
import { GraphBuilder } from "../../../../extension/core/onnx/builder.ts";
import type { Graph } from "../../../../extension/core/onnx/graph.ts";
import { type Arithmetic, inLowPrecision } from "../../../../extension/core/onnx/lowPrecision.ts";
import { float32Tensor, OrtSession } from "../../../../extension/core/session/ortSession.ts";

const arithmetic: Arithmetic = { dtype: "bfloat16", autocastAdapterDtype: true };

/** y = x Wᵀ + b, and where asked + x A for an adapter's A. */
function layer({ isAdapted }: { isAdapted: boolean }): Graph {
  const g = new GraphBuilder();
  const x = g.input("x", "float32", ["rows", 2]);
  const w = g.float32s("w", Float32Array.of(1, 1, 1, -1), [2, 2]);
  const b = g.float32s("b", Float32Array.of(0.001, 0), [2]);
  let y = g.add(g.matMulTransposed(x, w), b);
  if (isAdapted) y = g.add(y, g.matMul(x, g.input("a", "float32", [2, 2])));
  g.output(y, "y", "float32", ["rows", 2]);
  return g.build("layer");
}

async function run(graph: Graph, feeds: Record<string, number[]>): Promise<number[]> {
  const session = await OrtSession.create(graph);
  const tensors = Object.entries(feeds).map(([name, values]) => [
    name,
    float32Tensor(Float32Array.from(values), [values.length / 2, 2]),
  ]);
  const { y } = await session.run(Object.fromEntries(tensors));
  await session.dispose();
  return [...(y?.data as Float32Array)];
}

void test("a layer's result is rounded once, with its bias, and its weights before", async () => {
  const exact = layer({ isAdapted: false });
  const low = inLowPrecision(exact, arithmetic, new Set(["x"]));
  // bf16 has 8 digits: 2.0078125 is no value of it, 2 and 2.015625 are.
  assert.deepEqual(await run(low, { x: [1.0078125, 1] }), [2.015625, 0.0078125]);
  assert.deepEqual(await run(low, { x: [1, 1] }), [2, 0]);
});

void test("an adapter adds in fp32 unless it is to round, too", async () => {
  const adapted = layer({ isAdapted: true });
  // A little more than half a step of 1; as bf16 it is half a step, which rounds to even.
  const feeds = { x: [1, 0], a: [0.00392, 0.00392, 0, 0] };
  const ofBase = new Set(["x"]);
  const own = { ...arithmetic, autocastAdapterDtype: false };
  const step = 1.0078125;
  assert.deepEqual(await run(inLowPrecision(adapted, arithmetic, ofBase), feeds), [step, step]);
  assert.deepEqual(await run(inLowPrecision(adapted, own, ofBase), feeds), [1, 1]);
});

void test("a graph that is passed on stays as it was", () => {
  const graph = layer({ isAdapted: true });
  const before = structuredClone(graph);
  inLowPrecision(graph, arithmetic, new Set(["x"]));
  assert.deepEqual(graph, before);
});
