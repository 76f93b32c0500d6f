import assert from "node:assert/strict";
import * as path from "node:path";
import { after, test } from "node:test";
import { loadBaseModel } from "../../../../extension/core/baseModel.ts";
import type { BaseInputs } from "../../../../extension/core/baseSession.ts";
import { PeftModel } from "../../../../extension/core/peftModel.ts";
import {
  generate,
  type Generated,
  type GenerateOptions,
} from "../../../../extension/core/tokens/generate.ts";
import { generateBatch } from "../../../../extension/core/tokens/generateBatch.ts";
import { greedy } from "../../../../extension/core/tokens/sampler.ts";
import { difference, fixtures } from "../support.ts";

const models = new Map<string, PeftModel>();
after(() => Promise.all([...models.values()].map((model) => model.dispose())));

async function modelOf(family: string, adapters: readonly string[] = []): Promise<PeftModel> {
  const known = models.get(family);
  const model = known ?? new PeftModel(await loadBaseModel(path.join(fixtures, "models", family)));
  models.set(family, model);
  for (const name of adapters) {
    if (model.adapters.some((each) => each.name === name)) continue;
    const folder = path.join(fixtures, "adapters", family, name);
    await model.loadAdapter(folder, { adapterName: name });
  }
  return model;
}

const ids = (count: number, start = 3): number[] =>
  Array.from({ length: count }, (_, i) => 3 + ((start + i * 17) % 40));

interface Said extends Generated {
  readonly logits: Float32Array[];
}

async function say(
  { base }: PeftModel,
  inputs: BaseInputs,
  prompt: readonly number[],
  options: Partial<GenerateOptions> = {},
): Promise<Said> {
  const logits: Float32Array[] = [];
  const answer = await base.session.with(inputs, (session) =>
    generate(
      session,
      { prompt, adapters: inputs },
      {
        ...{ sampling: greedy, maxNewTokens: 8, stopTokens: new Set() },
        onToken: (_, own) => void logits.push(own.slice()),
        ...options,
      },
    ),
  );
  return { ...answer, logits };
}

/** Says a prompt anew and with what is known; both must be the same. @returns how much was known */
async function compare(
  model: PeftModel,
  inputs: BaseInputs,
  prompt: readonly number[],
): Promise<number> {
  const known = await say(model, inputs, prompt);
  const anew = await say(model, inputs, prompt, { reuse: false });
  assert.equal(anew.reusedTokens, 0);
  assert.deepEqual(known.ids, anew.ids);
  known.logits.forEach((own, i) => {
    const far = difference(own, anew.logits[i] as Float32Array);
    assert(far < 1e-5, `token ${i}: differ by ${far}`);
  });
  return known.reusedTokens;
}

const families = ["llama", "gemma3-windows", "gpt2", "bloom", "mixtral-small", "qwen3", "opt"];
for (const family of families) {
  test(`${family}: a conversation goes on from what was read`, async () => {
    const model = await modelOf(family);
    const inputs = model.inputsOf([]);
    const first = ids(30);
    const { ids: answer } = await say(model, inputs, first);
    // The last token of an answer was never read.
    const second = [...first, ...answer, ...ids(5, 11)];
    assert.equal(await compare(model, inputs, second), first.length + answer.length - 1);
    // Another last message.
    assert.equal(await compare(model, inputs, [...second.slice(0, 38), ...ids(4, 29)]), 38);
  });
}

test("the same prompt again reads nothing of it, and says the same", async () => {
  const model = await modelOf("llama");
  const inputs = model.inputsOf([]);
  const prompt = ids(40, 5);
  const first = await say(model, inputs, prompt, { reuse: false });
  await say(model, inputs, prompt);
  const again = await say(model, inputs, prompt);
  assert.equal(again.reusedTokens, prompt.length);
  assert.deepEqual(again.ids, first.ids);
  // What it knows is more than the beginning of a prompt: its last token is read for its logits.
  assert.equal(await compare(model, inputs, prompt.slice(0, 30)), 29);
});

const prompts = ["lora_default", "prompt_tuning_text", "prefix_tuning"];
for (const name of prompts) {
  test(`${name}: what was read with an adapter is for prompts with it alone`, async () => {
    const model = await modelOf("llama", [name, "lora_all_linear"]);
    const own = model.inputsOf([{ name, weight: 1 }]);
    const prompt = ids(32, 13);
    await say(model, own, prompt);
    const longer = [...prompt, ...ids(6, 2)];
    const other = model.inputsOf([{ name: "lora_all_linear", weight: 1 }]);
    assert.equal(await compare(model, other, longer), 0);
    if (name === "lora_default") {
      assert.equal(await compare(model, model.inputsOf([{ name, weight: 0.5 }]), longer), 0);
    }
    await say(model, own, prompt);
    // Inputs that are made anew of the same adapters are the same.
    assert.equal(await compare(model, model.inputsOf([{ name, weight: 1 }]), longer), 32);
  });
}

test("tasks of one adapter are read apart", async () => {
  const name = "multitask_prompt_tuning";
  const model = await modelOf("llama", [name]);
  const [first, second] = [0, 1].map((task) => model.inputsOf([{ name, weight: 1, task }]));
  const prompt = ids(30, 33);
  await say(model, first as BaseInputs, prompt);
  assert.equal(await compare(model, second as BaseInputs, [...prompt, 4]), 0);
});

