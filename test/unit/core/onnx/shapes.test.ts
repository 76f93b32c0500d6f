import assert from "node:assert/strict";
import * as path from "node:path";
import { test } from "node:test";
import { buildModel } from "../../../../extension/core/models/index.ts";
import { openCheckpoint } from "../../../../extension/core/models/openCheckpoint.ts";
import { GraphBuilder } from "../../../../extension/core/onnx/builder.ts";
import { bareLayers } from "../../../../extension/core/onnx/layerHook.ts";
import { broadcast, quotient, sum } from "../../../../extension/core/onnx/dimensions.ts";
import { type Graph, perRow } from "../../../../extension/core/onnx/graph.ts";
import { valueShapes } from "../../../../extension/core/onnx/shapes.ts";
import { describeBase } from "../../../../extension/core/baseModel.ts";
import { slotHook } from "../../../../extension/core/peft/slots/slotHook.ts";
import { initialPlan } from "../../../../extension/core/peft/slots/slotPlan.ts";
import { fixtures } from "../support.ts";

test("sizes are compared by name, and null is said where names do not tell", () => {
  const check = (own: unknown, expected: unknown): void => assert.equal(own, expected);
  check(broadcast("batch", "batch"), "batch");
  check(broadcast(1, "seq"), "seq");
  check(broadcast("seq", 5), 5);
  check(broadcast("batch", perRow), "batch");
  check(broadcast(perRow, "seq"), null);
  check(broadcast("a", "b"), null);
  check(broadcast(null, 1), null);
  check(sum([2, 3]), 5);
  check(sum(["past", "seq"]), "past + seq");
  check(sum([null, 1]), null);
  check(sum(["batch", "batch", "batch"]), "3*batch");
  check(quotient(["batch", 9, "seq", 64], ["batch", 3, 64]), "3*seq");
  check(quotient(["batch", 3, "3*seq", 64], ["batch", 9, 64]), "seq");
  check(quotient(["past + seq", 4], [2]), "2*past + seq");
  check(quotient(["seq"], [2]), null);
  check(quotient(["seq"], ["batch"]), null);
  check(quotient([4], [0]), null);
});

/** Shapes of a graph's values by the operator that makes them. */
function shapesOf(graph: Graph): Map<string, string> {
  return new Map(valueShapes(graph).map(({ name, shape }) => [name, shape.join()]));
}

test("operators tell the shapes of what they make", () => {
  const g = new GraphBuilder();
  const x = g.input("x", "float32", ["batch", "seq", 8]);
  const w = g.input("w", "float32", [perRow, 8, 6]);
  const y = g.matMul(x, w);
  const heads = g.transpose(g.reshape(y, [0, 0, 3, 2]), [0, 2, 1, 3]);
  const [first, rest] = g.split(heads, [1, 2], 1);
  const flat = g.reshape(rest as typeof y, [0, -1, 2]);
  const unknown = g.node("NonZero", [y])[0];
  g.output(g.concat([first as typeof y, rest as typeof y], 1), "out", "float32", []);
  g.output(g.add(y, unknown), "other", "float32", []);
  const shapes = shapesOf(g.build("small"));
  assert.equal(shapes.get(y), "batch,seq,6");
  assert.equal(shapes.get(heads), "batch,3,seq,2");
  assert.equal(shapes.get(first as string), "batch,1,seq,2");
  assert.equal(shapes.get(flat), "batch,2*seq,2");
  assert.equal(shapes.get(unknown), undefined);
});

test("of a decoder with room for adapters, only the two parts of attention have a size without name", async () => {
  const checkpoint = await openCheckpoint(path.join(fixtures, "models/llama"));
  const { groups, tree } = describeBase(checkpoint);
  for (const hook of [bareLayers, slotHook(initialPlan(groups, tree.outputEmbedding))]) {
    const { graph } = buildModel(checkpoint, hook);
    const ports = valueShapes(graph);
    const nameless = ports.filter(({ shape }) => shape.includes("")).map(({ name }) => name);
    assert.ok(
      nameless.every((name) => name.includes("self_attn/Split")),
      nameless.join(),
    );
    const made = graph.nodes.flatMap(({ outputs }) => outputs.filter((name) => name !== ""));
    const told = new Set([...ports, ...graph.outputs].map(({ name }) => name as string));
    const missing = made.filter((name) => !told.has(name) && !/Skip.*:[12]$/.test(name));
    assert.deepEqual(missing, []);
  }
});
