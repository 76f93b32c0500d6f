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
