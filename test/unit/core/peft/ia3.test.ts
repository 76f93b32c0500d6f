import assert from "node:assert/strict";
import { test } from "node:test";
import type { LinearModule } from "../../../../extension/core/onnx/layerHook.ts";
import { linearGroup } from "../../../../extension/core/onnx/layerHook.ts";
import { extendPlan, initialPlan } from "../../../../extension/core/peft/slots/slotPlan.ts";
import { slotTensors } from "../../../../extension/core/peft/slots/slotTensors.ts";

const layer = (path: string): LinearModule => ({
  kind: "linear",
  path,
  in: 2,
  out: 2,
  hasBias: false,
});

void test("each layer of a group is fed its own input scale", () => {
  const groups = [linearGroup([layer("mlp.gate_proj"), layer("mlp.up_proj")])];
  const effects = { linear: new Map([["mlp.up_proj", { inputScale: Float32Array.of(3, 4) }]]) };
  const plan = extendPlan(initialPlan(groups, null), effects, groups);
  const tensors = slotTensors(plan, groups, {
    rows: [[{ effects, weight: 1 }]],
    baseNorms: new Map(),
  });
  const scale = tensors.find(({ name }) => name === "mlp.gate_proj+up_proj.inputScale");
  assert.deepEqual(scale?.shape, [1, 2, 2]);
  assert.deepEqual([...(scale?.data ?? [])], [1, 1, 3, 4]);
});
