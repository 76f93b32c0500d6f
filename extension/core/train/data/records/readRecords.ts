import { t } from "@vscode/l10n";
import { createReadStream } from "node:fs";
import { open, stat } from "node:fs/promises";
import * as path from "node:path";
import { TextDecoder } from "node:util";
import { createGunzip } from "node:zlib";
import { badFile, notFound, throwIfAborted, unsupported } from "../../../base/errors.ts";
import { jsonArray } from "./jsonArray.ts";
import { jsonLines } from "./jsonLines.ts";
import { plainText, type TextUnit } from "./plainText.ts";
import { longestRecord, type OnProblem, type RawRecord, type RecordSplitter } from "./record.ts";
import { table } from "./table.ts";

export interface ReadRecordsOptions {
  readonly onProblem: OnProblem;
  /** Of .txt files. */
  readonly textUnit: TextUnit;
  /** Bytes of the file that were read so far. */
  readonly onBytes?: ((bytes: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Reads records of .jsonl, .json, .csv, .tsv and .txt (each may be .gz) as the file streams in: of a file
 * of any size only a piece is in memory. Gives as many records at once as a piece had.
 */
export async function* readRecords(
  file: string,
  options: ReadRecordsOptions,
): AsyncGenerator<RawRecord[]> {
  const { onProblem, textUnit, onBytes, signal } = options;
  await checkFile(file);
  const kind = kindOf(file);
  let splitter: (RecordSplitter & { waiting(): number }) | null = null;
  for await (const text of readPieces(file, { onBytes, signal })) {
    throwIfAborted(signal);
    splitter ??= splitterOf(kind, text, { onProblem, textUnit });
    yield splitter.push(text);
    if (splitter.waiting() > longestRecord) {
      throw badFile(
        file,
        t("a record has more than {0} million characters", longestRecord / 1024 / 1024),
        t("Close its quotes and brackets, or cut it into several."),
      );
    }
  }
  if (splitter) yield splitter.end();
}

type Kind = "json" | "csv" | "tsv" | "txt";

const kinds: Readonly<Record<string, Kind>> = {
  ".jsonl": "json",
  ".ndjson": "json",
  ".json": "json",
  ".csv": "csv",
  ".tsv": "tsv",
  ".txt": "txt",
  ".md": "txt",
};

/** Endings of files that can be learned from, without their dots. */
const dataEndings: readonly string[] = Object.keys(kinds).map((each) => each.slice(1));

function kindOf(file: string): Kind {
  const ending = path.extname(file.replace(/\.gz$/i, "")).toLowerCase();
  const kind = kinds[ending];
  if (kind) return kind;
  throw unsupported(
    t("{0} is no training data that Graft reads ({1}).", file, dataEndings.join(", ")),
    ending === ".parquet"
      ? t("Write it as JSON Lines: in Python, load_dataset(…).to_json(…).")
      : t("Save it as one of these."),
  );
}

function splitterOf(
  kind: Kind,
  text: string,
  { onProblem, textUnit }: Pick<ReadRecordsOptions, "onProblem" | "textUnit">,
): RecordSplitter & { waiting(): number } {
  switch (kind) {
    case "json":
      return /^\s*\[/.test(text) ? jsonArray(onProblem) : jsonLines(onProblem);
    case "csv":
      return table(onProblem, null);
    case "tsv":
      return table(onProblem, "\t");
    case "txt":
      return plainText(textUnit);
    default:
      return kind satisfies never;
  }
}

async function checkFile(file: string): Promise<void> {
  const found = await stat(file).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT" || error.code === "ENOTDIR")
      throw notFound(path.basename(file), file);
    throw badFile(file, t("cannot be read ({0})", error.code ?? error.message));
  });
  if (!found.isFile()) throw badFile(file, t("is no file"), t("Choose a file of training data."));
  await refuseUtf16(file);
}

/** Excel's "Unicode text" is UTF-16; said before every second byte looks like a fault. */
async function refuseUtf16(file: string): Promise<void> {
  const handle = await open(file);
  try {
    const { buffer } = await handle.read(Buffer.alloc(2), 0, 2, 0);
    const mark = buffer.readUInt16BE(0);
    if (mark !== 0xfffe && mark !== 0xfeff) return;
    throw badFile(file, t("is UTF-16, not UTF-8"), t("Save it as UTF-8."));
  } finally {
    await handle.close();
  }
}

const pieceBytes = 1024 * 1024;

/** The file's text in pieces; a byte order mark is left out. */
async function* readPieces(
  file: string,
  { onBytes, signal }: Pick<ReadRecordsOptions, "onBytes" | "signal">,
): AsyncGenerator<string> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  const source = createReadStream(file, { highWaterMark: pieceBytes, signal });
  const isPacked = /\.gz$/i.test(file);
  // Errors of the file have to reach whoever reads what is unpacked.
  const stream = isPacked
    ? source.pipe(createGunzip()).once("close", () => source.destroy())
    : source;
  if (isPacked) source.once("error", (error) => stream.destroy(error));
  let line = 1;
  try {
    for await (const bytes of stream as AsyncIterable<Buffer>) {
      onBytes?.(source.bytesRead);
      const text = decode(decoder, bytes, { file, line });
      line += countBreaks(text);
      if (text !== "") yield text;
    }
    const rest = decode(decoder, undefined, { file, line });
    if (rest !== "") yield rest;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code?.startsWith("Z_") === true) {
      throw badFile(file, t("cannot be unpacked ({0})", (error as Error).message));
    }
    throw error;
  } finally {
    stream.destroy();
  }
}

function decode(
  decoder: TextDecoder,
  bytes: Buffer | undefined,
  { file, line }: { file: string; line: number },
): string {
  try {
    return bytes ? decoder.decode(bytes, { stream: true }) : decoder.decode();
  } catch {
    const before = bytes?.toString("utf8").split("\uFFFD", 1)[0] ?? "";
    throw badFile(
      file,
      t("line {0} is not UTF-8", line + countBreaks(before)),
      t("Save it as UTF-8."),
    );
  }
}

function countBreaks(text: string): number {
  let count = 0;
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) count++;
  return count;
}
