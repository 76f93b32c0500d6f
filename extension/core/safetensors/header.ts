import { t } from "@vscode/l10n";
import { visit } from "jsonc-parser";
import { bitsOf, type Dtype, isDtype } from "../base/dtype.ts";
import { badFile } from "../base/errors.ts";
import { checkDepth, isObject, type JsonObject } from "../base/json.ts";
import { type Shape, showShape } from "../base/shape.ts";

/** The reference implementation's bound; a header of this size would name a million tensors. */
export const largestHeader = 100_000_000;

/** One tensor of a safetensors file: where its bytes lie and what they mean. */
export interface TensorEntry {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: Shape;
  /** Bytes from the start of the file. */
  readonly offset: number;
  readonly byteLength: number;
  /** Elements from one to the next along each dimension; absent where they lie row by row. */
  readonly strides?: readonly number[];
}

export interface Header {
  readonly tensors: readonly TensorEntry[];
  readonly metadata: Readonly<Record<string, string>>;
  /** Where tensor data begins, in bytes from the start of the file. */
  readonly dataStart: number;
}

/**
 * Parses and validates a header against https://github.com/huggingface/safetensors#format, refusing
 * what the reference refuses and duplicate names besides.
 * @param text the header's JSON, without its length prefix
 * @param headerLength its length in bytes
 * @param fileSize in bytes
 */
export function parseHeader(
  text: string,
  headerLength: number,
  { file, fileSize }: { file: string; fileSize: number },
): Header {
  const json = parseJson(text, file);
  const dataStart = 8 + headerLength;
  const { __metadata__: metadata, ...entries } = json;
  const tensors = Object.entries(entries).map(([name, entry]) =>
    parseEntry(name, entry, { file, dataStart }),
  );
  checkLayout(tensors, { file, dataStart, fileSize });
  return { tensors, metadata: parseMetadata(metadata, file), dataStart };
}

function parseJson(text: string, file: string): JsonObject {
  if (!text.startsWith("{")) throw badFile(file, t("header does not begin with {"));
  checkDepth(text, file);
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw badFile(file, t("header is not JSON: {0}", (error as Error).message));
  }
  if (!isObject(json)) throw badFile(file, t("header is not a JSON object"));
  const twice = hasEachKeyOnce(text, json) ? undefined : firstDuplicate(text);
  if (twice !== undefined) throw badFile(file, t('header names "{0}" twice', twice));
  return json;
}

/**
 * Whether no key can have been dropped, told by counting: without escapes, a quote and a colon stand
 * together once for each key of a text without spaces. False is no proof of the contrary.
 */
function hasEachKeyOnce(text: string, json: JsonObject): boolean {
  if (text.includes("\\")) return false;
  let keys = 0;
  for (const name in json) {
    keys++;
    const entry = json[name];
    if (isObject(entry)) for (const _ in entry) keys++;
  }
  let found = 0;
  for (let i = text.indexOf('":'); i >= 0; i = text.indexOf('":', i + 2)) found++;
  return found === keys && !/"\s+:/.test(text);
}

/** JSON.parse keeps the last of two equal keys without a word; a hidden tensor is worth an error. */
function firstDuplicate(text: string): string | undefined {
  const seen: Set<string>[] = [];
  let duplicate: string | undefined;
  visit(text, {
    onObjectBegin: () => void seen.push(new Set()),
    onObjectEnd: () => void seen.pop(),
    onObjectProperty: (name) => {
      const names = seen.at(-1);
      if (names?.has(name)) duplicate ??= name;
      names?.add(name);
    },
  });
  return duplicate;
}

function parseMetadata(value: unknown, file: string): Record<string, string> {
  if (value === undefined) return {};
  if (!isObject(value)) throw badFile(file, t("__metadata__ is not an object"));
  for (const [key, text] of Object.entries(value)) {
    if (typeof text !== "string") throw badFile(file, t('__metadata__."{0}" is not a string', key));
  }
  return value as Record<string, string>;
}

function parseEntry(
  name: string,
  value: unknown,
  { file, dataStart }: { file: string; dataStart: number },
): TensorEntry {
  const fail = (problem: string): Error => badFile(file, t('tensor "{0}": {1}', name, problem));
  if (!isObject(value)) throw fail(t("entry is not an object"));
  const { dtype, shape, data_offsets: offsets } = value;
  if (dtype === undefined) throw fail(t("has no dtype"));
  if (!isDtype(dtype)) throw fail(t("unknown dtype {0}", JSON.stringify(dtype)));
  if (!isSizes(shape)) throw fail(t("shape {0} is not a list of sizes", JSON.stringify(shape)));
  if (!isSizes(offsets) || offsets.length !== 2) {
    throw fail(t("data_offsets {0} are not two positions", JSON.stringify(offsets)));
  }
  const [begin, end] = offsets as [number, number];
  if (end < begin) throw fail(t("data_offsets {0} run backwards", showShape(offsets)));
  const bits = shape.reduce((product, size) => product * size, bitsOf(dtype));
  const largest = shape.reduce((product, size) => product * Math.max(size, 1), bitsOf(dtype));
  if (!Number.isSafeInteger(largest)) throw fail(t("shape {0} overflows", showShape(shape)));
  if (bits !== (end - begin) * 8) {
    throw fail(
      t(
        "{0} {1} needs {2} bytes, data_offsets give {3}",
        dtype,
        showShape(shape),
        bits / 8,
        end - begin,
      ),
    );
  }
  return { name, dtype, shape, offset: dataStart + begin, byteLength: end - begin };
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0);
}

/** Tensors fill the data section without hole, overlap or rest. */
function checkLayout(
  tensors: readonly TensorEntry[],
  { file, dataStart, fileSize }: { file: string; dataStart: number; fileSize: number },
): void {
  let position = dataStart;
  for (const tensor of [...tensors].sort(
    (a, b) => a.offset - b.offset || a.byteLength - b.byteLength,
  )) {
    if (tensor.offset !== position) {
      const what =
        tensor.offset > position ? t("leaves a hole before it") : t("overlaps another tensor");
      throw badFile(file, t('tensor "{0}" {1} (data_offsets)', tensor.name, what));
    }
    position += tensor.byteLength;
    if (position > fileSize) {
      throw badFile(
        file,
        t(
          'truncated: tensor "{0}" ends at byte {1}, the file has {2}',
          tensor.name,
          position,
          fileSize,
        ),
        t("Download or copy it again."),
      );
    }
  }
  if (position !== fileSize) {
    throw badFile(file, t("{0} bytes follow the last tensor", fileSize - position));
  }
}
