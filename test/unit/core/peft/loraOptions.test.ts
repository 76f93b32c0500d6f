import assert from "node:assert/strict";
import { cp, readFile, writeFile } from "node:fs/promises";
import * as path from "node:path";
import { after, test } from "node:test";
import { describeBase, loadBaseModel } from "../../../../extension/core/baseModel.ts";
import { adapterConfigOf } from "../../../../extension/core/checkpoint/adapterConfig.ts";
import { lora } from "../../../../extension/core/peft/lora.ts";
import { PeftModel } from "../../../../extension/core/peftModel.ts";
import { difference, failure, fixtures, temporaryFolder } from "../support.ts";

const base = await loadBaseModel(path.join(fixtures, "models/llama"));
const model = new PeftModel(base);
after(() => model.dispose());
const folder = (name: string): string => path.join(fixtures, "adapters/llama", name);
await model.loadAdapter(folder("alora"), { adapterName: "alora" });
await model.loadAdapter(folder("lora_resized_vocab"), { adapterName: "grown" });

/** Logits of the last token, the prompt read in parts of these sizes. */
async function last(
  names: readonly string[],
  ids: readonly number[],
  parts: readonly number[] = [ids.length],
): Promise<Float32Array> {
  const inputs = model.inputsOf(names.map((name) => ({ name, weight: 1 })));
  return base.session.with(inputs, async (session) => {
    const state = session.start(inputs, 1, [ids]);
    let data = new Float32Array();
    let start = 0;
    for (const seq of parts) {
      data = (await session.forward(state, [ids.slice(start, (start += seq))])).data.slice();
    }
    return data;
  });
}

const invocation = [37, 27];
const before = [5, 9, 33];

void test("an activated LoRA stays out of what comes before its invocation", async () => {
  assert.equal(difference(await last(["alora"], before), await last([], before)), 0);
  const ids = [...before, ...invocation];
  assert(difference(await last(["alora"], ids), await last([], ids)) > 0.1);
});

void test("an activated LoRA knows its invocation in whatever parts the prompt is read", async () => {
  // The first invocation is not the last: only what follows the second is changed.
  const ids = [...before, ...invocation, 70, 2, ...invocation, 18, 40];
  const whole = await last(["alora"], ids);
  for (const parts of [[3, 1, 2, 5], [8, 3], Array<number>(11).fill(1)]) {
    assert(difference(await last(["alora"], ids, parts), whole) < 1e-5, parts.join());
  }
});

void test("a grown vocabulary has logits and rows for its new tokens, the base has not", async () => {
  assert.equal((await last(["grown"], before)).length, 136);
  assert.equal((await last([], before)).length, 128);
  // A new token is fed as token 0; its own row must replace that.
  const [one, zero] = [
    await last(["grown"], [...before, 130]),
    await last(["grown"], [...before, 0]),
  ];
  assert(difference(one, zero) > 0.01);
  await assert.rejects(last([], [...before, 130]), failure("bad-request", "130", "128"));
  await assert.rejects(last(["grown"], [...before, 136]), failure("bad-request", "136"));
});

void test("repeated layers have a session of their own, and the base keeps its", async () => {
  const bare = await last([], before);
  await model.loadAdapter(folder("lora_layer_replication"), { adapterName: "deep" });
  assert(difference(await last(["deep"], before), bare) > 0.1);
  assert.equal(difference(await last([], before), bare), 0);
  const both = ["deep", "alora"].map((name) => ({ name, weight: 1 }));
  assert.throws(() => model.inputsOf(both), failure("bad-request", "repeats layers"));
});

const refused: [
  adapter: string,
  fields: object,
  code: "unsupported" | "bad-file" | "misfit",
  says: string,
][] = [
  ["pissa_raw", { init_lora_weights: "pissa_niter_4" }, "unsupported", "two loads by PEFT differ"],
  ["pissa_raw", { init_lora_weights: "mica", use_dora: true }, "bad-file", "use_dora"],
  ["pissa_raw", { init_lora_weights: "corda" }, "unsupported", "sample data"],
  ["pissa_raw", { init_lora_weights: "loftq" }, "unsupported", "bitsandbytes"],
  ["pissa_raw", { use_dora: true, kasa_config: {} }, "bad-file", "kasa_config"],
  ["pissa_raw", { lora_bias: true }, "bad-file", "init_lora_weights pissa"],
  ["pissa_raw", { target_modules: ["embed_tokens"] }, "unsupported", "embeddings"],
  ["lora_layer_replication", { layer_replication: [[0, 3]] }, "misfit", "this base has 2"],
  ["lora_layer_replication", { layer_replication: [0, 2] }, "bad-file", "layer_replication"],
  ["bdlora", { target_modules: ["q_proj", "k_proj"] }, "bad-file", "matches neither"],
  ["lora_default", { lora_dropout: 1.5 }, "bad-file", "at most 1"],
  ["lora_default", { lora_dropout: null }, "bad-file", "at most 1"],
  ["lora_default", { eva_config: "none" }, "bad-file", "eva_config"],
  ["vera", { vera_dropout: "0.1" }, "bad-file", "vera_dropout"],
];

for (const [adapter, fields, code, says] of refused) {
  void test(`${adapter} with ${JSON.stringify(fields)} is refused`, async (t) => {
    const file = await configWith(adapter, fields, await temporaryFolder(t));
    await assert.rejects(
      model.loadAdapter(path.dirname(file), { adapterName: "other" }),
      failure(code, file, says),
    );
  });
}

const taken: [adapter: string, fields: object][] = [
  ["lora_all_linear", { target_modules: "All-Linear" }],
  ["lora_default", { init_lora_weights: "Gaussian" }],
  ["loha", { module_dropout: null }],
];

for (const [adapter, fields] of taken) {
  void test(`${adapter} with ${JSON.stringify(fields)} is what it is without`, async (t) => {
    const file = await configWith(adapter, fields, await temporaryFolder(t));
    await model.loadAdapter(folder(adapter), { adapterName: "usual" });
    await model.loadAdapter(path.dirname(file), { adapterName: "spelled" });
    const [usual, spelled] = [await last(["usual"], before), await last(["spelled"], before)];
    for (const name of ["usual", "spelled"]) model.deleteAdapter(name);
    assert.equal(difference(usual, spelled), 0);
  });
}

void test("raw PiSSA and OLoRA store no more directions than a layer has", () => {
  for (const [init, rank] of [
    ["pissa", 32],
    ["olora", 32],
    [true, 40],
  ] as const) {
    const config = adapterConfigOf({
      peft_type: "LORA",
      r: 40,
      init_lora_weights: init,
      target_modules: ["layers.0.self_attn.v_proj"],
    });
    const [planned] = lora.plan(config, describeBase(base.checkpoint)).targets;
    assert.deepEqual(planned?.shapes["lora_A.weight"], [rank, 64]);
    assert.deepEqual(planned?.shapes["lora_B.weight"], [32, rank]);
  }
});

/** A copy of an adapter with other fields in its config; returns the path of that. */
async function configWith(adapter: string, fields: object, place: string): Promise<string> {
  const copy = path.join(place, adapter);
  await cp(folder(adapter), copy, { recursive: true });
  const file = path.join(copy, "adapter_config.json");
  const config = JSON.parse(await readFile(file, "utf8")) as object;
  await writeFile(file, JSON.stringify({ ...config, ...fields }));
  return file;
}
