import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { test } from "node:test";
import { describeBase, loadBaseModel } from "../../../extension/core/baseModel.ts";
import type {
  BaseCheckpoint,
  WeightRef,
} from "../../../extension/core/checkpoint/baseCheckpoint.ts";
import { checkMemory, type PackedIn } from "../../../extension/core/memoryCheck.ts";
import { packedLayers } from "../../../extension/core/precision.ts";
import type { Precision } from "../../../extension/core/quant/plan.ts";
import { type Estimated, estimateMemory } from "../../../extension/core/memoryEstimate.ts";
import type { Dtype } from "../../../extension/core/base/dtype.ts";
import { difference, failure, fixtures } from "./support.ts";

const hidden = 2048;
const inner = 8192;
const vocabulary = 128256;
const layers = 16;

/** Llama-3.2-1B by its headers. */
function oneBillion(dtype: Dtype): Estimated {
  const size = dtype === "F32" ? 4 : 2;
  const weights = new Map<string, WeightRef>();
  const add = (name: string, ...shape: number[]): void => {
    const byteLength = shape.reduce((product, n) => product * n, size);
    weights.set(name, { name, dtype, shape, offset: 0, byteLength, file: "/m/model.safetensors" });
  };
  add("model.embed_tokens.weight", vocabulary, hidden);
  for (let i = 0; i < layers; i++) {
    const at = `model.layers.${i}`;
    for (const norm of ["input_layernorm", "post_attention_layernorm"]) {
      add(`${at}.${norm}.weight`, hidden);
    }
    for (const [name, rows] of [
      ["q", 2048],
      ["k", 512],
      ["v", 512],
      ["o", 2048],
    ] as const)
      // prettier-ignore
      add(`${at}.self_attn.${name}_proj.weight`, rows, hidden);
    for (const name of ["gate", "up"]) add(`${at}.mlp.${name}_proj.weight`, inner, hidden);
    add(`${at}.mlp.down_proj.weight`, hidden, inner);
  }
  add("model.norm.weight", hidden);
  const raw = {
    hidden_size: hidden,
    intermediate_size: inner,
    num_hidden_layers: layers,
    num_attention_heads: 32,
    num_key_value_heads: 8,
    head_dim: 64,
    vocab_size: vocabulary,
    tie_word_embeddings: true,
  };
  const config = {
    file: "/m/config.json",
    modelType: "llama",
    architecture: "LlamaForCausalLM",
    raw,
  };
  const checkpoint: BaseCheckpoint = {
    dir: "/m",
    name: "Llama-3.2-1B",
    config,
    weights,
    files: [],
    shardNames: [],
    parameters: 1.236e9,
    bytes: 0,
    dtype,
  };
  return { checkpoint, base: describeBase(checkpoint) };
}

const packedIn = (model: Estimated, own?: Precision): PackedIn => {
  const described = describeBase(model.checkpoint);
  return (precision = own as "int8") =>
    packedLayers({ checkpoint: model.checkpoint, stored: null }, described, {
      ...(precision && { precision }),
    });
};

const inPrecision = (model: Estimated, precision: Precision): ReturnType<typeof estimateMemory> =>
  estimateMemory(model, { packed: packedIn(model, precision)() });

const parameters = 1.2358e9;
const table = vocabulary * hidden;
const close = (actual: number, expected: number): void =>
  assert(Math.abs(actual / expected - 1) < 0.01, `${actual} is not about ${expected}`);

test("fp32 weights take their size and, tied, the table beside the head", () => {
  const { weights, embeddings, cache } = estimateMemory(oneBillion("F32"));
  close(weights, 4 * parameters);
  assert.equal(embeddings, 4 * table);
  // Keys and values of 2048 tokens, and half of it again while it grows.
  assert.equal(cache, 1.5 * 2 * layers * 8 * 64 * 2048 * 4);
});

test("16-bit weights run in fp32, one of them twice while it is widened", () => {
  const estimate = estimateMemory(oneBillion("BF16"));
  close(estimate.weights, 4 * parameters);
  assert.equal(estimate.embeddings, 2 * table);
  const sum = estimate.weights + estimate.embeddings + estimate.runtime;
  assert.equal(estimate.peak - sum, 4 * table);
});

test("integers take their bits, scales and sums of blocks, and rows of the table alone", () => {
  const estimate = inPrecision(oneBillion("BF16"), "int4");
  close(estimate.weights, (parameters * 6) / 8);
  assert(estimate.embeddings < table / 8, "only rows that are read");
  close(inPrecision(oneBillion("F32"), "int8").weights, (parameters * 10) / 8);
});

test("mapped weights can be taken back, and a longer context takes more", () => {
  const mapped = estimateMemory(oneBillion("F32"), { mapped: true });
  close(mapped.reclaimable, 4 * parameters);
  assert(mapped.peak - mapped.reclaimable < 0.5e9);
  const long = estimateMemory(oneBillion("F32"), { contextLength: 8192 });
  assert.equal(long.cache, 4 * estimateMemory(oneBillion("F32")).cache);
});

const gb = 1e9;

// prettier-ignore
const refusals: [free: number, precision: Precision | undefined, says: string[]][] = [
  [4 * gb, undefined, ["Llama-3.2-1B needs about", "4.0 GB is free", "load it in int8"]],
  [1.5 * gb, undefined, ["1.5 GB is free", "load it in int4"]],
  [1.5 * gb, "int8", ["load it in int4"]],
  [0.6 * gb, undefined, ["No precision fits", "mapped from disk"]],
  [0.05 * gb, undefined, ["50 MB is free", "choose a smaller model"]],
];

for (const [free, precision, says] of refusals) {
  test(`a model in ${precision ?? "fp32"} with ${free / gb} GB free is refused with what would fit`, async () => {
    const state = { free, total: 8 * gb, isLimited: false };
    const model = oneBillion("BF16");
    const at = { options: {}, state, packedIn: packedIn(model, precision) };
    await assert.rejects(checkMemory(model, at), failure("no-memory", ...says));
    const forced = await checkMemory(model, { ...at, allowTooLarge: true });
    assert.deepEqual([forced.free, forced.wish], [free, "resident"]);
  });
}

test("a model that is mapped from disk fits where it would not otherwise", async () => {
  const state = { free: 1 * gb, total: 8 * gb, isLimited: true };
  const model = oneBillion("F32");
  const at = { state, packedIn: packedIn(model) };
  const report = await checkMemory(model, { ...at, options: { mapped: true } });
  assert.equal(report.wish, "mapped");
  const refused = checkMemory(model, { ...at, options: {} });
  await assert.rejects(refused, failure("no-memory", "this process's memory limit leaves"));
});

test("mapped weights of 16 bits answer as others do, and their file is gone at the end", async () => {
  const folder = path.join(fixtures, "models/llama-bf16");
  const answers = [];
  for (const memory of ["resident", "mapped"] as const) {
    const base = await loadBaseModel(folder, { memory });
    assert.equal(base.memory.wish, memory);
    assert(base.memory.free > 0 && base.memory.estimate.peak > 0);
    const inputs = base.session.inputs([]);
    const run = base.session.with(inputs, (session) =>
      session.forward(session.start(inputs), [[5, 9, 33, 71]]),
    );
    answers.push((await run).data);
    await base.session.dispose();
  }
  const [resident, mapped] = answers as [Float32Array, Float32Array];
  assert(difference(mapped, resident) < 1e-5);
  const left = (await readdir(tmpdir())).filter((name) =>
    name.startsWith(`graft-widened-${process.pid}-`),
  );
  assert.deepEqual(left, []);
});
