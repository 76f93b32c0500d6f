import type { ActiveAdapter } from "../protocol/engineContract.ts";
import type { Sampling } from "../protocol/generationContract.ts";
import type {
  AnswerRowsParams,
  PromptsContract,
  RowAnswer,
  ScoreRow,
} from "../protocol/promptsContract.ts";
import { answerEach, isAnswer } from "./answerEach.ts";
import {
  appliesTo,
  type Check,
  checkExpected,
  checkFormat,
  type Evaluator,
  evaluate,
} from "./evaluators.ts";
import { expectedOf, type PromptFile, type TestRow } from "./promptFile.ts";
import { renderPrompt } from "./template.ts";

/** Adapters that are loaded, as a file's column names them. */
export interface Column {
  readonly label: string;
  /** What evaluators and expectations may call it. */
  readonly names: readonly string[];
  readonly adapters: ActiveAdapter[];
}

/** A row under a column. */
export interface Run {
  readonly row: TestRow;
  readonly column: Column;
}

export interface RunResult {
  readonly answer: RowAnswer;
  readonly checks: readonly Check[];
  readonly passed: boolean;
  readonly expected: string | null;
  /** Its share of the batch's time. */
  readonly seconds: number;
}

/** The part of an engine that tests need: a connection of the editor, or the service itself. */
export interface PromptEngine {
  answerRows(
    params: AnswerRowsParams,
    options: { signal: AbortSignal; onTokens?: (tokens: number) => void },
  ): Promise<RowAnswer[]>;
  scoreRows(
    params: PromptsContract["scoreRows"]["params"],
    options: { signal: AbortSignal },
  ): Promise<PromptsContract["scoreRows"]["result"]>;
}

export interface RunOptions {
  readonly engine: PromptEngine;
  readonly base: { readonly path: string; readonly hasChatTemplate: boolean };
  /** Rows of a batch: more are quicker, and take more memory. */
  readonly batch: number;
  readonly onStart?: (runs: readonly Run[]) => void;
  readonly onResult: (run: Run, result: RunResult) => void;
  /** Why a run has no answer; the others go on. */
  readonly onError: (run: Run, message: string) => void;
  readonly signal: AbortSignal;
}

/** How a file's answers are sampled: what it says, else so that a second run says the same. */
export function samplingOf({
  parameters,
  format = "text",
  schema = null,
}: Pick<PromptFile, "parameters"> & Partial<Pick<PromptFile, "format" | "schema">>): Sampling {
  const { maxNewTokens = 256, temperature = 0, topP = 1, topK = 0, stop } = parameters;
  const { repetitionPenalty = 1, seed = 0 } = parameters;
  const sampling = { maxNewTokens, temperature, topP, topK, repetitionPenalty, seed };
  // The end of the JSON value ends the answer; a stop text could cut into it.
  if (format === "json_object") return { ...sampling, jsonSchema: true };
  if (format === "json_schema" && schema) {
    return { ...sampling, jsonSchema: schema as Record<string, unknown> };
  }
  return stop && stop.length > 0 ? { ...sampling, stop: [...stop] } : sampling;
}

/** Answers rows under columns in batches, and judges each answer as soon as it is there. */
export async function runTests(
  file: PromptFile,
  runs: readonly Run[],
  options: RunOptions,
): Promise<void> {
  const { engine, base, batch, signal } = options;
  const sampling = samplingOf(file);
  const said = new Map<number, string>();
  const wanted = new Set(runs);
  const all = withBases(file, runs);
  for (let start = 0; start < all.length && !signal.aborted; start += batch) {
    const part = all.slice(start, start + batch);
    options.onStart?.(part.filter((run) => wanted.has(run)));
    const rows = part.map(({ row, column }) => ({
      prompt: renderPrompt(file, row.values, { isChat: base.hasChatTemplate }),
      adapters: column.adapters,
    }));
    const started = performance.now();
    const params = { base: base.path, rows, sampling };
    const outcomes = await answerEach(engine, params, { signal });
    const answers = outcomes.map((each) => (isAnswer(each) ? each : undefined));
    const seconds = (performance.now() - started) / 1000 / part.length;
    part.forEach(({ row, column }, i) => {
      const text = answers[i]?.text;
      if (column.adapters.length === 0 && text !== undefined) said.set(row.index, text);
    });
    const perplexities = await measure(file, part, { options, answers });
    part.forEach((run, i) => {
      const outcome = outcomes[i];
      if (!wanted.has(run) || outcome === undefined) return;
      if (!isAnswer(outcome)) return options.onError(run, outcome.error);
      if (outcome.finish === "cancelled") return;
      const known = { baseOutput: said.get(run.row.index), perplexities: perplexities[i] };
      options.onResult(run, { ...judge(file, run, { answer: outcome, ...known }), seconds });
    });
  }
}

