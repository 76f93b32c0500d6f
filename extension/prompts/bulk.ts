import { createHash } from "node:crypto";
import { appendFile, readFile, truncate, writeFile } from "node:fs/promises";
import type { ActiveAdapter } from "../protocol/engineContract.ts";
import type { Sampling } from "../protocol/generationContract.ts";
import type { RowAnswer } from "../protocol/promptsContract.ts";
import { answerEach, isAnswer, type RowOutcome } from "./answerEach.ts";
import { type BulkRow, promptOf } from "./bulkData.ts";
import type { Column, PromptEngine } from "./run.ts";

/** One answer of a bulk run: a line of its results file. */
export interface BulkRecord {
  /** What was asked of whom, and how: a second run passes over what has its key. */
  readonly key: string;
  /** From 0, of the data file. */
  readonly row: number;
  readonly adapters: string;
  readonly base: string;
  readonly values: Readonly<Record<string, string>>;
  readonly output: string;
  readonly finish: RowAnswer["finish"];
  readonly tokens: number;
  readonly promptTokens: number;
  readonly seconds: number;
  /** Why there is no answer; such a line is asked again by the next run. */
  readonly error?: string;
}

export interface BulkProgress {
  readonly done: number;
  readonly total: number;
  /** Answers that were there before this run. */
  readonly before: number;
  readonly tokensPerSecond: number;
  /** Seconds until the end as it goes now; null before the first batch has ended. */
  readonly secondsLeft: number | null;
}

export interface BulkOptions {
  readonly engine: PromptEngine;
  readonly base: {
    readonly path: string;
    readonly name: string;
    readonly hasChatTemplate: boolean;
  };
  readonly columns: readonly BulkColumn[];
  readonly sampling: Sampling;
  readonly batch: number;
  /** Where answers are written as they come. */
  readonly results: string;
  readonly onProgress?: (progress: BulkProgress) => void;
  readonly signal: AbortSignal;
}

/** Adapters by what they are, not by what they are called while loaded. */
export interface BulkColumn extends Column {
  /** Real paths and weights. */
  readonly identity: readonly { readonly path: string; readonly weight: number }[];
}

interface Task {
  readonly key: string;
  readonly row: BulkRow;
  readonly column: BulkColumn;
}

/** Every row under every column with its key; equal prompts are told apart by how many came before. */
function tasksOf(rows: readonly BulkRow[], { columns, base, sampling }: BulkOptions): Task[] {
  const seen = new Map<string, number>();
  return rows.flatMap((row) =>
    columns.map((column) => {
      const content = [row.messages, column.identity, base.path, sampling];
      const key = createHash("sha256").update(JSON.stringify(content)).digest("hex").slice(0, 16);
      const count = seen.get(key) ?? 0;
      seen.set(key, count + 1);
      return { key: count === 0 ? key : `${key}-${count}`, row, column };
    }),
  );
}

/**
 * The answers that a results file holds. What was cut off by a crash is left out, and taken off the
 * file so that more can be written.
 */
export async function readResults(file: string): Promise<BulkRecord[]> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
  const end = text.lastIndexOf("\n") + 1;
  if (end < text.length) await truncate(file, Buffer.byteLength(text.slice(0, end)));
  return text
    .slice(0, end)
    .split("\n")
    .map(readRecord)
    .filter((record) => record !== null);
}

function readRecord(line: string): BulkRecord | null {
  try {
    const value = JSON.parse(line) as Partial<BulkRecord> | null;
    const isRecord =
      typeof value?.key === "string" &&
      typeof value.output === "string" &&
      typeof value.row === "number" &&
      typeof value.adapters === "string";
    return isRecord ? ({ values: {}, ...value } as BulkRecord) : null;
  } catch {
    // Somebody has edited the file: that answer is asked for again.
    return null;
  }
}

function isDone({ error }: BulkRecord): boolean {
  return error === undefined;
}

/** How much of a run is done already. */
export async function countDone(
  rows: readonly BulkRow[],
  options: BulkOptions,
): Promise<{ done: number; total: number; others: number }> {
  const known = await readResults(options.results);
  const keys = new Set(known.filter(isDone).map(({ key }) => key));
  const tasks = tasksOf(rows, options);
  const done = tasks.filter(({ key }) => keys.has(key)).length;
  return { done, total: tasks.length, others: keys.size - done };
}

