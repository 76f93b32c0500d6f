import type { Sampling } from "../../extension/protocol/generationContract.ts";
import type { Constraints } from "../../extension/protocol/generationContract.ts";
import { t } from "../shared/l10n.ts";
import { text } from "./strings.ts";

/** One sampling setting: what it is called, which values it takes. */
export interface Setting {
  readonly key: Exclude<keyof Sampling, keyof Constraints>;
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
    label: t("Temperature"),
    hint: t("0 is greedy: always the likeliest token"),
    min: 0,
    max: 5,
    step: 0.1,
    isWhole: false,
  },
  {
    key: "topP",
    label: t("Top-p"),
    hint: t("keep the likeliest tokens up to this probability; 1 is off"),
    min: 0.01,
    max: 1,
    step: 0.05,
    isWhole: false,
  },
  {
    key: "topK",
    label: t("Top-k"),
    hint: t("keep so many of the likeliest tokens; 0 is off"),
    min: 0,
    max: 1000,
    step: 1,
    isWhole: true,
  },
  {
    key: "repetitionPenalty",
    label: t("Repetition penalty"),
    hint: t("above 1 avoids tokens already seen; 1 is off"),
    min: 0.1,
    max: 5,
    step: 0.05,
    isWhole: false,
  },
  {
    key: "maxNewTokens",
    label: t("Max tokens"),
    hint: t("longest answer"),
    min: 1,
    max: 100_000,
    step: 1,
    isWhole: true,
  },
  {
    key: "seed",
    label: t("Seed"),
    hint: t("same seed, same answer; empty takes a fresh one"),
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
  if (trimmed === "" || Number.isNaN(value)) return { problem: t("{0} must be a number.", label) };
  if (isWhole && !Number.isInteger(value))
    return { problem: t("{0} must be a whole number.", label) };
  if (value < min || value > max)
    return { problem: t("{0} must be between {1} and {2}.", label, min, max) };
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

/** Stop sequences as they are typed: one a line, `\\n` and `\\t` for what a line cannot hold. */
export function parseStops(typed: string): string[] {
  const escapes: Record<string, string> = { n: "\n", t: "\t", "\\": "\\" };
  return typed
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => line.replace(/\\([nt\\])/g, (_, name: string) => escapes[name] ?? name));
}

export function formatStops(stops: readonly string[]): string {
  const escapes: Record<string, string> = { "\n": "\\n", "\t": "\\t", "\\": "\\\\" };
  return stops
    .map((stop) => stop.replace(/[\n\t\\]/g, (found) => escapes[found] ?? found))
    .join("\n");
}

/** What is wrong with a JSON schema as it stands; "" when nothing is, or when there is none. */
export function schemaProblem(schema: string): string {
  if (schema.trim() === "") return "";
  try {
    const parsed: unknown = JSON.parse(schema);
    const isObject = typeof parsed === "object" && parsed !== null && !Array.isArray(parsed);
    return isObject ? "" : text.schemaNotObject;
  } catch (thrown) {
    return text.schemaNotJson(thrown instanceof Error ? thrown.message : String(thrown));
  }
}
