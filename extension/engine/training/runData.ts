import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import * as path from "node:path";
import { t } from "@vscode/l10n";
import { unsupported } from "../../core/base/errors.ts";
import type { OnProgress } from "../../core/base/progress.ts";
import { type ModelConfig, readModelConfig } from "../../core/checkpoint/modelConfig.ts";
import { taskOfClass } from "../../core/models/architecture.ts";
import { labelNames } from "../../core/models/labels.ts";
import { problemOf } from "../../core/models/problem.ts";
import { type Dataset, openDataset, type OpenOptions } from "../../core/train/data/dataset.ts";
import { readTokenizer, type Tokenizer } from "../../core/tokens/tokenizer.ts";
import type { DataPreview, TrainingData } from "../../protocol/trainingContract.ts";

export interface RunDataOptions {
  /** Of the base as it is trained, where that is known; else the folder's. */
  readonly config?: ModelConfig;
  readonly examples?: number;
  readonly limit?: number | null;
  readonly mayBeEmpty?: boolean;
  /** Where tokens go that are too many for memory. */
  readonly scratch?: string;
  /** Folder in which files are kept as tokens. */
  readonly cache?: string | undefined;
  readonly onProgress?: OnProgress;
  readonly signal?: AbortSignal;
}

/** Training data through a base's tokenizer; no text is longer than the base's context. */
export async function openRunData(
  base: string,
  data: TrainingData,
  options: RunDataOptions = {},
): Promise<{ dataset: Dataset; tokenizer: Tokenizer }> {
  const tokenizer = await readTokenizer(base);
  if (!tokenizer) {
    throw unsupported(
      t("{0} has no tokenizer.json, so no text can be learned", base),
      t("Choose a base with a tokenizer."),
    );
  }
  const { config = await readModelConfig(base, options.signal), ...rest } = options;
  const context = contextOf(config.raw);
  const maxLength = Math.min(data.maxLength ?? 1024, context ?? Infinity);
  const known = knownLabels(config, data);
  const task = taskOfData(config, data);
  const asked = { ...data, maxLength, ...(task !== undefined && { task }) };
  const { cache: folder, ...others } = rest;
  const cache =
    folder === undefined ? undefined : { folder, tokenizer: await tokenizerDigest(base) };
  const dataset = await openDataset(asked, tokenizer, { ...others, ...known, cache });
  return { dataset, tokenizer };
}

/** A base with encoder and decoder learns answers to prompts. */
function taskOfData({ raw }: ModelConfig, { task }: TrainingData): TrainingData["task"] {
  const isText = task === undefined || task === "causal";
  return raw["is_encoder_decoder"] === true && isText ? "seq2seq" : task;
}

/** What a base with a classifier's head says of labels; nothing where another head is trained. */
function knownLabels(
  config: ModelConfig,
  { head = "own", task, problem }: TrainingData,
): Pick<OpenOptions, "labels" | "problem"> {
  const own = taskOfClass(config.architecture);
  const isClassifier = own === "sequence-classification" || own === "token-classification";
  const isOther = head === "new" || (task !== undefined && task !== own);
  if (!isClassifier || isOther) return { labels: [], problem: problem ?? null };
  return { labels: labelNames(config), problem: problem ?? problemOf(config) };
}

/** Files that decide which tokens a text becomes. */
const tokenizerFiles = [
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "added_tokens.json",
  "chat_template.jinja",
  "chat_template.json",
  "config.json",
  "generation_config.json",
];

async function tokenizerDigest(base: string): Promise<string> {
  const hash = createHash("sha256");
  for (const name of tokenizerFiles) {
    const content = await readFile(path.join(base, name)).catch(() => null);
    hash.update(`${name} ${content?.length ?? -1}\n`);
    if (content) hash.update(content);
  }
  return hash.digest("hex");
}

/** Tokens that a base reads at most, as its config names them. */
export function contextOf(raw: Readonly<Record<string, unknown>>): number | null {
  const names = ["max_position_embeddings", "n_positions", "seq_length", "max_seq_len"];
  const found = names.map((name) => raw[name]).find((value) => typeof value === "number");
  return found ?? null;
}

/** A data set as pages show it. */
export function previewOf(dataset: Dataset): DataPreview {
  const { format, examples, training, evaluation, labels, broken, notes, isWhole } = dataset;
  return {
    format,
    fields: { ...dataset.fields },
    examples: examples.map((example) => ({
      ...example,
      segments: example.segments.map((segment) => ({ ...segment })),
    })),
    training: { ...training.statistics },
    evaluation: { ...evaluation.statistics },
    labels: [...labels],
    broken: broken.count,
    problems: broken.problems.map((problem) => ({ ...problem })),
    notes: [...notes],
    isWhole,
  };
}