/** Puts the base first in each row, and adds it where an evaluator compares with it. */
function withBases(file: PromptFile, runs: readonly Run[]): Run[] {
  const isCompared = file.evaluators.some(({ rule }) => rule.kind === "differsFromBase");
  const rows = new Map<number, Run[]>();
  for (const run of runs) rows.set(run.row.index, [...(rows.get(run.row.index) ?? []), run]);
  return [...rows.values()].flatMap((own) => {
    const bases = own.filter(({ column }) => column.adapters.length === 0);
    const others = own.filter(({ column }) => column.adapters.length > 0);
    const [first] = others;
    if (!isCompared || bases.length > 0 || !first) return [...bases, ...others];
    const column = { label: "base", names: ["base"], adapters: [] };
    return [{ row: first.row, column }, ...others];
  });
}

type Perplexities = ReadonlyMap<Evaluator, number>;

/** Perplexities that evaluators ask for, of each run. */
async function measure(
  file: PromptFile,
  runs: readonly Run[],
  { options, answers }: { options: RunOptions; answers: readonly (RowAnswer | undefined)[] },
): Promise<Perplexities[]> {
  const { engine, base, signal } = options;
  const maps = runs.map(() => new Map<Evaluator, number>());
  const asked: { map: Map<Evaluator, number>; evaluator: Evaluator; row: ScoreRow }[] = [];
  runs.forEach(({ row, column }, i) => {
    for (const evaluator of file.evaluators) {
      const { rule } = evaluator;
      if (rule.kind !== "perplexity" || !appliesTo(evaluator, column.names)) continue;
      if (!answers[i]) continue;
      const expected = expectedOf(row, column.names);
      const completion = rule.of === "answer" ? answers[i]?.text : expected;
      if (!completion?.trim()) continue;
      const prompt = renderPrompt(file, row.values, { isChat: base.hasChatTemplate });
      const scored = { prompt, adapters: column.adapters, completion: completion.trim() };
      asked.push({ map: maps[i] as Map<Evaluator, number>, evaluator, row: scored });
    }
  });
  if (asked.length === 0) return maps;
  const rows = asked.map(({ row }) => row);
  const scores = await engine.scoreRows({ base: base.path, rows }, { signal });
  asked.forEach(({ map, evaluator }, i) => {
    const { nll = NaN, tokens = 1 } = scores[i] ?? {};
    map.set(evaluator, Math.exp(nll / tokens));
  });
  return maps;
}

function judge(
  file: PromptFile,
  { row, column }: Run,
  {
    answer,
    baseOutput,
    perplexities,
  }: { answer: RowAnswer; baseOutput: string | undefined; perplexities: Perplexities | undefined },
): Omit<RunResult, "seconds"> {
  const { names } = column;
  const expected = expectedOf(row, names);
  const isBase = column.adapters.length === 0;
  const known = { values: row.values, expected, names, isBase, baseOutput };
  const own = file.evaluators.filter((evaluator) => appliesTo(evaluator, names));
  const checks = own.map((evaluator) =>
    evaluate(evaluator, {
      output: answer.text,
      ...known,
      perplexity: perplexities?.get(evaluator),
    }),
  );
  if (file.format !== "text") checks.unshift(checkFormat(answer.text, file.schema));
  // Where nothing judges, what is expected does; what a column of its own is expected to say always.
  const isOwn = names.some((name) => Object.hasOwn(row.expectedFrom, name));
  const isJudged = checks.some(({ status }) => status !== "skipped");
  if (expected !== null && (isOwn || !isJudged)) checks.push(checkExpected(answer.text, expected));
  const passed = checks.every(({ status }) => status !== "failed");
  return { answer, checks, passed, expected };
}
