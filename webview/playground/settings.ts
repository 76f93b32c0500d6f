import type { Sampling } from "../../extension/protocol/engineContract.ts";

/** One sampling setting: what it is called, which values it takes. */
export interface Setting {
  readonly key: keyof Sampling;
  readonly label: string;
  readonly hint: string;
  readonly min: number;
  readonly max: number;
  readonly step: number;
  readonly isWhole: boolean;
}

export const settings: readonly Setting[] = [
  {
    key: "temperature",
    label: "Temperature",
    hint: "0 is greedy: always the likeliest token",
    min: 0,
    max: 5,
    step: 0.1,
    isWhole: false,
  },
  {
    key: "topP",
    label: "Top-p",
    hint: "keep the likeliest tokens up to this probability; 1 is off",
    min: 0.01,
    max: 1,
    step: 0.05,
    isWhole: false,
  },
  {
    key: "topK",
    label: "Top-k",
    hint: "keep so many of the likeliest tokens; 0 is off",
    min: 0,
    max: 1000,
    step: 1,
    isWhole: true,
  },
  {
    key: "repetitionPenalty",
    label: "Repetition penalty",
    hint: "above 1 avoids tokens already seen; 1 is off",
    min: 0.1,
    max: 5,
    step: 0.05,
    isWhole: false,
  },
  {
    key: "maxNewTokens",
    label: "Max tokens",
    hint: "longest answer",
    min: 1,
    max: 100_000,
    step: 1,
    isWhole: true,
  },
  {
    key: "seed",
    label: "Seed",
    hint: "same seed, same answer; empty takes a fresh one",
    min: 0,
    max: 0xffff_ffff,
    step: 1,
    isWhole: true,
  },
];

export const defaultSampling: Sampling = {
  maxNewTokens: 256,
  temperature: 0.7,
  topP: 0.95,
  topK: 0,
  repetitionPenalty: 1,
  seed: null,
};

/** A field's text as a value, or the sentence that says what is wrong with it. */
export function parseSetting(
  setting: Setting,
  text: string,
): { value: number | null } | { problem: string } {
  const trimmed = text.trim();
  if (trimmed === "" && setting.key === "seed") return { value: null };
  const value = Number(trimmed);
  const { label, min, max, isWhole } = setting;
  if (trimmed === "" || Number.isNaN(value)) return { problem: `${label} must be a number.` };
  if (isWhole && !Number.isInteger(value)) return { problem: `${label} must be a whole number.` };
  if (value < min || value > max) return { problem: `${label} must be between ${min} and ${max}.` };
  return { value };
}

/** Saved settings, each checked again: what an older page stored may not hold any more. */
export function restoreSampling(saved: unknown): Sampling {
  const from = (typeof saved === "object" && saved !== null ? saved : {}) as Record<
    string,
    unknown
  >;
  const sampling: Sampling = { ...defaultSampling };
  for (const setting of settings) {
    const own = from[setting.key];
    if (typeof own !== "number") continue;
    const parsed = parseSetting(setting, String(own));
    if ("value" in parsed) Object.assign(sampling, { [setting.key]: parsed.value });
  }
  return sampling;
}
