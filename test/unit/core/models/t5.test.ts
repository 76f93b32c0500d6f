import assert from "node:assert/strict";
import { cp, readFile, writeFile } from "node:fs/promises";
import * as path from "node:path";
import { after, test, type TestContext } from "node:test";
import { loadBaseModel } from "../../../../extension/core/baseModel.ts";
import { openCheckpoint } from "../../../../extension/core/models/openCheckpoint.ts";
import { bucketOf } from "../../../../extension/core/models/relativePositions.ts";
import { PeftModel } from "../../../../extension/core/peftModel.ts";
import { openSafetensors, readTensors } from "../../../../extension/core/safetensors/read.ts";
import { writeSafetensors } from "../../../../extension/core/safetensors/write.ts";
import { difference, failure, fixtures, temporaryFolder } from "../support.ts";

const plain = path.join(fixtures, "models/t5-plain");
const gated = path.join(fixtures, "models/t5-gated");
const words = ["<pad>", "</s>", "<unk>", ..."abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHI"];

/** T5's tokenizer in small: words of one letter, the end behind every prompt. */
const tokenizer = {
  version: "1.0",
  added_tokens: [
    { id: 1, content: "</s>", special: true, single_word: false, lstrip: false, rstrip: false },
  ],
  normalizer: null,
  pre_tokenizer: { type: "Whitespace" },
  post_processor: {
    type: "TemplateProcessing",
    single: [{ Sequence: { id: "A", type_id: 0 } }, { SpecialToken: { id: "</s>", type_id: 0 } }],
    pair: [],
    special_tokens: { "</s>": { id: "</s>", ids: [1], tokens: ["</s>"] } },
  },
  decoder: null,
  model: {
    type: "WordLevel",
    unk_token: "<unk>",
    vocab: Object.fromEntries(words.map((word, id) => [word, id])),
  },
};

async function withTokenizer(t: TestContext): Promise<PeftModel> {
  const folder = path.join(await temporaryFolder(t), "t5");
  await cp(plain, folder, { recursive: true });
  await writeFile(path.join(folder, "tokenizer.json"), JSON.stringify(tokenizer));
  const model = new PeftModel(await loadBaseModel(folder));
  t.after(() => model.dispose());
  return model;
}

const shared = new PeftModel(await loadBaseModel(plain));
after(() => shared.dispose());

