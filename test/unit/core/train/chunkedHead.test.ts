import assert from "node:assert/strict";
import * as path from "node:path";
import { test } from "node:test";
import { continued } from "../../../../extension/core/adapterStart.ts";
import { openTrainingBase } from "../../../../extension/core/trainingBase.ts";
import { prepareTraining } from "../../../../extension/core/prepareTraining.ts";
import { valueShapes } from "../../../../extension/core/onnx/shapes.ts";
import {
  float32Tensor,
  int64Tensor,
  OrtSession,
} from "../../../../extension/core/session/ortSession.ts";
import { RopeTable } from "../../../../extension/core/session/ropeTable.ts";
import { parameterGroups } from "../../../../extension/core/train/parameterGroups.ts";
import { stepGraph } from "../../../../extension/core/train/stepGraph.ts";
import { difference, fixtures } from "../support.ts";

const [rows, length] = [2, 6];

test("a head in parts of the rows gives the loss and the gradients of the whole", async () => {
  const start = await continued(path.join(fixtures, "adapters/llama/lora_default"));
  const base = await openTrainingBase(path.join(fixtures, "models/llama"));
  const parts = await prepareTraining(base, start, { seed: 0 });
  const { adapter, model, values } = parts;
  assert(model.kind === "causal");
  const trained = adapter.parameters.filter(({ isTrained }) => isTrained);
  const groups = parameterGroups(trained, { rate: 1, weightDecay: 0, decayAll: true });
  const rope = new RopeTable(model.rotary[0] as (typeof model.rotary)[number]).rows(length);
  const places = Array.from({ length: rows * length }, (_, i) => i % length);
  const labels = places.map((_, i) => (i * 5 + 1) % model.vocabulary);
  const mask = Float32Array.from({ length: rows * model.queriesPerKey * length ** 2 }, (_, i) =>
    i % length > Math.floor(i / length) % length ? -3.4e38 : 0,
  );
  const feeds = {
    input_ids: int64Tensor(labels, [rows, length]),
    position_ids: int64Tensor(places, [rows, length]),
    mask: float32Tensor(mask, [rows, 1, model.queriesPerKey * length, length]),
    rope_cos: float32Tensor(rope.cos, rope.shape),
    rope_sin: float32Tensor(rope.sin, rope.shape),
    logits_rows: int64Tensor(
      labels.map((_, i) => i),
      [rows * length],
    ),
    ...Object.fromEntries(
      trained.map(({ name, shape }) => [
        name,
        float32Tensor(values.get(name) as Float32Array, [...shape]),
      ]),
    ),
  };
  const weights = Float32Array.from(places, (place) => 1 / (1 + place));
  const results = [];
  for (const [largestWidth, shape] of [
    [Infinity, [rows * length]],
    [1, [3, 4]],
  ] as const) {
    const graph = stepGraph(model, { loss: "choice", groups, largestWidth });
    assert.equal(
      graph.nodes.some(({ op }) => op === "Loop"),
      largestWidth === 1,
    );
    assert(valueShapes(graph).length > 0);
    const session = await OrtSession.create(graph, { threads: 1 });
    const own = {
      labels: int64Tensor(labels, [...shape]),
      weights: float32Tensor(weights, [...shape]),
    };
    results.push(await session.run({ ...feeds, ...own }));
    await session.dispose();
  }
  const [whole, inParts] = results as [(typeof results)[number], (typeof results)[number]];
  for (const name of ["loss", "gradients.0"]) {
    const [a, b] = [whole[name]?.data, inParts[name]?.data] as [Float32Array, Float32Array];
    assert(difference(a, b) < 1e-5, name);
    assert(a.some((each) => each !== 0));
  }
  await base.dispose();
});
