import assert from "node:assert/strict";
import { test } from "node:test";
import { type LayerStatus, summarizeLayers } from "../../../extension/core/status.ts";

function layer(over: Partial<LayerStatus> = {}): LayerStatus {
  return {
    name: "model.layers.0.self_attn.q_proj",
    moduleType: "lora.Linear",
    enabled: true,
    activeAdapters: ["a"],
    mergedAdapters: [],
    requiresGrad: { a: true },
    availableAdapters: ["a"],
    devices: { a: ["cpu"] },
    quantizationBackend: null,
    ...over,
  };
}

void test("layers that agree give their values", () => {
  const status = summarizeLayers([layer(), layer()]);
  assert.deepEqual(status, {
    numAdapterLayers: 2,
    enabled: true,
    activeAdapters: ["a"],
    mergedAdapters: [],
    requiresGrad: { a: true },
    availableAdapters: ["a"],
    devices: { a: ["cpu"] },
    quantizationBackend: null,
  });
});

void test("layers that disagree are irregular", () => {
  const check = (over: Partial<LayerStatus>, field: keyof ReturnType<typeof summarizeLayers>) => {
    assert.deepEqual(summarizeLayers([layer(), layer(over)])[field], "irregular", field);
  };
  check({ enabled: false }, "enabled");
  check({ activeAdapters: ["a", "b"] }, "activeAdapters");
  check({ quantizationBackend: "bnb 4bit" }, "quantizationBackend");
});

void test("requires_grad is irregular for the adapter whose layers disagree alone", () => {
  const both = { requiresGrad: { a: true, b: false } };
  const status = summarizeLayers([layer(both), layer({ requiresGrad: { a: false, b: false } })]);
  assert.deepEqual(status.requiresGrad, { a: "irregular", b: false });
  assert.equal(
    summarizeLayers([layer({ requiresGrad: { a: "irregular" } })]).requiresGrad["a"],
    "irregular",
  );
});

void test("a merged adapter is irregular where a layer that has it is not merged", () => {
  const merged = layer({ mergedAdapters: ["a"] });
  assert.equal(summarizeLayers([merged, layer()]).mergedAdapters, "irregular");
  // A layer without the adapter cannot disagree.
  const other = layer({ availableAdapters: ["b"] });
  assert.deepEqual(summarizeLayers([merged, other]).mergedAdapters, ["a"]);
});

void test("a model of prompts alone has no layers", () => {
  const status = summarizeLayers([], { isEnabled: true });
  assert.equal(status.numAdapterLayers, 0);
  assert.equal(status.enabled, true);
  assert.deepEqual(status.activeAdapters, []);
});
