import assert from "node:assert/strict";
import { cp, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import * as path from "node:path";
import { after, test } from "node:test";
import { loadBaseModel } from "../../../../extension/core/baseModel.ts";
import { torchTopK } from "../../../../extension/core/base/torchTopK.ts";
import { openAdapterCheckpoint } from "../../../../extension/core/checkpoint/adapterCheckpoint.ts";
import { PeftModel } from "../../../../extension/core/peftModel.ts";
import { xlora } from "../../../../extension/core/peft/xlora/xlora.ts";
import { readTensors } from "../../../../extension/core/safetensors/read.ts";
import { writeSafetensors } from "../../../../extension/core/safetensors/write.ts";
import { readTruths, integerRows, readJson, type Truth } from "../../../golden/truth.ts";
import { greedyTokens } from "../../../golden/models.ts";
import { difference, failure, fixtures, temporaryFolder } from "../support.ts";

const base = await loadBaseModel(path.join(fixtures, "models/llama"));
const model = new PeftModel(base);
after(() => model.dispose());
const fixture = (name: string): string => path.join(fixtures, "adapters/llama", name);
const cases = ["xlora_pass_value", "xlora_embeddings", "xlora_layerwise"];
for (const name of cases) await model.loadAdapter(fixture(name), { adapterName: name });
await model.loadAdapter(fixture("lora_default"), { adapterName: "lora" });

const ids = [5, 9, 33, 70, 2, 18, 40];
const first = "xlora_layerwise";

/** Logits of the last token, read in parts of these sizes with these adapters. */
async function last(parts: readonly [names: string[], size: number][]): Promise<Float32Array> {
  const inputs = parts.map(([names]) => model.inputsOf(names.map((name) => ({ name, weight: 1 }))));
  return base.session.with(model.inputsOf([]), async (session) => {
    const state = session.start(model.inputsOf([]));
    let data = new Float32Array();
    let start = 0;
    for (const [i, [, size]] of parts.entries()) {
      state.adapters = inputs[i] as (typeof inputs)[0];
      const { data: logits } = await session.forward(state, [ids.slice(start, (start += size))]);
      data = logits.slice();
    }
    return data;
  });
}

void test("a prompt read in parts is weighed as a whole one", async () => {
  for (const name of cases) {
    const whole = await last([[[name], 7]]);
    const parts = await last([3, 1, 3].map((size) => [[name], size]));
    assert(difference(parts, whole) < 1e-5, name);
    assert(difference(whole, await last([[[], 7]])) > 0.1, `${name} changes nothing`);
  }
});

void test("an adapter that comes in later first reads what was before", async () => {
  const fresh = await last([[[first], 7]]);
  const late = await last([
    [[], 3],
    [[first], 2],
    [["lora"], 1],
    [[first], 1],
  ]);
  assert(late.every(Number.isFinite));
  assert(difference(late, fresh) > 0);
});

void test("left-padded batches give PEFT's ids", async () => {
  for (const name of cases) {
    const truths = await readTruths(path.join(fixture(name), "expected.safetensors"));
    const rows = integerRows(truths.get("input_ids") as Truth);
    const mask = integerRows(truths.get("attention_mask") as Truth).map((row) => row.reverse());
    const { left_padded: wanted } = readJson<{ left_padded: number[][] }>(
      path.join(fixture(name), "expected.json"),
    );
    const inputs = model.inputsOf([{ name, weight: 1 }]);
    assert.deepEqual(
      await greedyTokens(model, inputs, { ids: rows, mask, count: 8 }),
      wanted,
      name,
    );
  }
});

void test("answers stream with what the experts say", async () => {
  const heard: number[] = [];
  const answer = await model.answer(
    { kind: "text", text: "w5 w9 w33" },
    {
      adapters: [{ name: first, weight: 1 }],
      maxNewTokens: 5,
      onText: (_text, tokens) => heard.push(tokens),
    },
  );
  assert.equal(heard.length, answer.ids.length);
  assert(answer.ids.length > 0);
});

void test("weight 0 is the base; other adapters beside it and merging are refused", async (t) => {
  const none = model.inputsOf([{ name: first, weight: 0 }]);
  assert.equal(none.router, null);
  const both = ["lora", first].map((name) => ({ name, weight: 1 }));
  assert.throws(() => model.inputsOf(both), failure("bad-request", "X-LoRA", "alone"));
  const target = path.join(await temporaryFolder(t), "merged");
  await assert.rejects(
    model.mergeAndUnload({ folder: target, adapters: [{ name: first, weight: 1 }] }),
    failure("unsupported", "X-LoRA", "cannot be merged"),
  );
});

void test("what is saved is whole: without the first experts it gives the same", async (t) => {
  const folder = await temporaryFolder(t);
  for (const name of cases) {
    const saved = path.join(folder, name);
    await model.saveAdapter(name, saved);
    const file = path.join(saved, "adapter_config.json");
    const elsewhere = (await readFile(file, "utf8")).replaceAll('"adapters/', '"/nowhere/');
    await writeFile(file, elsewhere);
    await model.loadAdapter(saved, { adapterName: `${name} again` });
    assert.equal(difference(await last([[[`${name} again`], 7]]), await last([[[name], 7]])), 0);
  }
});

void test("experts with names of their own are found and run in their order", async (t) => {
  const folder = path.join(await temporaryFolder(t), "adapter");
  await model.saveAdapter(first, folder);
  const file = path.join(folder, "adapter_config.json");
  await rename(path.join(folder, "2"), path.join(folder, "law"));
  const text = await readFile(file, "utf8");
  const names = '{ "poet": "/nowhere/a", "10": "/nowhere/b", "law": "/nowhere/c" }';
  await writeFile(file, text.replace(/"adapters": \{[^}]*\}/, `"adapters": ${names}`));
  const { warnings } = await model.loadAdapter(folder, { adapterName: "named" });
  assert(warnings.some((warning) => warning.includes("poet, law")));
  assert.equal(difference(await last([[["named"], 7]]), await last([[[first], 7]])), 0);
});

