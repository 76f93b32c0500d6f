import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import * as os from "node:os";
import * as path from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import type { RunConfig } from "../../../extension/protocol/trainingContract.ts";
import { trainingHandlers } from "../../../extension/engine/training/trainingHandlers.ts";

const base = fileURLToPath(new URL("../../../media/sample/base", import.meta.url));

test("a preview shows what is learned and lists what is broken", async () => {
  const folder = await mkdtemp(path.join(os.tmpdir(), "graft-preview-"));
  try {
    const file = path.join(folder, "a.jsonl");
    await writeFile(file, '{"prompt":"Hi","completion":"Arr"}\n{"prompt":"Hi"}\n');
    const preview = await trainingHandlers.previewTrainingData(
      { base, data: { files: [file], maxLength: 4096 }, examples: 5 },
      { emit: () => undefined, signal: new AbortController().signal },
    );
    assert.deepEqual(
      preview.examples.map(({ segments }) => segments.map(({ isLearned }) => isLearned)),
      [[false, true]],
    );
    assert.deepEqual([preview.format, preview.broken, preview.isWhole], ["instruction", 1, true]);
    assert.deepEqual(preview.problems[0]?.line, 2);
    assert.equal(preview.training.examples, 1);
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("an estimate measures a step and counts what is trained", async () => {
  const folder = await mkdtemp(path.join(os.tmpdir(), "graft-estimate-"));
  try {
    const file = path.join(folder, "a.jsonl");
    const record = { prompt: "What colour is the sky?", completion: "Arr! Blue, matey!" };
    await writeFile(file, `${JSON.stringify(record)}\n`.repeat(9));
    const config: RunConfig = {
      version: 1,
      name: "pirate",
      base,
      adapter: {
        kind: "new",
        config: { peft_type: "LORA", task_type: "CAUSAL_LM", r: 4, target_modules: ["q_proj"] },
      },
      data: { files: [file] },
      settings: {
        ...{ epochs: 2, batchSize: 2, gradientAccumulation: 1, learningRate: 1e-3 },
        ...{ schedule: "constant", warmupSteps: 0, optimizer: "adamw", weightDecay: 0 },
        ...{ maxGradientNorm: 1, groupByLength: false, gradientCheckpointing: false, seed: 1 },
        ...{ evaluateEvery: 0, saveEvery: 0, keepCheckpoints: 0, earlyStopping: 0 },
      },
      samplePrompts: [],
    };
    const estimate = await trainingHandlers.estimateTraining(
      { config },
      { emit: () => undefined, signal: new AbortController().signal },
    );
    const { num_hidden_layers: layers, hidden_size: size } = JSON.parse(
      await readFile(path.join(base, "config.json"), "utf8"),
    ) as { num_hidden_layers: number; hidden_size: number };
    assert.equal(estimate.trainableParameters, layers * 4 * (size + size));
    assert.deepEqual([estimate.steps, estimate.parameters], [10, 1_271_200]);
    assert(estimate.secondsPerStep > 0 && estimate.memory > 0);
  } finally {
    await rm(folder, { recursive: true });
  }
});

const signal = new AbortController().signal;
const context = { emit: () => undefined, signal };

test("fields of records are told before anything says what they are, and then which is which", async () => {
  const folder = await mkdtemp(path.join(os.tmpdir(), "graft-columns-"));
  try {
    const table = path.join(folder, "a.csv");
    await writeFile(table, 'ask,say,kind\n"Hi, you","Arr",x\n');
    const notes = path.join(folder, "b.txt");
    await writeFile(notes, "one\n\ntwo\n");
    const described = await trainingHandlers.describeTrainingData({ files: [table] }, context);
    assert.deepEqual(described, {
      columns: [
        { name: "ask", sample: "Hi, you" },
        { name: "say", sample: "Arr" },
        { name: "kind", sample: "x" },
      ],
      hasPlainText: false,
    });
    const plain = await trainingHandlers.describeTrainingData({ files: [notes] }, context);
    assert.equal(plain.hasPlainText, true);
    const look = async (data: Partial<RunConfig["data"]>) =>
      trainingHandlers.previewTrainingData(
        { base, data: { files: [table], ...data }, examples: 1 },
        context,
      );
    await assert.rejects(look({}), { code: "bad-file", message: /ask, say, kind/ });
    const fields = { prompt: "ask", completion: "say" };
    const pairs = await look({ fields });
    assert.equal(pairs.format, "instruction");
    assert.deepEqual(pairs.fields, fields);
    const texts = await look({ format: "text", fields: { ...fields, text: "say" } });
    assert.deepEqual([texts.format, texts.fields], ["text", { text: "say" }]);
    await assert.rejects(look({ format: "chat" }), { message: /“messages”/ });
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("trainable parameters are counted as PEFT counts them, from headers alone", async () => {
  const count = async (config: Record<string, unknown>): Promise<number[]> => {
    const adapter = { kind: "new", config: { task_type: "CAUSAL_LM", ...config } } as const;
    const { trained, all } = await trainingHandlers.countTrainable({ base, adapter }, context);
    return [trained, all];
  };
  // print_trainable_parameters of PEFT 0.21 for the same configs on the sample's base.
  const lora = { peft_type: "LORA", r: 8, target_modules: "all-linear" };
  assert.deepEqual(await count(lora), [91_136, 1_362_336]);
  assert.deepEqual(await count({ ...lora, modules_to_save: ["lm_head"] }), [254_976, 1_526_176]);
  assert.deepEqual(
    await count({ peft_type: "VERA", r: 8, target_modules: ["q_proj"] }),
    [672, 1_271_872],
  );
  assert.deepEqual(
    await count({ peft_type: "PROMPT_TUNING", num_virtual_tokens: 5 }),
    [800, 1_272_000],
  );
  await assert.rejects(count({ ...lora, target_modules: ["nothing"] }), /nothing/);
});
