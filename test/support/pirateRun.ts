import { resolve } from "node:path";
import type { RunConfig } from "../../extension/protocol/trainingContract.ts";

/** The run of test/unit/core/train/pirate.test.ts as a config: 65 steps that make a pirate of the sample base. */
export const pirateRun: RunConfig = {
  ...{ version: 1, name: "pirate", base: resolve("media/sample/base"), samplePrompts: [] },
  adapter: {
    kind: "new",
    config: {
      ...{ peft_type: "LORA", task_type: "CAUSAL_LM", r: 8, lora_alpha: 16 },
      target_modules: "all-linear",
    },
  },
  data: { files: [resolve("media/sample/training/pirate.jsonl")] },
  settings: {
    ...{ epochs: 5, batchSize: 8, gradientAccumulation: 1, learningRate: 5e-3, seed: 1 },
    ...{ schedule: "cosine", warmupSteps: 7, optimizer: "adamw", weightDecay: 0 },
    ...{ maxGradientNorm: 1, groupByLength: false, gradientCheckpointing: false },
    ...{ evaluateEvery: 0, saveEvery: 0, keepCheckpoints: 0, earlyStopping: 0 },
  },
};
