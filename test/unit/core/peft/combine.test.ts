import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import * as path from "node:path";
import { after, test, type TestContext } from "node:test";
import type { ErrorCode } from "../../../../extension/core/base/errors.ts";
import { multiply } from "../../../../extension/core/base/matrix.ts";
import { loadBaseModel } from "../../../../extension/core/baseModel.ts";
import { openAdapterCheckpoint } from "../../../../extension/core/checkpoint/adapterCheckpoint.ts";
import { combineAdapters } from "../../../../extension/core/peft/combine.ts";
import {
  clamped,
  type Factors,
  joined,
  productOf,
  truncated,
} from "../../../../extension/core/peft/combine/factors.ts";
import type { CombineOptions } from "../../../../extension/core/peft/combine/options.ts";
import type { CombineSource } from "../../../../extension/core/peft/combine/source.ts";
import { PeftModel } from "../../../../extension/core/peftModel.ts";
import { readFloat32 } from "../../../../extension/core/safetensors/read.ts";
import { writeSafetensors } from "../../../../extension/core/safetensors/write.ts";
import { difference, failure, temporaryFolder } from "../support.ts";
import { makeFactors, tinyLlama, writeLora } from "./tinyLlama.ts";

const base = await loadBaseModel(tinyLlama);
after(() => base.session.dispose());

const query = "model.layers.0.self_attn.q_proj";

interface Refusal {
  what: string;
  config?: object;
  /** Config of the second adapter alone. */
  second?: object;
  rank?: number;
  options?: object;
  isWithoutBase?: boolean;
  code?: ErrorCode;
  says: string[];
}

const refusals: Refusal[] = [
  { what: "an unknown type", options: { combinationType: "mean" }, says: ['"mean"', "linear"] },
  { what: "ranks that differ", rank: 4, says: ['"a" 2, "b" 4', "cat"] },
  { what: "no density", options: { combinationType: "ties" }, says: ["needs a density"] },
  {
    what: "a division by zero",
    options: { combinationType: "dare_linear", density: 0 },
    says: ["above 0"],
  },
  {
    what: "random numbers without an order of modules",
    options: { combinationType: "dare_ties", density: 0.5 },
    isWithoutBase: true,
    says: ["Name the base"],
  },
  { what: "a regex beside a list", second: { target_modules: ".*q_proj" }, says: ["regex"] },
  {
    what: "DoRA whose magnitudes start at random",
    config: { use_dora: true, init_lora_weights: false },
    code: "unsupported",
    says: ['"a"', "use_dora", "random"],
  },
  { what: "biases", second: { bias: "all" }, code: "unsupported", says: ['"b"', "bias"] },
  {
    what: "parameters as targets",
    config: { target_parameters: ["x"] },
    code: "unsupported",
    says: ["target_parameters"],
  },
  {
    what: "two methods",
    second: { peft_type: "LOHA" },
    says: ['"a" is LoRA', '"b" is LoHa'],
  },
  {
    what: "a method that PEFT does not combine",
    config: { peft_type: "LOHA" },
    code: "unsupported",
    says: ["LoHa", "LoRA and IA³"],
  },
  {
    what: "a rank of a half",
    options: { combinationType: "svd", svdRank: 0.5 },
    says: ["svdRank"],
  },
];

for (const { what, code = "bad-request", says, ...given } of refusals) {
  test(`refused: ${what}`, async (t) => {
    const { config, second = config, rank = 2, options, isWithoutBase = false } = given;
    const a = await source(t, "a", { rank: 2, config });
    const b = await source(t, "b", { rank, config: second });
    const chosen = { combinationType: "linear", ...options } as CombineOptions;
    const on = isWithoutBase ? undefined : base.adaptable;
    await assert.rejects(combineAdapters([a, b], chosen, on), failure(code, ...says));
  });
}

test("modules saved whole are refused twice and taken from the base once", async (t) => {
  const config = { modules_to_save: ["lm_head"] };
  const [a, b] = [await source(t, "a", {}), await source(t, "b", {})];
  const whole = { ...a, checkpoint: await withHead(a, config) };
  const again = { ...b, checkpoint: await withHead(b, config) };
  const options = { combinationType: "cat" } as const;
  await assert.rejects(
    combineAdapters([whole, again], options, base.adaptable),
    failure("bad-request", '"a" and "b"', "lm_head.weight"),
  );
  const { tensors, warnings } = await combineAdapters([whole, b], options, base.adaptable);
  const head = tensors.find(({ name }) => name.endsWith("lm_head.weight"))?.bytes as Uint8Array;
  const values = new Float32Array(head.buffer, head.byteOffset, head.byteLength / 4);
  assert.deepEqual(values, await base.adaptable.readTensor("lm_head.weight"));
  assert.match(warnings.join(), /lm_head\.weight/);
});

