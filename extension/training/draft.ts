import { type RunConfig, runVersion, type TrainingSettings } from "../protocol/trainingContract.ts";

/** Below this a base is a toy that learns only with big steps. */
const tinyParameters = 20e6;

const defaultSettings: TrainingSettings = {
  epochs: 3,
  batchSize: 4,
  gradientAccumulation: 1,
  learningRate: 2e-4,
  schedule: "linear",
  warmupSteps: 10,
  optimizer: "adamw",
  weightDecay: 0,
  maxGradientNorm: 1,
  groupByLength: false,
  gradientCheckpointing: false,
  baseDropout: true,
  seed: 42,
  evaluateEvery: 50,
  saveEvery: 50,
  keepCheckpoints: 2,
  earlyStopping: 0,
  loadBest: true,
};

/** What the form begins with: LoRA on all linear layers, or an adapter that is trained on. */
export function newDraft(
  base: { path: string; parameters: number } | undefined,
  adapter?: { name: string; path: string },
): RunConfig {
  const isTiny = base !== undefined && base.parameters > 0 && base.parameters < tinyParameters;
  const config = {
    peft_type: "LORA",
    task_type: "CAUSAL_LM",
    r: 8,
    lora_alpha: 16,
    target_modules: "all-linear",
  };
  return {
    version: runVersion,
    name: adapter ? `${adapter.name}-more` : "my-adapter",
    base: base?.path ?? "",
    adapter: adapter ? { kind: "continue", path: adapter.path } : { kind: "new", config },
    data: { files: [], evaluationShare: 0.05 },
    settings: { ...defaultSettings, ...(isTiny && { learningRate: 1e-3 }) },
    samplePrompts: [],
  };
}

/** A draft that a page saved, or a run that is trained once more; null where it is none. */
export function draftOf(value: unknown): RunConfig | null {
  const draft = value as Partial<RunConfig> | null | undefined;
  const isWhole =
    typeof draft === "object" &&
    draft !== null &&
    typeof draft.name === "string" &&
    typeof draft.base === "string" &&
    typeof draft.adapter === "object" &&
    Array.isArray(draft.data?.files) &&
    typeof draft.settings === "object" &&
    Array.isArray(draft.samplePrompts);
  if (!isWhole) return null;
  const whole = draft as RunConfig;
  // A run of before this was asked did not load its best; the same config gives the same run.
  return { ...whole, settings: { ...defaultSettings, loadBest: false, ...whole.settings } };
}
