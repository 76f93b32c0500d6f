/** What the form makes of a run's config, and what is wrong with it. Pure. */
import type { MethodField } from "../../extension/protocol/trainPageContract.ts";
import type {
  RunConfig,
  TrainingData,
  TrainingSettings,
} from "../../extension/protocol/trainingContract.ts";
import { isKept, startFields } from "./startFields.ts";
import { text } from "./strings.ts";

/** By the id of a field. */
export type Problems = Readonly<Record<string, string>>;

export interface NumberRule {
  isWhole?: boolean;
  minimum?: number;
  /** The least value is itself too little. */
  isAbove?: boolean;
  maximum?: number;
  /** Nothing may stand there. */
  isOptional?: boolean;
}

export type Parsed<T> = { value: T } | { problem: string };

export function parseNumber(typed: string, rule: NumberRule): Parsed<number | undefined> {
  const { isWhole = false, minimum, isAbove = false, maximum, isOptional = false } = rule;
  const trimmed = typed.trim();
  if (trimmed === "" && isOptional) return { value: undefined };
  const value = Number(trimmed);
  const isNumber =
    trimmed !== "" && Number.isFinite(value) && (!isWhole || Number.isInteger(value));
  const isLittle = minimum !== undefined && (isAbove ? value <= minimum : value < minimum);
  const isMuch = maximum !== undefined && value > maximum;
  return isNumber && !isLittle && !isMuch ? { value } : { problem: text.numberRule(rule) };
}

/** The value of a method's field that is typed as text. */
export function parseField(typed: string, field: MethodField): Parsed<unknown> {
  const { kind, minimum } = field;
  if (kind === "integer" || kind === "number") {
    const rule: NumberRule = { isWhole: kind === "integer", isOptional: field.default === null };
    const parsed = parseNumber(typed, minimum === null ? rule : { ...rule, minimum });
    return "problem" in parsed ? parsed : { value: parsed.value ?? null };
  }
  const trimmed = typed.trim();
  if (trimmed === "") return { value: null };
  if (kind === "names") return { value: namesOf(trimmed) };
  if (kind !== "json") return { value: trimmed };
  try {
    return { value: JSON.parse(trimmed) as unknown };
  } catch {
    // "eva", "gaussian": a text without its quotes.
    return /^[\w.-]+$/.test(trimmed) ? { value: trimmed } : { problem: text.notJson };
  }
}

/** Names by commas are a list; a name with other marks is a pattern. */
function namesOf(typed: string): string | string[] {
  const isPattern = /[\\^$*+?()[\]{}|]/.test(typed);
  const names = typed.split(/[\s,]+/).filter((name) => name !== "");
  return isPattern || (names.length === 1 && names[0] === "all-linear") ? typed : names;
}

/** A field's value as it is typed. */
export function fieldText(value: unknown): string {
  if (value === null || value === undefined) return "";
  if (typeof value === "string") return value;
  if (Array.isArray(value) && value.every((each) => typeof each === "string"))
    return value.join(", ");
  return typeof value === "number" ? String(value) : JSON.stringify(value);
}

/** A config with one field set; what is the method's default is not written, unless the method begins with the field. */
export function withField(
  config: Readonly<Record<string, unknown>>,
  { name, default: usual }: Pick<MethodField, "name" | "default">,
  value: unknown,
): Record<string, unknown> {
  const { [name]: _before, ...others } = config;
  const isUsual = JSON.stringify(value) === JSON.stringify(usual);
  const isWritten = name in startFields(String(config["peft_type"]), null);
  return isUsual && !isWritten ? others : { ...others, [name]: value };
}

/**
 * Another method's config: what both have is kept.
 * @param divisor of the sizes of all the base's layers, which some fields have to fit
 */
export function withMethod(
  config: Readonly<Record<string, unknown>>,
  { peftType, fields }: { peftType: string; fields: readonly MethodField[] },
  divisor: number | null,
): Record<string, unknown> {
  const names = new Set(fields.map(({ name }) => name));
  const kept = Object.entries(config).filter(
    ([name]) => name === "task_type" || (names.has(name) && isKept(peftType, name)),
  );
  const begun = startFields(peftType, divisor);
  return { ...begun, ...Object.fromEntries(kept), peft_type: peftType };
}

/** What is missing before a run can start; said once the user has tried. */
export function missing({ name, base, data }: RunConfig): Problems {
  const found: Record<string, string> = {};
  if (!/[\p{L}\p{N}]/u.test(name)) found["name"] = text.noName;
  if (base === "") found["base"] = text.noBase;
  if (data.files.length === 0) found["files"] = text.noFiles;
  if (data.evaluationFiles?.length === 0) found["evaluationFiles"] = text.noFiles;
  return found;
}

/** What is filled in but does not go together; said at once. */
export function conflicts({ data, settings }: RunConfig): Problems {
  const found: Record<string, string> = {};
  const { evaluateEvery, earlyStopping, warmupSteps, maxSteps } = settings;
  const hasTexts = (data.evaluationShare ?? 0) > 0 || data.evaluationFiles !== undefined;
  if (earlyStopping > 0 && !(hasTexts && evaluateEvery > 0))
    found["earlyStopping"] = text.noEvaluation;
  if (maxSteps !== undefined && warmupSteps >= maxSteps && warmupSteps > 0)
    found["warmupSteps"] = text.onlyWarmUp(maxSteps);
  const both = data.evaluationFiles?.find((file) => data.files.includes(file));
  if (both !== undefined) found["evaluationFiles"] = text.learnedToo;
  return found;
}

/** Without what is not said: an optional setting that is empty is left out. */
export function withSetting<K extends keyof TrainingSettings>(
  draft: RunConfig,
  key: K,
  value: TrainingSettings[K] | undefined,
): RunConfig {
  const { [key]: _before, ...others } = draft.settings;
  const settings = value === undefined ? others : { ...others, [key]: value };
  return { ...draft, settings: settings as TrainingSettings };
}

export function withData(draft: RunConfig, change: Partial<RunConfig["data"]>): RunConfig {
  const data = { ...draft.data, ...change };
  for (const [key, value] of Object.entries(data))
    if (value === undefined) delete data[key as keyof typeof data];
  return { ...draft, data };
}

/** Prompts, one a line. */
export function promptsOf(typed: string): string[] {
  return typed
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "");
}

/** Names of the fields whose name or meaning has all words that are looked for. */
export function foundFields(
  fields: readonly Pick<MethodField, "name" | "meaning">[],
  wanted: string,
): Set<string> {
  const words = wanted.toLowerCase().split(/\s+/).filter(Boolean);
  const has = ({ name, meaning }: Pick<MethodField, "name" | "meaning">): boolean => {
    const all = `${name} ${name.replaceAll("_", " ")} ${meaning}`.toLowerCase();
    return words.every((word) => all.includes(word));
  };
  return new Set(fields.filter(has).map(({ name }) => name));
}

export type EvaluationKind = "none" | "share" | "files";

/** What a run is evaluated on. */
export function evaluationKind({ evaluationFiles, evaluationShare }: TrainingData): EvaluationKind {
  if (evaluationFiles !== undefined) return "files";
  return evaluationShare !== undefined && evaluationShare > 0 ? "share" : "none";
}
