import { t } from "@vscode/l10n";
import { createHash } from "node:crypto";
import { stat } from "node:fs/promises";
import * as os from "node:os";
import { badFile, throwIfAborted } from "../../base/errors.ts";
import type { OnProgress } from "../../base/progress.ts";
import type { ProblemType } from "../../models/problem.ts";
import type { Tokenizer } from "../../tokens/tokenizer.ts";
import type { Split } from "./batch.ts";
import { DatasetBuilder, type ReadText } from "./datasetBuilder.ts";
import { FileTokens } from "./fileTokens.ts";
import type { DataFormat, DataTask, FieldNames, RecordFormat } from "./formats/recordFormat.ts";
import { type DataProblem, ProblemList } from "./problems.ts";
import type { TextUnit } from "./records/plainText.ts";
import type { DataStatistics } from "./statistics.ts";
import type { ReadItem, TokenCacheOptions } from "./tokenCache.ts";

/** Which texts, and how they are read; what is absent is as TRL has it. */
export interface DataOptions {
  readonly files: readonly string[];
  readonly evaluationFiles?: readonly string[] | undefined;
  /** 0 to 1 of the texts, chosen by a hash of each: their order does not matter. */
  readonly evaluationShare?: number | undefined;
  readonly task?: DataTask | undefined;
  /** Told by the fields of the first record when absent. */
  readonly format?: DataFormat | undefined;
  readonly fields?: FieldNames | undefined;
  readonly learn?: "answers" | "all" | undefined;
  readonly template?: "auto" | "chat" | "plain" | undefined;
  /** 1,024 when absent. */
  readonly maxLength?: number | undefined;
  /** "cut" when absent, of .txt files "split". */
  readonly overlong?: "cut" | "split" | undefined;
  readonly packing?: "none" | "fit" | "wrap" | undefined;
  readonly textUnit?: TextUnit | undefined;
  readonly skipBroken?: boolean | undefined;
}

export interface OpenOptions {
  /** Names of the base's labels by id; none of a base without, or where a new head is trained. */
  readonly labels?: readonly string[];
  /** What the base learns of labels; null, as when absent, where the labels decide. */
  readonly problem?: ProblemType | null;
  /** Where tokens go that are too many for memory; the system's folder when absent. */
  readonly scratch?: string;
  /** Where tokens of files are kept for the next time; without it, and of a preview, they are not. */
  readonly cache?: TokenCacheOptions | undefined;
  /** Reads so many records at most, for a preview. */
  readonly limit?: number | null;
  /** Nothing to learn from is no error, of a preview. */
  readonly mayBeEmpty?: boolean;
  /** Texts to keep for the preview. */
  readonly examples?: number;
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A piece of what the model sees. */
export interface TextSegment {
  readonly text: string;
  readonly isLearned: boolean;
}

export interface PreviewedExample {
  readonly segments: readonly TextSegment[];
  readonly label?: string;
  readonly tokens: number;
}

/** Tokenised training data; `dispose` frees its tokens. */
export interface Dataset {
  readonly format: DataFormat;
  /** Which field was taken for what. */
  readonly fields: FieldNames;
  readonly task: DataTask;
  readonly training: Split & { readonly statistics: DataStatistics };
  readonly evaluation: Split & { readonly statistics: DataStatistics };
  /** By id, of classification. */
  readonly labels: readonly string[];
  /** What is learned of classified texts; null for others. */
  readonly problem: ProblemType | null;
  readonly broken: { readonly count: number; readonly problems: readonly DataProblem[] };
  /** Sentences on what was decided. */
  readonly notes: readonly string[];
  /** Of the texts' tokens and how they are read, in their order: a run that goes on asks for the same. */
  readonly fingerprint: string;
  readonly isWhole: boolean;
  /** The first texts as the model will see them. */
  readonly examples: readonly PreviewedExample[];
  dispose(): void;
}

/**
 * Reads, tokenises and splits training data as it streams in.
 * @throws bad-file with all broken records (`details.problems`), unless they are skipped
 */
export async function openDataset(
  data: DataOptions,
  tokenizer: Tokenizer,
  options: OpenOptions = {},
): Promise<Dataset> {
  const reader = new Reader(data, tokenizer, options);
  const { builder } = reader;
  try {
    await reader.read(data.files, false);
    await reader.read(data.evaluationFiles ?? [], true);
    if (reader.problems.count > 0 && data.skipBroken !== true) throw reader.problems.asError();
    if (builder.count === 0 && !(options.mayBeEmpty && reader.format)) {
      throw badFile(
        data.files.join(", "),
        t("holds nothing to learn from"),
        t("Choose other files or fields."),
      );
    }
    return builder.finish(reader);
  } catch (error) {
    builder.dispose();
    throw error;
  }
}

class Reader {
  readonly problems = new ProblemList();
  readonly hash = createHash("sha256");
  readonly builder: DatasetBuilder;
  readonly tokens: FileTokens;
  isWhole = true;

  constructor(
    data: DataOptions,
    tokenizer: Tokenizer,
    private readonly options: OpenOptions,
  ) {
    const { learn = "answers", template = "auto" } = data;
    this.tokens = new FileTokens(data, tokenizer, options);
    this.builder = new DatasetBuilder(data, tokenizer, {
      labels: { names: options.labels ?? [], problem: options.problem ?? null },
      scratch: options.scratch ?? os.tmpdir(),
      examples: options.examples ?? 0,
    });
    const { maxLength = null, overlong = null, packing = null, evaluationShare = 0 } = data;
    const read = { learn, template, maxLength, overlong, packing, evaluationShare };
    this.hash.update(JSON.stringify(read));
  }

  get format(): RecordFormat | null {
    return this.tokens.format;
  }

  async read(files: readonly string[], isEvaluation: boolean): Promise<void> {
    const { onProgress, signal } = this.options;
    const sizes = await Promise.all(
      files.map((file) =>
        stat(file).then(
          ({ size }) => size,
          () => 0,
        ),
      ),
    );
    const total = sizes.reduce((sum, size) => sum + size, 0);
    let before = 0;
    const budget = { left: this.options.limit ?? Infinity, isOver: false };
    for (const [i, file] of files.entries()) {
      const onBytes = (bytes: number): void =>
        onProgress?.({
          step: t("Reading training data"),
          done: before + bytes,
          total,
          unit: "bytes",
        });
      for await (const items of this.tokens.read(file, { onBytes, budget, signal })) {
        for (const item of items) this.keep(item, file, isEvaluation);
        throwIfAborted(signal);
      }
      if (budget.isOver) {
        this.isWhole = false;
        return;
      }
      before += sizes[i] as number;
    }
  }

  private keep(item: ReadItem, file: string, isEvaluation: boolean): void {
    if (item.kind === "problem") return this.problems.add({ file, ...item.problem });
    const { tokenized, digest } = item;
    this.hash.update(digest).update(Int32Array.from(tokenized.ids));
    if (isEvaluation) this.hash.update("evaluation");
    const text: ReadText = { tokenized, digest, isEvaluation };
    this.builder.add(text);
  }
}
