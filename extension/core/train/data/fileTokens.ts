/** Files of training data as tokens: tokenised as they stream in, or as they are known from before. */
import { t } from "@vscode/l10n";
import { createHash } from "node:crypto";
import { badFile, throwIfAborted } from "../../base/errors.ts";
import { isObject } from "../../base/json.ts";
import { pause } from "../../base/pause.ts";
import type { Tokenizer } from "../../tokens/tokenizer.ts";
import type { DataOptions, OpenOptions } from "./dataset.ts";
import { type Example, fault, type Fault, isFault } from "./example.ts";
import { explainFormats, recogniseFormat } from "./formats/recogniseFormat.ts";
import type { RecordFormat } from "./formats/recordFormat.ts";
import { readRecords } from "./records/readRecords.ts";
import type { RawRecord } from "./records/record.ts";
import { readTask } from "./tasks.ts";
import { type ReadItem, TokenCache } from "./tokenCache.ts";
import {
  exampleTokenizer,
  type ExampleTokenizer,
  type TokenizedExample,
} from "./tokenizeExample.ts";

export interface FileWork {
  readonly onBytes: (bytes: number) => void;
  /** Records that may still be read of all files together; `isOver` where more were there. */
  readonly budget: { left: number; isOver: boolean };
  readonly signal: AbortSignal | undefined;
}

/** How long reading may go on before whatever else waits gets its turn, in milliseconds. */
const turn = 40;

/** All files of a data set are read in one way: that of the first record. */
export class FileTokens {
  format: RecordFormat | null = null;
  private readonly tokenizer: ExampleTokenizer;
  private lastTurn = performance.now();

  constructor(
    private readonly data: DataOptions,
    tokenizer: Tokenizer,
    private readonly options: Pick<OpenOptions, "cache" | "limit">,
  ) {
    const { learn = "answers", template = "auto" } = data;
    this.tokenizer = exampleTokenizer(tokenizer, { learn, template });
  }

  get usesTemplate(): boolean {
    return this.tokenizer.usesTemplate;
  }

  /** A file's texts as tokens: those of before, else they are made now, and kept. */
  async *read(file: string, work: FileWork): AsyncGenerator<ReadItem[]> {
    const { signal } = work;
    const cache = await this.cacheFor(file, work);
    const place = await cache?.placeOf(file, signal);
    if (!cache || !place) return yield* this.tokenizeFile(file, work);
    if (await cache.isWhole(place, signal)) return yield* cache.read(place, signal);
    const writer = cache.writer(place);
    let isKept = false;
    try {
      for await (const items of this.tokenizeFile(file, work)) {
        await writer.add(items);
        yield items;
      }
      // A file that was changed in between is another one.
      isKept = (await cache.placeOf(file, signal)) === place;
    } finally {
      await (isKept ? writer.finish() : writer.drop());
    }
  }

  private async cacheFor(file: string, work: FileWork): Promise<TokenCache | null> {
    const { cache, limit = null } = this.options;
    if (!cache || limit !== null) return null;
    await this.recognise(file, work);
    const { learn = "answers", template = "auto", textUnit = "paragraph" } = this.data;
    const format = this.format && [this.format.format, this.format.task, this.format.fields];
    const task = this.data.fields?.task ?? null;
    return new TokenCache(cache, { learn, template, textUnit, format, task });
  }

  private get isRecognised(): boolean {
    return this.format !== null;
  }

  /** Finds out by the first record how all are read. */
  private async recognise(file: string, { signal }: FileWork): Promise<void> {
    if (this.isRecognised) return;
    const onProblem = (): void => undefined;
    const textUnit = this.data.textUnit ?? "paragraph";
    for await (const some of readRecords(file, { textUnit, signal, onProblem })) {
      for (const record of some) {
        this.understand(record, file);
        if (this.isRecognised) return;
      }
    }
  }

  private async *tokenizeFile(file: string, work: FileWork): AsyncGenerator<ReadItem[]> {
    const { onBytes, budget, signal } = work;
    const textUnit = this.data.textUnit ?? "paragraph";
    let found: ReadItem[] = [];
    const onProblem = (place: { line: number; column: number }, message: string): void =>
      void found.push({ kind: "problem", problem: { ...place, message } });
    for await (const some of readRecords(file, { textUnit, onBytes, onProblem, signal })) {
      for (const record of some) {
        if (budget.left <= 0) {
          budget.isOver = true;
          return yield found;
        }
        budget.left--;
        found.push(this.itemOf(record, file));
        if (performance.now() - this.lastTurn <= turn) continue;
        yield found;
        found = [];
        await this.letOthers(signal);
      }
      yield found;
      found = [];
    }
  }

  private async letOthers(signal: AbortSignal | undefined): Promise<void> {
    throwIfAborted(signal);
    await pause();
    this.lastTurn = performance.now();
  }

  private itemOf(record: RawRecord, file: string): ReadItem {
    const example = this.understand(record, file);
    const tokenized = example.kind === "fault" ? example : this.tokenize(example);
    const task = readTask(record.value, this.data.fields?.task);
    const problem = [tokenized, task].find((each) => isFault(each));
    if (problem || tokenized.kind === "fault") {
      const { path, message } = problem as Fault;
      return { kind: "problem", problem: { ...record.placeOf(path), message } };
    }
    const own = typeof task === "number" ? { task } : {};
    const digest = createHash("sha1")
      .update(JSON.stringify({ ...example, ...own }))
      .digest();
    return { kind: "text", tokenized: { ...tokenized, ...own }, digest };
  }

  private understand({ value }: RawRecord, file: string): Example | Fault {
    const record = typeof value === "string" ? { text: value } : value;
    if (!isObject(record)) return fault([], t("A record has to be an object or a text."));
    if (this.format === null) {
      this.format = recogniseFormat(record, this.data);
      if (this.format === null) throw badFile(file, explainFormats(record, this.data), "");
    }
    return this.format.read(record);
  }

  /** A template's refusal of one conversation is that record's fault. */
  private tokenize(example: Example): TokenizedExample | Fault {
    try {
      return this.tokenizer.tokenize(example);
    } catch (error) {
      return fault([], (error as Error).message);
    }
  }
}