test("what was read while adapters changed is forgotten", async () => {
  const model = await modelOf("llama", ["lora_default"]);
  const [own, other] = [model.inputsOf([]), model.inputsOf([{ name: "lora_default", weight: 1 }])];
  const prompt = ids(32, 21);
  await say(model, own, prompt, { adaptersNow: () => other });
  assert.equal((await say(model, own, [...prompt, 4])).reusedTokens, 0);
});

test("an adapter that is deleted takes what was read with it", async () => {
  const model = await modelOf("llama", ["lora_default"]);
  const inputs = model.inputsOf([{ name: "lora_default", weight: 1 }]);
  const prompt = ids(32, 8);
  await say(model, inputs, prompt);
  model.deleteAdapter("lora_default");
  assert.equal((await say(model, inputs, [...prompt, 4])).reusedTokens, 0);
});

test("a short beginning in common is read again, and a long conversation stays", async () => {
  const model = await modelOf("llama");
  const inputs = model.inputsOf([]);
  const long = ids(50, 1);
  await say(model, inputs, long, { maxNewTokens: 1 });
  assert.equal((await say(model, inputs, [...long.slice(0, 18), ...ids(40, 6)])).reusedTokens, 0);
  assert.equal((await say(model, inputs, [...long, 5])).reusedTokens, 50);
});

for (const family of ["llama-dynamic", "phi3-longrope"]) {
  test(`${family}: keys that are turned by other angles are made anew`, async () => {
    const model = await modelOf(family);
    const inputs = model.inputsOf([]);
    const room = Math.min(model.base.session.model.contextLength - 12, 120);
    const [short, long] = [ids(Math.floor(room / 3)), ids(room)];
    for (const prompt of [short, long, short, long, long.slice(0, room - 5)]) {
      await compare(model, inputs, prompt);
    }
  });
}

test("an answer that was cancelled leaves what it read", async () => {
  const model = await modelOf("llama");
  const inputs = model.inputsOf([]);
  const prompt = ids(45, 9);
  const controller = new AbortController();
  const onToken = (): void => controller.abort();
  const { finish } = await say(model, inputs, prompt, { onToken, signal: controller.signal });
  assert.equal(finish, "cancelled");
  assert.equal(await compare(model, inputs, [...prompt, ...ids(3)]), 45);
});

test("the next turn of a chat reads neither the turns before nor the answer again", async (t) => {
  const folder = path.join(fixtures, "../../../media/sample/base");
  const model = new PeftModel(await loadBaseModel(folder));
  t.after(() => model.dispose());
  const turn = { role: "user", content: "What colour is the sky?" } as const;
  const first = await model.answer({ kind: "chat", messages: [turn] }, { maxNewTokens: 20 });
  const messages = [turn, { role: "assistant", content: first.text }, turn] as const;
  const [second, anew] = [
    await model.answer({ kind: "chat", messages }, { maxNewTokens: 20 }),
    await model.answer({ kind: "chat", messages }, { maxNewTokens: 20, reuse: false }),
  ];
  assert.equal(second.reusedTokens, first.promptTokens + first.ids.length);
  assert.equal(second.text, anew.text);
});

const batches: [family: string, adapters: string[]][] = [
  ["llama", []],
  ["llama", ["lora_all_linear"]],
  ["gpt2", []],
  ["bloom", []],
  ["gemma3-windows", []],
];

for (const [family, names] of batches) {
  test(`${[family, ...names].join(" with ")}: what a batch begins with is read once`, async () => {
    const model = await modelOf(family, names);
    const beginning = ids(24, 15 + names.length);
    const prompts = [6, 3, 11].map((count, i) => [...beginning, 41 + i, ...ids(count, 5 * i)]);
    const adapters = names.map((name) => ({ name, weight: 1 }));
    const inputs = model.inputsOfRows(prompts.map(() => adapters));
    const run = async (reuse: boolean): Promise<Said[]> => {
      const logits = prompts.map((): Float32Array[] => []);
      const answers = await model.base.session.with(inputs, (session) =>
        generateBatch(
          session,
          { prompts, adapters: inputs },
          {
            ...{ sampling: greedy, maxNewTokens: 6, reuse },
            stopTokens: prompts.map(() => new Set<number>()),
            onToken: (row, _, own) => void logits[row]?.push(own.slice()),
          },
        ),
      );
      return answers.map((answer, i) => ({ ...answer, logits: logits[i] ?? [] }));
    };
    const [anew, once, again] = [await run(false), await run(true), await run(true)];
    for (const answers of [once, again]) {
      answers.forEach((answer, row) => {
        assert.deepEqual(answer.ids, anew[row]?.ids);
        answer.logits.forEach((own, i) => {
          const far = difference(own, anew[row]?.logits[i] as Float32Array);
          assert(far < 1e-5, `row ${row}, token ${i}: differ by ${far}`);
        });
      });
    }
    const reused = [anew, once, again].map((all) => all.map((each) => each.reusedTokens));
    // Windows would count the padding behind the beginning.
    const isShared = family !== "gemma3-windows";
    const expected = [
      [0, 0, 0],
      [0, 24, 24],
      [24, 24, 24],
    ];
    assert.deepEqual(
      reused,
      expected.map((row) => row.map((count) => (isShared ? count : 0))),
    );
  });
}