test("the model refuses wrong names, weights and folders, and stays as it was", async (t) => {
  const model = new PeftModel(base);
  const [a, b] = [await source(t, "a", {}), await source(t, "b", {})];
  for (const { name, checkpoint } of [a, b]) {
    await model.loadAdapter(checkpoint.dir, { adapterName: name });
  }
  const folder = path.join(await temporaryFolder(t), "combined");
  const add = (names: string[], weights: number[], name = "c"): Promise<unknown> =>
    model.addWeightedAdapter(names, weights, name, { folder, combinationType: "linear" });
  await assert.rejects(add(["a", "x"], [1, 1]), failure("bad-request", '"x"', "a, b"));
  await assert.rejects(add(["a", "b"], [1]), failure("bad-request", "2 adapters", "1 weights"));
  await assert.rejects(add([], []), failure("bad-request", "No adapter"));
  await assert.rejects(add(["a"], [NaN]), failure("bad-request", "NaN"));
  await assert.rejects(add(["a"], [1], "b"), failure("bad-request", '"b" is already loaded'));
  assert.equal(model.adapters.length, 2);
  await add(["a", "b"], [0.5, 0.5]);
  assert.equal(model.adapters.length, 3);
  await assert.rejects(add(["a"], [1], "d"), failure("bad-request", '"c" is loaded from'));
  model.deleteAdapter("c");
  await assert.rejects(add(["a"], [1], "d"), failure("bad-request", "exists already"));
});

test("IA³ vectors are added with their weights, and targets are joined", async (t) => {
  const folder = await temporaryFolder(t);
  const value = "model.layers.0.self_attn.v_proj";
  const parts = [
    await ia3Source(path.join(folder, "a"), 2, { [query]: [1, 2], [value]: [3, 4] }),
    await ia3Source(path.join(folder, "b"), -1, { [query]: [0.5, 1] }),
  ];
  const { tensors, configText } = await combineAdapters(parts);
  const vectors = tensors.map(({ name, bytes }) => [
    name,
    [...new Float32Array((bytes as Uint8Array).buffer)],
  ]);
  assert.deepEqual(Object.fromEntries(vectors), {
    [`base_model.model.${query}.ia3_l`]: [1.5, 3],
    [`base_model.model.${value}.ia3_l`]: [6, 8],
  });
  const { target_modules: targets } = JSON.parse(configText) as { target_modules: string[] };
  assert.deepEqual(targets, [query, value]);
});

test("cut factors keep the largest directions, also of updates that depend on each other", () => {
  const one = factors({ rank: 2, out: 6, inputs: 5 });
  const twice = joined([one, { ...one, a: one.a.map((x) => 2 * x) }]);
  const whole = truncated(twice, 4);
  assert(difference(productOf(whole), productOf(twice)) < 1e-5);
  const cut = truncated(twice, 1);
  // Of orthonormal A and scaled B the first direction stays the same.
  const gram = multiply(whole.a, cut.a, { rows: whole.rank, inner: 5, columns: 1 });
  assert(Math.abs(Math.abs(gram[0] as number) - 1) < 1e-5);
});

test("a clamp limits both factors", () => {
  const update = productOf(factors({ rank: 3, out: 6, inputs: 5 }));
  const at = { rows: 6, columns: 5, rank: 3 };
  const [free, tight] = [0.999999, 0.7].map((quantile) => clamped(update, { ...at, quantile }));
  const limit = (each?: Factors): number =>
    Math.max(...[...(each?.a ?? []), ...(each?.b ?? [])].map(Math.abs));
  assert(limit(tight) < limit(free));
});

function factors({ rank, out, inputs }: Pick<Factors, "rank" | "out" | "inputs">): Factors {
  const a = Float32Array.from({ length: rank * inputs }, (_, i) => Math.sin(3 * i + 1));
  const b = Float32Array.from({ length: out * rank }, (_, i) => Math.cos(2 * i * i));
  return { a, b, rank, out, inputs };
}

async function source(
  t: TestContext,
  name: string,
  { rank = 2, config }: { rank?: number; config?: object | undefined },
): Promise<CombineSource> {
  const folder = await temporaryFolder(t);
  const written = await writeLora(folder, makeFactors({ [query]: rank }), config);
  return { name, weight: 1, checkpoint: await openAdapterCheckpoint(written) };
}

/** The same adapter with a whole lm_head of zeros. */
async function withHead(
  { checkpoint }: CombineSource,
  config: object,
): Promise<CombineSource["checkpoint"]> {
  const { dir, weights } = checkpoint;
  const values = await readFloat32(weights.file, weights.tensors);
  const head = (await base.adaptable.readTensor("lm_head.weight")) as Float32Array;
  const tensors = weights.tensors.map(({ name, dtype, shape }) => ({
    name,
    dtype,
    shape,
    bytes: new Uint8Array((values.get(name) as Float32Array).slice().buffer),
  }));
  const name = "base_model.model.lm_head.weight";
  const bytes = new Uint8Array(head.length * 4);
  const shape = [head.length / 64, 64];
  await writeSafetensors(weights.file, [...tensors, { name, dtype: "F32", shape, bytes }]);
  const text = JSON.stringify({ ...checkpoint.config.raw, ...config });
  await writeFile(checkpoint.config.file, text);
  return openAdapterCheckpoint(dir);
}

async function ia3Source(
  folder: string,
  weight: number,
  vectors: Readonly<Record<string, number[]>>,
): Promise<CombineSource> {
  await mkdir(folder, { recursive: true });
  const tensors = Object.entries(vectors).map(([module, values]) => ({
    name: `base_model.model.${module}.ia3_l`,
    dtype: "F32" as const,
    shape: [values.length, 1],
    bytes: new Uint8Array(Float32Array.from(values).buffer),
  }));
  const target_modules = Object.keys(vectors);
  const text = JSON.stringify({ peft_type: "IA3", target_modules, feedforward_modules: [] });
  await writeSafetensors(path.join(folder, "adapter_model.safetensors"), tensors);
  await writeFile(path.join(folder, "adapter_config.json"), text);
  return { name: folder, weight, checkpoint: await openAdapterCheckpoint(folder) };
}
