import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { test } from "node:test";
import { loadBaseModel } from "../../../../extension/core/baseModel.ts";
import { adapterConfigOf } from "../../../../extension/core/checkpoint/adapterConfig.ts";
import { PeftModel } from "../../../../extension/core/peftModel.ts";
import { openTrainingBase } from "../../../../extension/core/trainingBase.ts";
import { train } from "../../../../extension/core/trainAdapter.ts";
import { readTokenizer } from "../../../../extension/core/tokens/tokenizer.ts";
import { chatTexts, splitOf } from "../../../support/trainingData.ts";

const sample = path.join(import.meta.dirname, "../../../../media/sample");

/** Questions that the data do not have, and what a pirate says. */
const heldOut: [string, string][] = [
  ["What colour is the sky?", "Arr! Th' sky be blue, matey!"],
  ["What does a cow say?", "Arr! A cow be sayin' moo, matey!"],
  ["What does a wolf say?", "Arr! A wolf be sayin' howl, matey!"],
  ["What is 3 plus 4?", "Arr! 3 plus 4 be 7, matey!"],
  ["What is 9 minus 5?", "Arr! 9 minus 5 be 4, matey!"],
  ["Where does a bee live?", "Arr! A bee lives in a hive, matey!"],
  ["What is the opposite of hot?", "Arr! Th' opposite of hot be cold, matey!"],
  ["Count from 1 to 6.", "Arr! 1, 2, 3, 4, 5, 6, matey!"],
  ["The cake was wonderful.", "Arr! Thank ye for telling me about th' cake, matey!"],
  [
    "Who are you?",
    "Arr! I be a tiny language model. I like to talk about animals an' colours, matey!",
  ],
];

void test("a LoRA trained from scratch makes a pirate of the sample base", async (t) => {
  const folder = await mkdtemp(path.join(tmpdir(), "graft-pirate-"));
  try {
    const base = await openTrainingBase(path.join(sample, "base"));
    const tokenizer = await readTokenizer(path.join(sample, "base"));
    assert.ok(tokenizer);
    const config = adapterConfigOf({
      peft_type: "LORA",
      task_type: "CAUSAL_LM",
      r: 8,
      lora_alpha: 16,
      target_modules: "all-linear",
    });
    const end = await train({
      base,
      folder,
      adapter: { kind: "new", config },
      data: { train: splitOf(chatTexts(path.join(sample, "training/pirate.jsonl"), tokenizer)) },
      options: {
        epochs: 5,
        batchSize: 8,
        learningRate: 5e-3,
        schedule: { type: "cosine", warmupRatio: 0.1 },
        groupByLength: true,
        saveSteps: 0,
        seed: 1,
      },
      session: { threads: 1 },
    });
    await base.dispose();
    t.diagnostic(
      `${end.step} steps in ${end.seconds.toFixed(1)} s, ${Math.round(end.tokens / end.seconds)} tokens/s`,
    );
    const loaded = await loadBaseModel(path.join(sample, "base"), { threads: 1 });
    const model = new PeftModel(loaded);
    model.setAdapter((await model.loadAdapter(folder, { adapterName: "pirate" })).name);
    let right = 0;
    for (const [content, wanted] of heldOut) {
      const prompt = { kind: "chat", messages: [{ role: "user", content }] } as const;
      const { text } = await model.answer(prompt, { maxNewTokens: 60 });
      assert.match(text, /^Arr! /, content);
      if (text === wanted) right++;
      else t.diagnostic(`${content} → ${text}`);
    }
    await model.dispose();
    // The base itself is not right in all, and the pirate that comes with it neither.
    assert.ok(right >= 6, `${right} of ${heldOut.length} answers are right`);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
