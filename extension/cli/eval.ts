import { readFile } from "node:fs/promises";
import * as path from "node:path";
import { badFile, badRequest, throwIfAborted } from "../core/base/errors.ts";
import { isFolder } from "../core/base/files.ts";
import { parsePromptFile } from "../prompts/parse.ts";
import { sayProblem } from "../prompts/problem.ts";
import { type PromptFile, rowLabel } from "../prompts/promptFile.ts";
import { type Run, type RunResult, runTests } from "../prompts/run.ts";
import { baseOf } from "./adapters.ts";
import { readArguments, readNumber } from "./arguments.ts";
import { openModels } from "./promptModels.ts";

const options = {
  base: { type: "string" },
  adapter: { type: "string", multiple: true },
  batch: { type: "string" },
  json: { type: "boolean", default: false },
} as const;

/** Runs the tests of a prompt file; ends with an error when one fails. */
export async function evaluateFile(args: string[], signal: AbortSignal): Promise<void> {
  const { values, positionals } = readArguments(args, options);
  const [place] = positionals;
  if (place === undefined || positionals.length > 1) {
    throw badRequest("eval needs one file: eval FILE.prompt.yml.");
  }
  const file = await readPromptFile(place);
  const folder = path.dirname(path.resolve(place));
  const given = values.adapter ?? [];
  const base = values.base ?? (await baseFor(file, { folder, given }));
  const models = await openModels(base, {
    ...{ given, refs: file.columns, folder, withBase: true, signal },
  });
  const runs = file.rows.flatMap((row) => models.columns.map((column): Run => ({ row, column })));
  const results = new Map<Run, RunResult>();
  await runTests(file, runs, {
    ...models,
    batch: readNumber(values.batch, "batch", 16),
    onResult: (run, result) => {
      results.set(run, result);
      if (!values.json) process.stdout.write(say(run, result));
    },
    onError: ({ row, column }, message) =>
      process.stderr.write(`✗ ${rowLabel(row)} — ${column.label}: ${message}\n`),
    signal,
  });
  throwIfAborted(signal);
  const passed = [...results.values()].filter((result) => result.passed).length;
  if (values.json) process.stdout.write(`${JSON.stringify(asJson(results), null, 2)}\n`);
  else process.stdout.write(`${passed} of ${runs.length} passed\n`);
  if (passed < runs.length) {
    throw badRequest(`${runs.length - passed} of ${runs.length} tests failed.`);
  }
}

/** A prompt file; what is odd goes to stderr, what is wrong ends. */
export async function readPromptFile(place: string): Promise<PromptFile> {
  const text = await readFile(place, "utf8").catch((error: NodeJS.ErrnoException) => {
    throw badFile(place, error.code === "ENOENT" ? "is not there." : error.message);
  });
  const file = parsePromptFile(text);
  for (const problem of file.problems)
    process.stderr.write(`${sayProblem(place, text, problem)}\n`);
  const wrong = file.problems.filter(({ severity }) => severity === "error").length;
  if (wrong > 0) throw badFile(place, `${wrong} of the problems above have to be mended first.`);
  return file;
}

/** The file's own model where it is a folder, else the base of the first adapter. */
async function baseFor(
  { model, columns }: PromptFile,
  { folder, given }: { folder: string; given: readonly string[] },
): Promise<string> {
  if (model) {
    const place = path.resolve(folder, model.id);
    if (await isFolder(place)) return place;
  }
  const named = columns[0]?.parts[0]?.adapter;
  const beside = named === undefined ? undefined : path.resolve(folder, named);
  const own = beside !== undefined && (await isFolder(beside)) ? beside : undefined;
  return baseOf(given[0] ?? own, "eval");
}

function say({ row, column }: Run, { answer, checks, passed }: RunResult): string {
  const title = rowLabel(row) || "prompt";
  const lines = [`${passed ? "✓" : "✗"} ${title} — ${column.label}: ${answer.text.trim()}`];
  for (const { name, status, message } of checks) {
    if (status === "failed") lines.push(`    ✗ ${name}: ${message}`);
  }
  return `${lines.join("\n")}\n`;
}

function asJson(results: ReadonlyMap<Run, RunResult>): object[] {
  return [...results].map(([{ row, column }, { answer, checks, passed, expected }]) => ({
    row: row.index,
    values: row.values,
    adapters: column.label,
    output: answer.text,
    expected,
    passed,
    checks,
    tokens: answer.tokens,
    finish: answer.finish,
    seconds: answer.seconds,
  }));
}
