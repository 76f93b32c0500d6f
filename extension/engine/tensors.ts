import { stat } from "node:fs/promises";
import * as path from "node:path";
import { t } from "@vscode/l10n";
import { isDtype } from "../core/base/dtype.ts";
import { asGraftError, badRequest, notFound, throwIfAborted } from "../core/base/errors.ts"; // prettier-ignore
import { openWeightFile } from "../core/checkpoint/openWeightFile.ts";
import { readShards } from "../core/checkpoint/weightFiles.ts";
import type { TensorEntry } from "../core/safetensors/header.ts";
import { tensorStatistics } from "../core/safetensors/statistics.ts";
import { readWindow } from "../core/safetensors/window.ts";
import type { Handlers } from "../protocol/connection.ts";
import type { TensorContract, TensorFile, TensorRef, TensorTable } from "../protocol/tensorContract.ts"; // prettier-ignore

/** What the engine answers about the tensors of a file; nothing is kept between requests. */
export const tensorHandlers: Handlers<TensorContract> = {
  tensorTable: ({ path: file }, { signal }) =>
    /\.index\.json$/i.test(file) ? tableOfShards(file, signal) : tableOf([file], { signal }),
  tensorStatistics: async ({ tensor }, { emit, signal }) => {
    const entry = await entryOf(tensor);
    const result = await tensorStatistics(tensor.path, entry, {
      onProgress: seldom(emit),
      signal,
    });
    const { histogram } = result;
    return {
      ...result,
      histogram: histogram && { edges: [...histogram.edges], counts: [...histogram.counts] },
    };
  },
  tensorValues: async ({ tensor, window }) =>
    readWindow(tensor.path, await entryOf(tensor), window),
};

async function tableOf(
  files: readonly string[],
  { signal, isShards = false }: { signal: AbortSignal; isShards?: boolean },
): Promise<TensorTable> {
  const table: TensorTable = { files: [], tensors: [], problems: [] };
  for (const file of files) {
    throwIfAborted(signal);
    await addFile(table, file).catch((thrown: unknown) => {
      // One file alone is the page; of several the others are still worth seeing.
      if (!isShards) throw thrown;
      table.problems.push(asGraftError(thrown).message);
    });
  }
  return table;
}

async function addFile(table: TensorTable, file: string): Promise<void> {
  const stamp = await stampOf(file);
  const { size, dataStart, metadata, tensors } = await openWeightFile(file, "safetensors");
  const at = table.files.length;
  table.files.push(fileOf({ file, size, dataStart, stamp, metadata }));
  for (const { name, dtype, shape, offset, byteLength } of tensors) {
    table.tensors.push({ name, dtype, shape: [...shape], offset, bytes: byteLength, file: at });
  }
}

function fileOf(known: {
  file: string;
  size: number;
  dataStart: number;
  stamp: string;
  metadata: Readonly<Record<string, string>>;
}): TensorFile {
  const { file, size, dataStart, stamp, metadata } = known;
  const name = path.basename(file);
  return { path: file, name, bytes: size, dataStart, stamp, metadata: { ...metadata } };
}

/** All shards together; what the index says of their places is held against their headers. */
async function tableOfShards(index: string, signal: AbortSignal): Promise<TensorTable> {
  const shards = await readShards(index);
  const names = [...new Set(shards.values())].sort();
  const files = names.map((name) => path.join(path.dirname(index), name));
  const table = await tableOf(files, { signal, isShards: true });
  const found = new Map(table.tensors.map((each) => [each.name, table.files[each.file]?.name]));
  const isRead = new Set(table.files.map(({ name }) => name));
  const lost = [...shards].filter(([name, file]) => isRead.has(file) && found.get(name) !== file);
  if (lost.length > 0) {
    const [name, file] = lost[0] as [string, string];
    table.problems.push(
      t(
        "{0} tensors of the index are not where it says, {1} for one is not in {2}. Download the index and its shards again, from one revision.",
        lost.length,
        name,
        file,
      ),
    );
  }
  return table;
}

async function stampOf(file: string): Promise<string> {
  const { size, mtimeMs } = await stat(file).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") throw error;
    throw notFound(t("File"), file, t("It may have been moved or deleted; get it again."));
  });
  return `${size} ${mtimeMs}`;
}

/** The entry that a page refers to, while the file is still the one that the page has seen. */
async function entryOf(tensor: TensorRef): Promise<TensorEntry> {
  const { path: file, stamp, name, dtype, shape, offset, bytes } = tensor;
  if ((await stampOf(file)) !== stamp) {
    throw badRequest(
      t("{0} has changed on disk since its table was read. Reload the table.", path.basename(file)),
      { changed: true },
    );
  }
  if (!isDtype(dtype)) throw badRequest(t('"{0}" is no dtype. Reload the table.', dtype));
  return { name, dtype, shape, offset, byteLength: bytes };
}

/** At most a report every 50 ms: a piece of 4 MB takes less. */
function seldom<E>(emit: (event: E) => void): (event: E) => void {
  let last = -Infinity;
  return (event) => {
    const now = performance.now();
    if (now - last < 50) return;
    last = now;
    emit(event);
  };
}
