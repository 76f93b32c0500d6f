import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import * as path from "node:path";
import { t } from "@vscode/l10n";
import { unsupported } from "../../core/base/errors.ts";
import type { OnProgress } from "../../core/base/progress.ts";
import { readModelConfig } from "../../core/checkpoint/modelConfig.ts";
import { labelNames } from "../../core/models/labels.ts";
import { type Dataset, openDataset } from "../../core/train/data/dataset.ts";
import { readTokenizer, type Tokenizer } from "../../core/tokens/tokenizer.ts";
import type { DataPreview, TrainingData } from "../../protocol/trainingContract.ts";

export interface RunDataOptions {
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
  const config = await readModelConfig(base, options.signal);
  const context = contextOf(config.raw);
  const maxLength = Math.min(data.maxLength ?? 1024, context ?? Infinity);
  const hasLabels = config.raw["id2label"] !== undefined && config.raw["id2label"] !== null;
  const labels = hasLabels ? labelNames(config) : [];
  const { cache: folder, ...others } = options;
  const cache =
    folder === undefined ? undefined : { folder, tokenizer: await tokenizerDigest(base) };
  const made = { ...others, cache, labels };
  const dataset = await openDataset({ ...data, maxLength }, tokenizer, made);
  return { dataset, tokenizer };
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