void test("missing classifier layers and experts are refused by name", async (t) => {
  const folder = path.join(await temporaryFolder(t), "adapter");
  await cp(fixture(first), folder, { recursive: true });
  await mkdir(path.join(folder, "aside"));
  await rename(path.join(folder, "_experts/1"), path.join(folder, "aside/one"));
  const load = (): Promise<unknown> => model.loadAdapter(folder, { adapterName: "broken" });
  await assert.rejects(load(), failure("not-found", 'Expert "1"', "_experts/1"));
  await rename(path.join(folder, "aside/one"), path.join(folder, "_experts/1"));

  const { weights } = await openAdapterCheckpoint(folder);
  const kept = weights.tensors.filter(({ name }) => !name.includes("layers.0."));
  const bytes = await readTensors(weights.file, kept);
  const tensors = kept.map((entry, i) => ({ ...entry, bytes: bytes[i] as Uint8Array }));
  await rm(weights.file);
  await writeSafetensors(weights.file, tensors, { metadata: { format: "pt" } });
  await assert.rejects(load(), failure("bad-file", "layers.0.weight", "PEFT 0.21 leaves out"));
});

void test("folders that PEFT wrote for experts lack layers and are refused alone", async (t) => {
  const folder = path.join(await temporaryFolder(t), "adapter");
  await cp(fixture("xlora"), folder, { recursive: true });
  await rm(path.join(folder, "_experts"), { recursive: true });
  await assert.rejects(
    model.loadAdapter(folder, { adapterName: "broken" }),
    failure("bad-file", 'expert "0"', "PEFT 0.21"),
  );
});

void test("an expert that is not plain LoRA is refused with its option", async (t) => {
  const folder = path.join(await temporaryFolder(t), "adapter");
  await cp(fixture(first), folder, { recursive: true });
  const file = path.join(folder, "_experts/0/adapter_config.json");
  const config = readJson<Record<string, unknown>>(file);
  await writeFile(file, JSON.stringify({ ...config, use_dora: true }));
  await assert.rejects(
    model.loadAdapter(folder, { adapterName: "broken" }),
    failure("unsupported", "plain LoRA", "use_dora"),
  );
});

void test("the inspector's rows name the classifier and every module once", async () => {
  const rows = xlora.summarize(await openAdapterCheckpoint(fixture(first)));
  const paths = rows.map(({ path: name }) => name);
  assert.equal(new Set(paths).size, paths.length);
  assert.deepEqual(rows[0]?.path, "internal_xlora_classifier.layers.0");
  assert.deepEqual(rows[0].shape, [64, 24]);
  assert(paths.includes("model.layers.1.mlp.down_proj"));
});

void test("equal values are chosen among as torch.topk does", () => {
  const chosen = (count: number, k: number): number[] =>
    torchTopK(Array<number>(count).fill(0.3), k).sort((a, b) => a - b);
  assert.deepEqual(chosen(3, 2), [0, 1]);
  assert.deepEqual(chosen(4, 2), [2, 3]);
  assert.deepEqual(chosen(8, 5), [2, 4, 5, 6, 7]);
  assert.deepEqual(torchTopK([1, 5, 3, 4, 2], 2).sort(), [1, 3]);
});
