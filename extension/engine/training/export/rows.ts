/** Tokenised texts as JSONL: the rows that a run feeds, in the order of its files. */
import { open } from "node:fs/promises";
import { t } from "@vscode/l10n";
import { throwIfAborted } from "../../../core/base/errors.ts";
import type { OnProgress } from "../../../core/base/progress.ts";
import { type Batch, ignored, type Split } from "../../../core/train/data/batch.ts";
import type { JobFacts } from "./job.ts";

/** A row of data/*.jsonl, under the names of transformers' models. */
export interface JobRow {
  readonly input_ids: number[];
  /** One for each token; of a class its id, of classes 0 and 1 for each, of a regression numbers. */
  readonly labels: number | number[];
  /** Of packed texts: they begin with 0 in each of them. */
  readonly position_ids?: number[];
  /** Of an encoder: 1 for the second of two texts. */
  readonly token_type_ids?: number[];
  /** Which task of the adapter the text is of. */
  readonly task_ids?: number;
}

type RowForm = Pick<JobFacts, "task" | "loss" | "learnsFirstToken" | "hasTasks">;

/** Characters that are written at a time. */
const chunk = 1 << 20;

export async function writeRows(
  file: string,
  split: Split,
  { form, onProgress, signal }: { form: RowForm; onProgress?: OnProgress; signal?: AbortSignal },
): Promise<void> {
  const plan = split.plan({ epoch: 0, batchSize: 1, seed: 0, isShuffled: false });
  const handle = await open(file, "wx");
  try {
    let text = "";
    for (let i = 0; i < plan.batches; i++) {
      text += `${JSON.stringify(rowOf(plan.batch(i), form))}\n`;
      if (text.length < chunk && i < plan.batches - 1) continue;
      throwIfAborted(signal);
      await handle.write(text);
      onProgress?.({ step: t("Writing rows"), done: i + 1, total: plan.batches });
      text = "";
    }
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** The only row of a batch, without its padding. */
export function rowOf(batch: Batch, form: RowForm): JobRow {
  const { task, loss, learnsFirstToken, hasTasks } = form;
  const { inputIds, tokens, positionIds, tokenTypes, tasks } = batch;
  const own = (values: Batch["labels"]): number[] => Array.from(values.subarray(0, tokens));
  const row = {
    input_ids: own(inputIds),
    ...(positionIds && { position_ids: own(positionIds) }),
    ...(tokenTypes && { token_type_ids: own(tokenTypes) }),
    ...(hasTasks && { task_ids: tasks?.[0] ?? 0 }),
  };
  if (task === "sequence-classification") {
    const labels = Array.from(batch.labels);
    return { ...row, labels: loss === "choice" ? (labels[0] ?? ignored) : labels };
  }
  const labels = own(batch.labels);
  // Nothing foretells a text's first token: no trainer is to count it.
  if (task === "causal" && !learnsFirstToken) labels[0] = ignored;
  return { ...row, labels };
}
