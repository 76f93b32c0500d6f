import { resolve } from "node:path";
import type { RunConfig } from "../../extension/protocol/trainingContract.ts";
import type { RunEvent } from "../../extension/protocol/runsContract.ts";

export const sampleBase = resolve("media/sample/base");
export const pirateData = resolve("media/sample/training/pirate.jsonl");

export type SampleWish = Partial<Omit<RunConfig, "settings">> & {
  settings?: Partial<RunConfig["settings"]>;
};

/** A run of eight quick steps on the sample base, with a checkpoint at every second. */
export function sampleRun(name: string, { settings, ...wish }: SampleWish = {}): RunConfig {
  const target = { target_modules: ["q_proj", "v_proj"], lora_dropout: 0.05 };
  return {
    ...{ version: 1, name, base: sampleBase, samplePrompts: [] },
    adapter: {
      kind: "new",
      config: { peft_type: "LORA", task_type: "CAUSAL_LM", r: 4, ...target },
    },
    data: { files: [pirateData] },
    settings: {
      ...{ epochs: 1, maxSteps: 8, batchSize: 2, gradientAccumulation: 1, learningRate: 1e-2 },
      ...{ seed: 0, schedule: "linear", warmupSteps: 0, optimizer: "adamw", weightDecay: 0 },
      ...{ maxGradientNorm: 1, groupByLength: false, gradientCheckpointing: false },
      ...{ evaluateEvery: 0, saveEvery: 2, keepCheckpoints: 0, earlyStopping: 0 },
      ...settings,
    },
    ...wish,
  };
}

/** What a log tells, a word for each event: "step 3", "checkpoint 4", "failed", "note". */
export function storyOf(events: readonly RunEvent[]): string[] {
  return events.flatMap((event) => {
    if (event.kind === "state") return [event.state];
    if (event.kind === "step" || event.kind === "checkpoint")
      return [`${event.kind} ${event.step}`];
    return event.kind === "note" ? ["note"] : [];
  });
}
