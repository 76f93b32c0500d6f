import assert from "node:assert/strict";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import * as path from "node:path";
import { after, test, type TestContext } from "node:test";
import {
  convertAdapter,
  type Conversion,
  type ConvertReport,
} from "../../../../../extension/core/convertAdapter.ts";
import type { ErrorCode } from "../../../../../extension/core/base/errors.ts";
import { multiply } from "../../../../../extension/core/base/matrix.ts";
import { readOrtAdapter } from "../../../../../extension/core/ortAdapter/read.ts";
import { PeftModel } from "../../../../../extension/core/peftModel.ts";
import { loadBaseModel } from "../../../../../extension/core/baseModel.ts";
import { openSafetensors, readFloat32 } from "../../../../../extension/core/safetensors/read.ts";
import { difference, failure, fixtures, temporaryFolder } from "../../support.ts";
import { logitsOf } from "../tinyLlama.ts";

const truths = path.join(import.meta.dirname, "truths");
const golden = (model: string, name: string): string =>
  path.join(fixtures, "adapters", model, name);
const model = (name: string): string => path.join(fixtures, "models", name);

const base = await loadBaseModel(model("llama"));
after(() => base.session.dispose());

interface Stored {
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

async function tensorsOf(file: string): Promise<Map<string, Stored>> {
  const { tensors } = await openSafetensors(file);
  const values = await readFloat32(file, tensors);
  return new Map(
    tensors.map(({ name, shape }) => [name, { shape, values: values.get(name) as Float32Array }]),
  );
}

/** B A by module. */
async function products(file: string): Promise<Map<string, Float64Array>> {
  const tensors = await tensorsOf(file);
  const out = new Map<string, Float64Array>();
  for (const [name, a] of tensors) {
    const [, module] = /^(.+)\.lora_A\.weight$/.exec(name) ?? [];
    const b = tensors.get(`${module}.lora_B.weight`);
    if (module === undefined || !b) continue;
    const [inner = 0, columns = 0] = a.shape;
    out.set(module, multiply(b.values, a.values, { rows: b.shape[0] ?? 0, inner, columns }));
  }
  return out;
}

async function assertSameProducts(one: string, other: string, tolerance: number): Promise<void> {
  const [own, wanted] = [await products(one), await products(other)];
  assert.deepEqual([...own.keys()].sort(), [...wanted.keys()].sort());
  for (const [name, product] of own) {
    const off = difference(product, wanted.get(name) ?? []);
    assert(off <= tolerance, `${name} is off by ${off}`);
  }
}

interface Case {
  readonly to: Conversion;
  readonly adapter?: string;
  readonly on?: string;
  readonly path?: string;
  readonly name?: string;
}

async function run(
  t: TestContext,
  { to, adapter = "lora_default", on = "llama", ...at }: Case,
): Promise<ConvertReport & { weights: string; config: () => Promise<Record<string, unknown>> }> {
  const target = path.join(await temporaryFolder(t), at.name ?? "made");
  const source = at.path ?? golden(on, adapter);
  const report = await convertAdapter({ path: source, base: model(on), to, target });
  const config = async (): Promise<Record<string, unknown>> =>
    JSON.parse(await readFile(path.join(target, "adapter_config.json"), "utf8")) as Record<
      string,
      unknown
    >;
  return { ...report, weights: path.join(target, "adapter_model.safetensors"), config };
}

const likePeft: [truth: string, adapter: string, to: Conversion][] = [
  ["loha_rank4", "loha", { kind: "lora", size: { kind: "rank", rank: 4 } }],
  ["loha_energy80", "loha_patterns", { kind: "lora", size: { kind: "energy", energy: 0.8 } }],
  ["miss_rank4", "miss", { kind: "lora", size: { kind: "rank", rank: 4 } }],
  ["vera_energy90", "vera", { kind: "lora", size: { kind: "energy", energy: 0.9 } }],
  [
    "intruders",
    "lora_all_linear",
    { kind: "reduceIntruders", topK: 20, threshold: 0.6, mitigation: 0.3 },
  ],
];

for (const [truth, adapter, to] of likePeft) {
  void test(`${adapter} by ${to.kind} has PEFT's factors`, async (t) => {
    const { weights } = await run(t, { to, adapter });
    const file = path.join(truths, `${truth}.safetensors`);
    await assertSameProducts(weights, file, 1e-5);
    const [own, wanted] = [await tensorsOf(weights), await tensorsOf(file)];
    const shapes = (tensors: Map<string, Stored>): [string, readonly number[]][] =>
      [...tensors].map(([name, { shape }]): [string, readonly number[]] => [name, shape]).sort();
    assert.deepEqual(shapes(own), shapes(wanted));
  });
}

/** Methods whose effect has every part that a conversion reads. */
const exact: [adapter: string, on: string][] = [
  ["ia3_default", "llama"],
  ["dora_all_linear", "llama-bias"],
  ["oft_bias_model", "llama-bias"],
  ["beft", "llama-bias"],
  ["pissa_raw", "llama"],
  ["kasa", "llama"],
  ["trainable_tokens_tied", "llama-tied"],
  ["lora_modules_to_save", "llama-tied"],
  ["lora_layer_replication", "llama"],
];

for (const [adapter, on] of exact) {
  void test(`${adapter} on ${on} answers alike as an exact LoRA`, async (t) => {
    const made = await run(t, { to: { kind: "lora", size: { kind: "exact" } }, adapter, on });
    assert(made.modules.every(({ lost }) => lost === 0));
    const own = await loadBaseModel(model(on));
    t.after(() => own.session.dispose());
    const peft = new PeftModel(own);
    await peft.loadAdapter(golden(on, adapter), { adapterName: "old" });
    await peft.loadAdapter(path.dirname(made.weights), { adapterName: "new" });
    const [old, now] = [
      await logitsOf(peft, [{ name: "old", weight: 1 }]),
      await logitsOf(peft, [{ name: "new", weight: 1 }]),
    ];
    const off = difference(old, now);
    assert(off < 1e-4, `logits are off by ${off}`);
  });
}

const resized: [adapter: string, rank: number, fields: Record<string, unknown>][] = [
  ["lora_all_linear", 3, { r: 3, lora_alpha: 6, rank_pattern: {}, alpha_pattern: {} }],
  // √3 · 16 / √12 and the like are no whole numbers: B takes up the difference.
  ["lora_rslora", 3, { r: 3, lora_alpha: 16 }],
  ["dora", 3, { r: 3, lora_alpha: 6, use_dora: true }],
  ["alora", 3, { r: 3, alora_invocation_tokens: [37, 27] }],
];

for (const [adapter, rank, fields] of resized) {
  void test(`${adapter} is cut to rank ${rank} as its update would be`, async (t) => {
    const small = await run(t, { to: { kind: "resize", size: { kind: "rank", rank } }, adapter });
    const config = await small.config();
    for (const [field, value] of Object.entries(fields))
      assert.deepEqual(config[field], value, field);
    for (const { lost, total } of small.modules) assert(lost > 0 && lost < total);
    const source = path.dirname(small.weights);
    // A LoRA of the same rank that was made of the whole update is the best there is.
    const best = await run(t, {
      to: { kind: "resize", size: { kind: "rank", rank: 16 } },
      adapter,
    });
    const again = await run(t, {
      to: { kind: "resize", size: { kind: "rank", rank } },
      path: path.dirname(best.weights),
    });
    assert.equal(path.basename(source), "made");
    const scale = await scaleOf(small);
    assert.equal(scale, await scaleOf(again));
    await assertSameProducts(small.weights, again.weights, 1e-5);
    const names = [...(await tensorsOf(path.join(golden("llama", adapter), weightsName))).keys()];
    assert.deepEqual([...(await tensorsOf(small.weights)).keys()].sort(), names.sort());
  });
}

const weightsName = "adapter_model.safetensors";

async function scaleOf({ config }: Awaited<ReturnType<typeof run>>): Promise<number> {
  const { r, lora_alpha: alpha, use_rslora: isRoot } = await config();
  return Number(alpha) / (isRoot === true ? Math.sqrt(Number(r)) : Number(r));
}

void test("more rank is zeros, and nothing else moves", async (t) => {
  const to: Conversion = { kind: "resize", size: { kind: "rank", rank: 16 } };
  const large = await run(t, { to, adapter: "lora_lora_bias", on: "llama-bias" });
  assert(large.modules.every(({ rank, lost }) => rank === 16 && lost === 0));
  const old = await tensorsOf(path.join(golden("llama-bias", "lora_lora_bias"), weightsName));
  for (const [name, { values, shape }] of await tensorsOf(large.weights)) {
    const before = old.get(name) ?? assert.fail(name);
    if (!name.includes("lora_A")) continue;
    assert.equal(shape[0], 16);
    assert.deepEqual(values.subarray(0, before.values.length), before.values);
    assert(values.subarray(before.values.length).every((value) => value === 0));
  }
});

void test("ONNX Runtime's file is read, and written so that it reads back alike", async (t) => {
  const file = path.join(truths, "ort.onnx_adapter");
  const made = await run(t, { to: { kind: "peft" }, path: file });
  const stored = path.join(golden("llama", "lora_default"), weightsName);
  await assertSameProducts(made.weights, stored, 0);
  assert.deepEqual((await made.config())["target_modules"], ["q_proj", "v_proj"]);
  const adapter = await readOrtAdapter(file);
  assert.deepEqual([adapter.adapterVersion, adapter.modelVersion], [3, 5]);
  for (const names of ["olive", "genai"] as const) {
    const written = await run(t, { to: { kind: "onnxAdapter", names }, name: "x.onnx_adapter" });
    const own = await readOrtAdapter(written.target);
    const name = names === "olive" ? ".self_attn.q_proj.lora_B" : ".attn.q_proj.lora_B.MatMul";
    const found = own.parameters.find((each) => each.name === `model.layers.0${name}.weight`);
    assert.deepEqual(found?.shape, [8, 64]);
    const same = adapter.parameters.find(({ name: each }) => each.includes("0.attn.q_proj.lora_B"));
    assert.deepEqual(Buffer.from(found.bytes), Buffer.from(same?.bytes ?? []));
    const back = await run(t, { to: { kind: "peft" }, path: written.target });
    await assertSameProducts(back.weights, stored, 0);
  }
});

void test("llama.cpp's file is read, its rows turned back", async (t) => {
  const made = await run(t, { to: { kind: "peft" }, path: path.join(truths, "llama.gguf") });
  const stored = await tensorsOf(path.join(golden("llama", "lora_default"), weightsName));
  assert.deepEqual(await tensorsOf(made.weights), stored);
  const { r, lora_alpha: alpha } = await made.config();
  assert.deepEqual([r, alpha], [8, 8]);
});

const throughGguf: [adapter: string, on: string][] = [
  ["lora_all_linear", "llama"],
  ["lora_all_linear", "mistral"],
  ["lora_all_linear", "qwen2"],
  ["lora_default", "qwen3"],
  ["lora_target_lm_head", "llama"],
  ["alora", "llama"],
];

for (const [adapter, on] of throughGguf) {
  void test(`${adapter} on ${on} goes to GGUF and back without a change`, async (t) => {
    const made = await run(t, { to: { kind: "gguf" }, adapter, on, name: "x.gguf" });
    const back = await run(t, { to: { kind: "peft" }, path: made.target, on });
    const stored = await tensorsOf(path.join(golden(on, adapter), weightsName));
    // A table that was saved along is the base's own.
    for (const name of stored.keys()) if (name.includes("base_layer")) stored.delete(name);
    assert.deepEqual(await tensorsOf(back.weights), stored);
    assert.deepEqual(
      (await back.config())["alora_invocation_tokens"] ?? null,
      adapter === "alora" ? [37, 27] : null,
    );
  });
}

void test("GGUF takes one alpha: other scalings go into B, tables lie on their side", async (t) => {
  for (const adapter of ["lora_rslora_pattern", "lora_embed_tokens"]) {
    const made = await run(t, { to: { kind: "gguf" }, adapter, name: "x.gguf" });
    const back = await run(t, { to: { kind: "peft" }, path: made.target });
    const model = new PeftModel(base);
    await model.loadAdapter(golden("llama", adapter), { adapterName: "old" });
    await model.loadAdapter(path.dirname(back.weights), { adapterName: "new" });
    const [old, now] = [
      await logitsOf(model, [{ name: "old", weight: 1 }]),
      await logitsOf(model, [{ name: "new", weight: 1 }]),
    ];
    assert(difference(old, now) < 1e-4);
  }
  const half = await run(t, { to: { kind: "gguf", dtype: "fp16" }, name: "x.gguf" });
  for (const { lost, total } of half.modules) assert(lost > 0 && Math.sqrt(lost / total) < 1e-3);
});

const gguf: Conversion = { kind: "gguf" };
const onnx: Conversion = { kind: "onnxAdapter" };
const lora: Conversion = { kind: "lora", size: { kind: "rank", rank: 2 } };
const resize: Conversion = { kind: "resize", size: { kind: "rank", rank: 2 } };

const refusals: (Case & { says: string; code?: ErrorCode })[] = [
  { to: lora, adapter: "prompt_tuning_random", says: "puts tokens before the prompt" },
  { to: lora, adapter: "ln_tuning", says: "a LoRA has no norms" },
  { to: lora, adapter: "alora", says: "only some tokens" },
  { to: lora, adapter: "poly", says: "several tasks" },
  { to: lora, adapter: "lily", says: "routes tokens" },
  {
    to: { kind: "lora", size: { kind: "rank", rank: 65 } },
    adapter: "loha",
    says: "larger than a side",
    code: "bad-request",
  },
  {
    to: { kind: "lora", size: { kind: "energy", energy: 1.5 } },
    says: "at most 1",
    code: "bad-request",
  },
  {
    to: { kind: "resize", size: { kind: "rank", rank: 1.5 } },
    says: "whole number",
    code: "bad-request",
  },
  { to: { kind: "reduceIntruders", topK: 0 }, says: "topK is 0", code: "bad-request" },
  { to: resize, adapter: "loha", says: "the adapter is LoHa" },
  { to: resize, adapter: "bdlora", says: "use_bdlora" },
  { to: resize, adapter: "kasa", says: "kasa_config" },
  { to: resize, adapter: "pissa_raw", says: "init_lora_weights" },
  { to: gguf, adapter: "dora", says: "use_dora" },
  { to: gguf, adapter: "lora_modules_to_save", says: "stored whole" },
  { to: gguf, adapter: "lora_lora_bias", on: "llama-bias", says: "lora_bias" },
  { to: onnx, adapter: "alora", says: "alora_invocation_tokens" },
  { to: onnx, adapter: "lora_embed_tokens", says: "an embedding" },
  {
    to: { kind: "peft" },
    path: path.join(truths, "llama.gguf"),
    on: "qwen2",
    says: 'is for "llama"',
    code: "bad-request",
  },
  {
    to: { kind: "peft" },
    path: path.join(truths, "ort.onnx_adapter"),
    on: "llama-mha",
    says: "this base has as",
    code: "misfit",
  },
  { to: { kind: "peft" }, path: path.join(truths, "make.py"), says: ".gguf", code: "bad-request" },
];

for (const { says, code = "unsupported", ...each } of refusals) {
  const what = path.basename(each.path ?? each.adapter ?? "lora_default");
  void test(`${what} by ${each.to.kind} is refused: ${says}`, async (t) => {
    const folder = await temporaryFolder(t);
    const source = each.path ?? golden(each.on ?? "llama", each.adapter ?? "lora_default");
    const target = path.join(folder, "deep", "made");
    const options = { path: source, base: model(each.on ?? "llama"), to: each.to, target };
    await assert.rejects(convertAdapter(options), failure(code, says));
    assert.deepEqual(await readdir(folder), []);
  });
}

void test("what is there stays unless it may go, and a wish to stop leaves nothing", async (t) => {
  const folder = await temporaryFolder(t);
  const source = golden("llama", "lora_default");
  for (const [to, name] of [
    [gguf, "x.gguf"],
    [onnx, "x.onnx_adapter"],
    [resize, "made"],
  ] as const) {
    const target = path.join(folder, name);
    const options = { path: source, base: model("llama"), to, target };
    const stop = new AbortController();
    const stopped = convertAdapter({
      ...options,
      signal: stop.signal,
      onProgress: ({ done }) => void (done === 1 && stop.abort()),
    });
    await assert.rejects(stopped, failure("cancelled"));
    assert(!(await readdir(folder)).includes(name));
    await convertAdapter(options);
    await assert.rejects(convertAdapter(options), failure("bad-request", "exists already"));
    await convertAdapter({ ...options, overwrite: true });
  }
  await mkdir(path.join(folder, "folder"));
  const wrong = { path: source, base: model("llama"), to: gguf, overwrite: true };
  await assert.rejects(
    convertAdapter({ ...wrong, target: path.join(folder, "folder") }),
    failure("bad-request", "is a folder"),
  );
  const own = path.join(folder, weightsName);
  await writeFile(own, "mine");
  await assert.rejects(
    convertAdapter({ ...wrong, target: own }),
    failure("bad-request", "own file"),
  );
});
