import { readFile, writeFile } from "node:fs/promises";
import * as path from "node:path";
import { badRequest, cancelled } from "../core/base/errors.ts";
import { type BulkProgress, clearResults, runBulk } from "../prompts/bulk.ts";
import { type BulkRow, dataKind, readBulkData } from "../prompts/bulkData.ts";
import { exportFormats, exportResults } from "../prompts/bulkExport.ts";
import type { PromptFile } from "../prompts/promptFile.ts";
import { samplingOf } from "../prompts/run.ts";
import { baseOf } from "./adapters.ts";
import { readArguments, readNumber } from "./arguments.ts";
import { readPromptFile } from "./eval.ts";
import { openModels } from "./promptModels.ts";

const options = {
  base: { type: "string" },
  adapter: { type: "string", multiple: true },
  prompt: { type: "string" },
  out: { type: "string" },
  export: { type: "string" },
  "no-base": { type: "boolean", default: false },
  restart: { type: "boolean", default: false },
  batch: { type: "string" },
  "max-tokens": { type: "string" },
  temperature: { type: "string" },
  seed: { type: "string" },
} as const;

type Values = ReturnType<typeof readArguments<typeof options>>["values"];

/** Answers the prompts of a JSONL or CSV file; begun again, it goes on where it stopped. */
export async function bulk(args: string[], signal: AbortSignal): Promise<void> {
  const { values, positionals } = readArguments(args, options);
  const [data] = positionals;
  const kind = data === undefined ? undefined : dataKind(data);
  if (data === undefined || positionals.length > 1 || kind === undefined) {
    throw badRequest("bulk needs one file of prompts: bulk DATA.jsonl or bulk DATA.csv.");
  }
  const format = exportFormat(values.export);
  const template = values.prompt === undefined ? undefined : await readPromptFile(values.prompt);
  const file = path.basename(data);
  const rows = readBulkData(await readFile(data, "utf8"), { file, kind, template });
  const results = values.out ?? `${data.replace(/\.[^.\\/]+$/, "")}.results.jsonl`;
  if (values.restart) await clearResults(results);
  const records = await answer(rows, { values, template, results, signal });
  if (format && values.export) await writeFile(values.export, exportResults(records, format));
}

async function answer(
  rows: readonly BulkRow[],
  {
    values,
    template,
    results,
    signal,
  }: { values: Values; template: PromptFile | undefined; results: string; signal: AbortSignal },
): Promise<Awaited<ReturnType<typeof runBulk>>["records"]> {
  const given = values.adapter ?? [];
  const base = values.base ?? (await baseOf(given[0], "bulk"));
  const models = await openModels(base, {
    ...{ given, refs: [], folder: ".", withBase: !values["no-base"], signal },
  });
  const own = samplingOf(template ?? { parameters: {} });
  const { records, total } = await runBulk(rows, {
    ...models,
    sampling: {
      ...own,
      maxNewTokens: readNumber(values["max-tokens"], "max-tokens", own.maxNewTokens),
      temperature: readNumber(values.temperature, "temperature", own.temperature),
      seed: readNumber(values.seed, "seed", own.seed ?? 0),
    },
    batch: readNumber(values.batch, "batch", 16),
    results,
    onProgress: showProgress(),
    signal,
  });
  process.stderr.write(`${records.length} of ${total} answers are in ${results}\n`);
  const failed = records.filter(({ error }) => error !== undefined);
  for (const { row, adapters, error } of failed) {
    process.stderr.write(`Row ${row + 1}, ${adapters}: ${error}\n`);
  }
  if (records.length < total) throw cancelled();
  return records;
}

function exportFormat(file: string | undefined): (typeof exportFormats)[number] | undefined {
  if (file === undefined) return undefined;
  const format = exportFormats.find((each) => file.endsWith(`.${each}`));
  if (format) return format;
  throw badRequest(`--export is "${file}": a name that ends in .jsonl, .csv or .md.`);
}

/** A line on stderr that changes on a terminal; elsewhere one for each batch. */
function showProgress(): (progress: BulkProgress) => void {
  let shown = -1;
  return ({ done, total, tokensPerSecond, secondsLeft }) => {
    const rest = secondsLeft === null ? "" : `, ${Math.ceil(secondsLeft)} s left`;
    const line = `${done} of ${total}, ${Math.round(tokensPerSecond)} tok/s${rest}`;
    if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${line}${done === total ? "\n" : ""}`);
    else if (done !== shown) process.stderr.write(`${line}\n`);
    shown = done;
  };
}
