import { badRequest } from "../core/base/errors.ts";
import { isFolder } from "../core/base/files.ts";
import { defaultQuantCacheDir } from "../core/quantCache.ts";
import { exportJob } from "../engine/training/export/exportJob.ts";
import { readArguments } from "./arguments.ts";
import { configIn } from "./train.ts";

const options = { out: { type: "string" }, json: { type: "boolean", default: false } } as const;

/** Writes a run as a folder that trains the same in Python. */
export async function exportTrainingJob(args: string[], signal: AbortSignal): Promise<void> {
  const { values, positionals } = readArguments(args, options);
  const [given] = positionals;
  const { out: folder, json } = values;
  if (given === undefined || positionals.length > 1 || folder === undefined) {
    throw badRequest("export-job needs a run.json or the folder of a run, and --out.");
  }
  const run = (await isFolder(given)) ? given : undefined;
  const request = { config: await configIn(given), folder, run };
  const quantCacheDir = defaultQuantCacheDir();
  const job = await exportJob(request, { onProgress: () => undefined, signal, quantCacheDir });
  const text = json
    ? JSON.stringify(job, null, 2)
    : [`${job.files.length} files, ${job.bytes} bytes, in ${job.folder}`, ...job.notes].join("\n");
  process.stdout.write(`${text}\n`);
}