void test("distances fall into the buckets that PyTorch computes", () => {
  const usual = { buckets: 32, maxDistance: 128, isBidirectional: true };
  const check = (table: typeof usual, distances: number[], expected: number[]): void =>
    assert.deepEqual(
      distances.map((distance) => bucketOf(table, distance)),
      expected,
    );
  const ends = [-500, -128, -16, -8, -7, -1, 0, 1, 7, 8, 16, 64, 127, 500];
  check(usual, ends, [15, 15, 10, 8, 7, 1, 0, 17, 23, 24, 26, 30, 31, 31]);
  const causal = { ...usual, isBidirectional: false };
  check(causal, ends, [31, 31, 16, 8, 7, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
});

void test("an answer token by token is the one that the decoder reads at once", async () => {
  const inputs = shared.inputsOf([]);
  const ids = [[5, 9, 33, 41, 7, 12, 20]];
  const answer = [0, 4, 8, 15, 16, 23, 42];
  const whole = await shared.base.session.predict(
    { kind: "tokens", ids, decoderIds: [answer] },
    inputs,
  );
  const steps = await shared.base.session.with(inputs, async (session) => {
    const state = session.start(inputs);
    const logits = [...(await session.forward(state, ids)).data];
    for (const id of answer.slice(1)) logits.push(...(await session.forward(state, [[id]])).data);
    return logits;
  });
  assert(difference(whole.data, steps) < 1e-5);
});

void test("prompts of a batch are answered as each alone, with and without adapters", async (t) => {
  const model = await withTokenizer(t);
  await model.loadAdapter(path.join(fixtures, "adapters/t5-plain/lora_all_linear"), {
    adapterName: "lora",
  });
  await model.loadAdapter(path.join(fixtures, "adapters/t5-plain/p_tuning_encoder"), {
    adapterName: "prompt",
  });
  const texts = ["a b c d e f g h i j k l m n", "q", "b d f"];
  const prompts = texts.map((text) => ({ kind: "text", text }) as const);
  const rows = ["lora", "__base__", "prompt"];
  const adapters = [[{ name: "lora", weight: 1 }], [], [{ name: "prompt", weight: 1 }]];
  const together = await model.answerBatch(prompts, { rows, maxNewTokens: 7 });
  assert.equal(together[0]?.promptTokens, 15, "the end stands behind the prompt");
  for (const [i, prompt] of prompts.entries()) {
    const own = adapters[i] ?? [];
    const alone = await model.answer(prompt, { adapters: own, maxNewTokens: 7 });
    assert.deepEqual(together[i]?.ids, alone.ids, texts[i]);
  }
  const long = { kind: "text", text: "a b c ".repeat(100) } as const;
  assert.notDeepEqual((await model.answer(long, { maxNewTokens: 4 })).ids, []);
});

void test("an adapter's effect is measured on what the decoder says", async () => {
  await shared.loadAdapter(path.join(fixtures, "adapters/t5-plain/dora_feed_forward"), {
    adapterName: "measured",
  });
  const adapters = [{ name: "measured", weight: 1 }];
  const report = await shared.measureEffect({ adapters, probes: [[4, 5, 6, 7]] });
  assert.equal(report.positions, 4);
  assert(report.largest > 1e-3);
  const none = await shared.measureEffect({ adapters: [], probes: [[4, 5, 6, 7]] });
  assert(none.changesNothing);
});

void test("a table is found by any of its names, and a head that repeats it is tied", async (t) => {
  const folder = path.join(await temporaryFolder(t), "t5");
  await cp(plain, folder, { recursive: true });
  const file = path.join(folder, "model.safetensors");
  const { tensors } = await openSafetensors(file);
  const bytes = await readTensors(file, tensors);
  const named = tensors.flatMap(({ name, dtype, shape }, i) => {
    const tensor = { dtype, shape, bytes: Uint8Array.from(bytes[i] as Uint8Array) };
    const names = ["decoder.embed_tokens.weight", "encoder.embed_tokens.weight", "lm_head.weight"];
    return (name === "shared.weight" ? names : [name]).map((own) => ({ name: own, ...tensor }));
  });
  await writeSafetensors(file, named);
  const config = path.join(folder, "config.json");
  const raw = JSON.parse(await readFile(config, "utf8")) as Record<string, unknown>;
  delete raw["scale_decoder_outputs"];
  await writeFile(config, JSON.stringify({ ...raw, architectures: ["T5WithLMHeadModel"] }));
  const { parameters } = await openCheckpoint(plain);
  const model = new PeftModel(await loadBaseModel(folder));
  t.after(() => model.dispose());
  assert.equal(model.getNbTrainableParameters().total, parameters);
  const batch = { kind: "tokens", ids: [[5, 6, 7]] } as const;
  const [own, truth] = [model, shared].map((each) =>
    each.base.session.predict(batch, each.inputsOf([])),
  );
  assert(difference((await own!).data, (await truth!).data) < 1e-6);
});

void test("outputs stay scaled where merging gives the head a weight of its own", async (t) => {
  const folder = path.join(await temporaryFolder(t), "t5");
  await cp(plain, folder, { recursive: true });
  const config = path.join(folder, "config.json");
  const raw = JSON.parse(await readFile(config, "utf8")) as Record<string, unknown>;
  delete raw["scale_decoder_outputs"];
  await writeFile(config, JSON.stringify(raw));
  const model = new PeftModel(await loadBaseModel(folder));
  t.after(() => model.dispose());
  await model.loadAdapter(path.join(fixtures, "adapters/t5-plain/lora_head_saved"));
  model.setAdapter("default");
  const batch = { kind: "tokens", ids: [[5, 6, 7]] } as const;
  const adapted = await model.base.session.predict(batch, model.currentInputs);
  const written = path.join(await temporaryFolder(t), "merged");
  await model.mergeAndUnload({ folder: written });
  const merged = new PeftModel(await loadBaseModel(written));
  t.after(() => merged.dispose());
  const own = await merged.base.session.predict(batch, merged.inputsOf([]));
  assert(difference(own.data, adapted.data) < 1e-5);
});

void test("what does not run on encoder and decoder is refused by name", async (t) => {
  await assert.rejects(
    loadBaseModel(gated, { dtype: "bfloat16" }),
    failure("unsupported", "encoder"),
  );
  const adapter = path.join(await temporaryFolder(t), "prefix");
  await cp(path.join(fixtures, "adapters/t5-plain/p_tuning_encoder"), adapter, { recursive: true });
  const config = path.join(adapter, "adapter_config.json");
  const raw = JSON.parse(await readFile(config, "utf8")) as Record<string, unknown>;
  await writeFile(config, JSON.stringify({ ...raw, peft_type: "PREFIX_TUNING" }));
  const loaded = shared.loadAdapter(adapter, { adapterName: "prefix" });
  await assert.rejects(loaded, failure("unsupported", "prefix", "num_transformer_submodules 2"));
  const folder = path.join(await temporaryFolder(t), "export");
  await assert.rejects(shared.exportOnnx({ folder }), failure("unsupported", "T5"));
  const llama = new PeftModel(await loadBaseModel(path.join(fixtures, "models/llama")));
  t.after(() => llama.dispose());
  await writeFile(config, JSON.stringify({ ...raw, num_transformer_submodules: 2 }));
  await assert.rejects(
    llama.loadAdapter(adapter),
    failure("unsupported", "num_transformer_submodules", "only decodes"),
  );
});
