import { t } from "@vscode/l10n";
import { readdir } from "node:fs/promises";
import * as path from "node:path";
import { visit } from "jsonc-parser";
import { z } from "zod";
import { notFound } from "../base/errors.ts";
import { isFile } from "../base/files.ts";
import { type JsonObject, parseFields, parseJsonObject, readText } from "../base/json.ts";

export const adapterConfigName = "adapter_config.json";

/** An adapter_config.json: what every method has, and the raw object that methods read and keep. */
export interface AdapterConfig {
  readonly file: string;
  readonly peftType: string;
  readonly baseName: string | null;
  readonly revision: string | null;
  readonly taskType: string | null;
  readonly raw: JsonObject;
  /** Fields whose number is written as a float ("4.0"), which JavaScript cannot tell from 4. */
  readonly floatFields: ReadonlySet<string>;
  /** The file's text, for people. */
  readonly text: string;
}

/** PEFT 0.21's task types. */
export const taskTypes = [
  "SEQ_CLS",
  "SEQ_2_SEQ_LM",
  "CAUSAL_LM",
  "TOKEN_CLS",
  "QUESTION_ANS",
  "FEATURE_EXTRACTION",
];

const common = z.looseObject({
  peft_type: z.string(),
  base_model_name_or_path: z.string().nullish(),
  revision: z.string().nullish(),
  task_type: z
    .string()
    .refine((type) => taskTypes.includes(type), t("Task types are {0}.", taskTypes.join(", ")))
    .nullish(),
});

/** @param dir an adapter's folder, or its adapter_config.json */
export async function readAdapterConfig(dir: string, signal?: AbortSignal): Promise<AdapterConfig> {
  const isNamed = path.basename(dir) === adapterConfigName && (await isFile(dir));
  const file = isNamed ? dir : path.join(dir, adapterConfigName);
  if (!(await isFile(file))) throw notFound(adapterConfigName, dir, await whereElse(dir));
  const text = await readText(file, signal);
  return parseAdapterConfig(text, file);
}

/** PEFT keeps adapters not named "default" in subfolders of their names. */
async function whereElse(dir: string): Promise<string> {
  const entries = await readdir(dir, { withFileTypes: true }).catch(() => []);
  const inner: string[] = [];
  for (const entry of entries) {
    const isAdapter = await isFile(path.join(dir, entry.name, adapterConfigName));
    if (isAdapter) inner.push(entry.name);
  }
  return inner.length === 0
    ? t("Choose a folder that PEFT's save_pretrained wrote.")
    : t("Choose one of its subfolders: {0}.", inner.slice(0, 8).join(", "));
}

/** A config that is given as its fields instead of as a file; messages call it "the config given". */
export function adapterConfigOf(fields: JsonObject): AdapterConfig {
  return parseAdapterConfig(`${JSON.stringify(fields, null, 2)}\n`, "the config given");
}

/** An adapter_config.json's text. @param file its name in messages */
export function parseAdapterConfig(text: string, file: string): AdapterConfig {
  const raw = parseJsonObject(text, file, { isPython: true });
  const fields = parseFields(common, raw, file);
  let floatFields: ReadonlySet<string> | undefined;
  return {
    file,
    peftType: fields.peft_type,
    baseName: fields.base_model_name_or_path ?? null,
    revision: fields.revision ?? null,
    taskType: fields.task_type ?? null,
    raw,
    // Few ask, and the answer takes longer than all the rest.
    get floatFields() {
      return (floatFields ??= findFloatFields(text));
    },
    text,
  };
}

function findFloatFields(text: string): Set<string> {
  const fields = new Set<string>();
  visit(text, {
    onLiteralValue: (value, offset, length, _line, _column, path) => {
      const isFloat =
        typeof value === "number" && /[.eE]/.test(text.slice(offset, offset + length));
      if (isFloat) fields.add(path().join("."));
    },
  });
  return fields;
}

/** Every `peft_type` of PEFT 0.21 and how people write it. */
export const methodLabels: Readonly<Record<string, string>> = {
  PROMPT_TUNING: t("Prompt tuning"),
  MULTITASK_PROMPT_TUNING: t("Multitask prompt tuning"),
  P_TUNING: "P-tuning",
  PREFIX_TUNING: t("Prefix tuning"),
  LORA: "LoRA",
  ADALORA: "AdaLoRA",
  BOFT: "BOFT",
  ADAPTION_PROMPT: t("Adaption prompt"),
  IA3: "IA³",
  LOHA: "LoHa",
  LOKR: "LoKr",
  OFT: "OFT",
  POLY: "Poly",
  LN_TUNING: t("LN tuning"),
  VERA: "VeRA",
  FOURIERFT: "FourierFT",
  XLORA: "X-LoRA",
  HRA: "HRA",
  VBLORA: "VB-LoRA",
  CPT: "CPT",
  BONE: "Bone",
  MISS: "MiSS",
  RANDLORA: "RandLoRA",
  ROAD: "RoAd",
  TRAINABLE_TOKENS: t("Trainable tokens"),
  SHIRA: "SHiRA",
  C3A: "C3A",
  WAVEFT: "WaveFT",
  OSF: "OSF",
  DELORA: "DeLoRA",
  GRALORA: "GraLoRA",
  CARTRIDGE: "Cartridge",
  TINYLORA: "TinyLoRA",
  PSOFT: "PSOFT",
  PVERA: "PVeRA",
  HIRA: "HiRA",
  FROD: "FRoD",
  ADAMSS: "AdaMSS",
  DEFT: "DEFT",
  GLORA: "GLoRA",
  PEANUT: "PEANuT",
  LILY: "Lily",
  BEFT: "BEFT",
  SHADOW: "Shadow",
  UNILORA: "UniLoRA",
  SUPERTUNING: "Supertuning",
};

/** An adapter's method as people say it: variants of LoRA that change the formula have names of their own. */
export function methodLabel({ peftType, raw }: Pick<AdapterConfig, "peftType" | "raw">): string {
  if (peftType === "LORA" && raw["use_dora"] === true) return "DoRA";
  const invocation = raw["alora_invocation_tokens"];
  if (peftType === "LORA" && Array.isArray(invocation) && invocation.length > 0) return "aLoRA";
  return methodLabels[peftType] ?? peftType;
}
