/** `run.json`: what a run is made of, checked field by field. */
import * as path from "node:path";
import { t } from "@vscode/l10n";
import { z } from "zod";
import { badFile, unsupported } from "../../core/base/errors.ts";
import { writeAtomically } from "../../core/base/files.ts";
import { readJsonObject } from "../../core/base/json.ts";
import { problemTypes } from "../../core/models/problem.ts";
import { precisions } from "../../core/quant/plan.ts";
import { type RunConfig, runVersion } from "../../protocol/trainingContract.ts";

const count = z.number().int().min(0);
const positive = z.number().int().min(1);

const dataTasks = [
  "causal",
  "seq2seq",
  "sequence-classification",
  "token-classification",
  "question-answering",
] as const;

const data = z.object({
  files: z.array(z.string()).min(1),
  evaluationFiles: z.array(z.string()).optional(),
  evaluationShare: z.number().min(0).max(1).optional(),
  task: z.enum(dataTasks).optional(),
  format: z.enum(["chat", "instruction", "text", "classification", "tags", "questions"]).optional(),
  problem: z.enum(problemTypes).optional(),
  head: z.enum(["own", "new"]).optional(),
  fields: z.record(z.string(), z.string()).optional(),
  learn: z.enum(["answers", "all"]).optional(),
  template: z.enum(["auto", "chat", "plain"]).optional(),
  maxLength: positive.optional(),
  overlong: z.enum(["cut", "split"]).optional(),
  packing: z.enum(["none", "fit", "wrap"]).optional(),
  textUnit: z.enum(["line", "paragraph", "document"]).optional(),
  skipBroken: z.boolean().optional(),
});

const settings = z.object({
  epochs: z.number().positive(),
  maxSteps: positive.optional(),
  batchSize: positive,
  gradientAccumulation: positive,
  learningRate: z.number().positive(),
  schedule: z.enum(["linear", "cosine", "constant", "constant_with_warmup"]),
  warmupSteps: count,
  optimizer: z.enum(["adamw", "sgd"]),
  weightDecay: z.number().min(0),
  maxGradientNorm: z.number().min(0),
  loraPlusRatio: z.number().positive().optional(),
  groupByLength: z.boolean(),
  gradientCheckpointing: z.boolean(),
  baseDropout: z.boolean().optional(),
  seed: count,
  evaluateEvery: count,
  saveEvery: count,
  keepCheckpoints: count,
  earlyStopping: count,
  earlyStoppingThreshold: z.number().min(0).optional(),
  loadBest: z.boolean().optional(),
});

const adapter = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("new"), config: z.record(z.string(), z.unknown()) }),
  z.object({ kind: z.literal("continue"), path: z.string().min(1) }),
]);

const schema = z.object({
  version: z.number(),
  name: z.string().min(1),
  base: z.string().min(1),
  dtype: z.enum(precisions).optional(),
  adapter,
  data,
  settings,
  samplePrompts: z.array(z.string()),
});

/** @throws badFile naming the field that is not what it must be */
export function parseRunConfig(value: unknown, file: string): RunConfig {
  const { version } = (value ?? {}) as { version?: unknown };
  if (typeof version === "number" && version > runVersion) {
    throw unsupported(t("{0} is of a newer Graft", file), t("Update Graft."));
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data as RunConfig;
  const [issue] = parsed.error.issues;
  throw badFile(file, t("{0}: {1}", issue?.path.join(".") ?? "", issue?.message ?? ""));
}

export function configFile(folder: string): string {
  return path.join(folder, "run.json");
}

export async function readRunConfig(folder: string): Promise<RunConfig> {
  const file = configFile(folder);
  return parseRunConfig(await readJsonObject(file), file);
}

export async function writeRunConfig(folder: string, config: RunConfig): Promise<void> {
  const text = `${JSON.stringify(config, null, 2)}\n`;
  await writeAtomically(configFile(folder), async (handle) => void (await handle.write(text)));
}
