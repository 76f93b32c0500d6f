import assert from "node:assert/strict";
import { test } from "node:test";
import { fewestNames } from "../../../../../extension/core/peft/trainable/completedConfig.ts";

const layers = [0, 1, 2];

test("names become the shortest ends that choose the same modules", () => {
  const names = layers.flatMap((i) => [`decoder.layers.${i}.attn.q`, `decoder.layers.${i}.attn.v`]);
  const check = (others: readonly string[], expected: readonly string[]): void =>
    assert.deepEqual(fewestNames(names, others).sort(), expected);
  check(["encoder.layers.0.attn.k"], ["q", "v"]);
  check(["encoder.layers.0.other.q"], ["attn.q", "v"]);
  // An end that another module has is none for the layer of that name.
  check(["encoder.layers.0.attn.q"], ["1.attn.q", "2.attn.q", "decoder.layers.0.attn.q", "v"]);
});
