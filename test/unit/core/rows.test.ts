import assert from "node:assert/strict";
import * as path from "node:path";
import { after, test } from "node:test";
import { loadBaseModel } from "../../../extension/core/baseModel.ts";
import type { BaseInputs } from "../../../extension/core/baseSession.ts";
import { PeftModel } from "../../../extension/core/peftModel.ts";
import type { Prompt } from "../../../extension/core/answer.ts";
import type { ActiveAdapter } from "../../../extension/core/loadedAdapters.ts";
import { difference, failure, fixtures, sample } from "./support.ts";

const llama = await loadBaseModel(path.join(fixtures, "models/llama"));
after(() => llama.session.dispose());

/** Adapters of the fixtures by the name of their case. */
async function loaded(...cases: string[]): Promise<PeftModel> {
  const model = new PeftModel(llama);
  for (const name of cases) {
    await model.loadAdapter(path.join(fixtures, "adapters/llama", name), { adapterName: name });
  }
  return model;
}

const ids = [5, 17, 42, 99, 7, 64, 23, 11];

async function logitsOf(inputs: BaseInputs, rows: number): Promise<Float32Array[]> {
  const { data } = await llama.session.with(inputs, (session) =>
    session.forward(
      session.start(inputs, rows),
      Array.from({ length: rows }, () => ids),
      { logitsRows: ids.map((_, place) => place) },
    ),
  );
  const size = data.length / rows;
  return Array.from({ length: rows }, (_, row) => data.slice(row * size, (row + 1) * size));
}

/** What a row of a batch gives is what it gives alone. */
async function sameAsAlone(
  model: PeftModel,
  rows: readonly (string | readonly ActiveAdapter[])[],
): Promise<void> {
  const together = await logitsOf(model.inputsOfRows(rows), rows.length);
  for (const [i, row] of rows.entries()) {
    const own = typeof row === "string" ? [{ name: row, weight: 1 }] : row;
    const active = row === "__base__" ? [] : own;
    const [alone = assert.fail()] = await logitsOf(model.inputsOf(active), 1);
    const apart = difference(together[i] as Float32Array, alone);
    assert(apart < 2e-5, `row ${i}, ${JSON.stringify(row)}, differs by ${apart}`);
  }
}

const rowsOfMethods: Record<string, string[]> = {
  "low rank, DoRA and scales": ["lora_all_linear", "dora_all_linear", "ia3_default", "adalora"],
  "dense updates and rotations": ["oft_r2", "hra", "boft_n8", "lokr", "fourierft", "road_2"],
  "saved modules and trained tokens": ["lora_modules_to_save", "lora_trainable_tokens_list"],
  embeddings: ["lora_embed_tokens", "dora_embed", "lora_target_lm_head"],
  "virtual tokens of several lengths": ["prompt_tuning_random", "p_tuning_mlp", "lora_default"],
  "prefixes in the cache": ["prefix_tuning", "cartridge", "lora_default"],
  "prompts of attention": ["adaption_prompt", "lora_default"],
  "tasks of one adapter": ["poly", "lora_default"],
};
for (const [what, names] of Object.entries(rowsOfMethods)) {
  test(`each row has adapters of its own: ${what}`, async () => {
    const model = await loaded(...names);
    await sameAsAlone(model, [...names, "__base__", ...names.slice(0, 1)]);
  });
}

test("a row can have several adapters with weights", async () => {
  const model = await loaded("lora_all_linear", "ia3_default");
  const both = ["lora_all_linear", "ia3_default"].map((name, i) => ({ name, weight: i + 0.5 }));
  await sameAsAlone(model, [both, "__base__", [], "ia3_default"]);
});

test("an activated LoRA acts in its own row, from where its tokens stand", async () => {
  const model = await loaded("alora", "lora_default");
  const [first = assert.fail()] = model.adapters;
  const { activation } = first.weights.effects;
  const prompt = [3, 4, ...(activation?.tokens ?? assert.fail()), 9, 8];
  const run = async (inputs: BaseInputs, rows: number): Promise<Float32Array> => {
    const tokens = Array.from({ length: rows }, () => prompt);
    return (
      await llama.session.with(inputs, (session) =>
        session.forward(session.start(inputs, rows), tokens),
      )
    ).data;
  };
  const rows = ["__base__", "alora", "lora_default"];
  const together = await run(model.inputsOfRows(rows), 3);
  for (const [i, name] of rows.entries()) {
    const active = name === "__base__" ? [] : [{ name, weight: 1 }];
    const alone = await run(model.inputsOf(active), 1);
    assert(difference(together.slice(i * 128, (i + 1) * 128), alone) < 2e-5, name);
  }
});

