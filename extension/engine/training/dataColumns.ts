import { isObject } from "../../core/base/json.ts";
import { readRecords } from "../../core/train/data/records/readRecords.ts";
import type { DataColumns } from "../../protocol/trainingContract.ts";

/** A cell is recognised by its beginning. */
const sampleLength = 60;

/** Fields of the first record that has some. @throws what keeps a file from being read */
export async function dataColumns(
  files: readonly string[],
  signal: AbortSignal,
): Promise<DataColumns> {
  const hasPlainText = files.some((file) => /\.(txt|md)(\.gz)?$/i.test(file));
  for (const file of files) {
    const first = await firstRecord(file, signal);
    if (!first) continue;
    const columns = Object.entries(first).map(([name, value]) => ({ name, sample: show(value) }));
    return { columns, hasPlainText };
  }
  return { columns: [], hasPlainText };
}

async function firstRecord(
  file: string,
  signal: AbortSignal,
): Promise<Record<string, unknown> | undefined> {
  // What is broken is the preview's business.
  const onProblem = (): void => undefined;
  for await (const some of readRecords(file, { onProblem, textUnit: "line", signal })) {
    const found = some.find(({ value }) => isObject(value));
    if (found) return found.value as Record<string, unknown>;
  }
  return undefined;
}

function show(value: unknown): string {
  const text = typeof value === "string" ? value : (JSON.stringify(value) ?? "");
  return text.length > sampleLength ? `${text.slice(0, sampleLength)}…` : text;
}