/**
 * Answers every row under every column. Answers are written to the results file batch by batch, and
 * what stands there is not asked again.
 * @returns this run's answers, old and new, by row and column; fewer than all when it was stopped
 */
export async function runBulk(
  rows: readonly BulkRow[],
  options: BulkOptions,
): Promise<{ records: BulkRecord[]; total: number }> {
  const { results, batch, signal } = options;
  const tasks = tasksOf(rows, options);
  const kept = (await readResults(results)).filter(isDone);
  const known = new Map(kept.map((record) => [record.key, record]));
  const open = tasks.filter(({ key }) => !known.has(key));
  const watch = new Watch(tasks.length, tasks.length - open.length, options.onProgress);
  watch.report(0);
  for (let start = 0; start < open.length && !signal.aborted; start += batch) {
    const part = open.slice(start, start + batch);
    const answers = await answer(part, options, (tokens) => watch.report(tokens));
    const done = part.flatMap((task, i) => recordOf(task, answers[i], options));
    await appendFile(results, done.map((record) => `${JSON.stringify(record)}\n`).join(""));
    for (const record of done) known.set(record.key, record);
    watch.finish(done);
  }
  const records = tasks.flatMap(({ key, row }) => {
    const record = known.get(key);
    // Lines may have been put in since it was written.
    return record ? [{ ...record, row: row.index }] : [];
  });
  return { records, total: tasks.length };
}

/** Begins anew: what a results file holds is gone. */
export async function clearResults(file: string): Promise<void> {
  await writeFile(file, "");
}

async function answer(
  tasks: readonly Task[],
  { engine, base, sampling, signal }: BulkOptions,
  onTokens: (tokens: number) => void,
): Promise<RowOutcome[]> {
  const rows = tasks.map(
    ({ row, column }): { prompt: ReturnType<typeof promptOf>; adapters: ActiveAdapter[] } => ({
      prompt: promptOf(row, base.hasChatTemplate),
      adapters: column.adapters,
    }),
  );
  try {
    const params = { base: base.path, rows, sampling };
    return await answerEach(engine, params, { signal, onTokens });
  } catch (thrown) {
    // Stopped: what is written is kept, the rest is left for another time.
    if (signal.aborted) return [];
    throw thrown;
  }
}

function recordOf(
  { key, row, column }: Task,
  outcome: RowOutcome | undefined,
  { base }: BulkOptions,
): BulkRecord[] {
  const who = { row: row.index, adapters: column.label, base: base.name, values: row.values };
  if (outcome === undefined) return [];
  if (!isAnswer(outcome)) {
    const nothing = { output: "", finish: "stop", tokens: 0, promptTokens: 0, seconds: 0 } as const;
    return [{ key, ...who, ...nothing, error: outcome.error }];
  }
  const { text: output, finish, tokens, promptTokens } = outcome;
  if (finish === "cancelled") return [];
  const seconds = Math.round(outcome.seconds * 1000) / 1000;
  return [{ key, ...who, output, finish, tokens, promptTokens, seconds }];
}

/** Counts and foretells. */
class Watch {
  private readonly started = performance.now();
  private done: number;
  private tokens = 0;

  constructor(
    private readonly total: number,
    private readonly before: number,
    private readonly tell: BulkOptions["onProgress"],
  ) {
    this.done = before;
  }

  /** @param running tokens of the batch that runs now */
  report(running: number): void {
    const seconds = (performance.now() - this.started) / 1000;
    const fresh = this.done - this.before;
    const left = this.total - this.done;
    this.tell?.({
      done: this.done,
      total: this.total,
      before: this.before,
      tokensPerSecond: seconds > 0 ? (this.tokens + running) / seconds : 0,
      secondsLeft: fresh === 0 ? null : (seconds / fresh) * left,
    });
  }

  finish(records: readonly BulkRecord[]): void {
    this.done += records.length;
    this.tokens += records.reduce((sum, { tokens }) => sum + tokens, 0);
    this.report(0);
  }
}