test("rows that cannot differ are refused by name", async () => {
  const model = await loaded(
    "lora_default",
    "lily",
    "lora_resized_vocab",
    "lora_layer_replication",
  );
  const rows = (...names: string[]) => {
    return () => model.inputsOfRows(names);
  };
  assert.throws(rows("lily", "lora_default"), failure("unsupported", "over the whole batch"));
  assert.doesNotThrow(rows("lily", "lily"));
  assert.throws(rows("lora_resized_vocab", "__base__"), failure("bad-request", "vocabulary"));
  assert.throws(rows("lora_layer_replication", "__base__"), failure("bad-request", "repeats"));
  assert.throws(rows("lora_default", "pirate"), failure("bad-request", '"pirate"'));
  const two = model.inputsOfRows(["lora_default", "__base__"]);
  await assert.rejects(logitsOf(two, 3), failure("bad-request", "2 rows", "batch has 3"));
});

test("a running answer keeps its adapters, or follows the active ones from the next token on", async (t) => {
  const model = new PeftModel(await loadBaseModel(path.join(sample, "base")));
  t.after(() => model.dispose());
  await model.loadAdapter(path.join(sample, "adapters/lora-pirate"), { adapterName: "pirate" });
  const prompt: Prompt = { kind: "chat", messages: [{ role: "user", content: "Hello!" }] };
  const answer = async (live: boolean, change: () => void): Promise<number[]> => {
    model.setAdapter("pirate");
    const onText = (_text: string, tokens: number): void => {
      if (tokens === 2) change();
    };
    return (await model.answer(prompt, { live, onText, maxNewTokens: 12 })).ids;
  };
  const far = (): void => model.setAdapter([{ name: "pirate", weight: -20 }]);
  const pirate = await answer(true, () => undefined);
  assert.deepEqual(await answer(false, far), pirate);
  const changed = await answer(true, far);
  assert.deepEqual(changed.slice(0, 2), pirate.slice(0, 2));
  assert.notDeepEqual(changed, pirate);
});

test("prompts of several lengths are answered in one batch as they are alone", async (t) => {
  const model = new PeftModel(await loadBaseModel(path.join(sample, "base")));
  t.after(() => model.dispose());
  for (const name of ["lora-pirate", "dora-shout", "ia3-butler"]) {
    await model.loadAdapter(path.join(sample, "adapters", name), { adapterName: name });
  }
  const prompts = ["Hello!", "Tell me a story about a red ball and a small dog.", "Who are you?"];
  const chats = [...prompts, "Hello!"].map((content): Prompt => ({
    kind: "chat",
    messages: [{ role: "user", content }],
  }));
  const rows = ["lora-pirate", "__base__", "dora-shout", "ia3-butler"];
  const seen = new Map<number, string>();
  const answers = await model.answerBatch(chats, {
    rows,
    maxNewTokens: 24,
    onText: (row, text) => seen.set(row, text),
  });
  for (const [i, chat] of chats.entries()) {
    const name = rows[i] as string;
    const adapters = name === "__base__" ? [] : [{ name, weight: 1 }];
    const alone = await model.answer(chat, { adapters, maxNewTokens: 24 });
    const own = answers[i] ?? assert.fail();
    assert.deepEqual([own.ids, own.text, own.finish], [alone.ids, alone.text, alone.finish]);
    assert.deepEqual(own.adapters, adapters);
    assert.equal(seen.get(i), alone.text);
  }
  const long = { maxNewTokens: 200, signal: AbortSignal.timeout(1), rows };
  for (const { finish } of await model.answerBatch(chats, long)) assert.equal(finish, "cancelled");
  await assert.rejects(
    model.answerBatch(chats, { rows: ["lora-pirate"] }),
    failure("bad-request", "4 prompts", "1 rows"),
  );
});
