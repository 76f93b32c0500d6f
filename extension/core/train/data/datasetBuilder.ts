import { t } from "@vscode/l10n";
import type { Hash } from "node:crypto";
import type { Tokenizer } from "../../tokens/tokenizer.ts";
import { ignored, type Split } from "./batch.ts";
import type { DataOptions, Dataset, PreviewedExample } from "./dataset.ts";
import type { RecordFormat } from "./formats/recordFormat.ts";
import { type KnownLabels, type Labelling, LabelNames, type LabelPlaces } from "./labels.ts";
import { fitTexts, wrapTexts } from "./packing.ts";
import { previewExample } from "./preview.ts";
import type { ProblemList } from "./problems.ts";
import { makeSplit, type StoredKind } from "./split.ts";
import { Counter, type DataStatistics } from "./statistics.ts";
import type { TokenizedExample } from "./tokenizeExample.ts";
import { countsOf, endKept, padOf } from "./storedText.ts";
import { TokenStore } from "./tokenStore.ts";

export interface ReadText {
  readonly tokenized: TokenizedExample;
  /** Of the text's content. */
  readonly digest: Buffer;
  /** From a file of its own for evaluation. */
  readonly isEvaluation: boolean;
}

/** What was found out while reading. */
export interface ReadResult {
  readonly format: RecordFormat | null;
  readonly problems: ProblemList;
  readonly tokens: { readonly usesTemplate: boolean };
  readonly hash: Hash;
  readonly isWhole: boolean;
}

interface BuilderOptions {
  readonly labels: KnownLabels;
  readonly scratch: string;
  readonly examples: number;
}

type Half = Split & { readonly statistics: DataStatistics };

/** Keeps texts as they are read, and makes the halves of a data set of them. */
export class DatasetBuilder {
  private readonly store: TokenStore;
  private readonly labels: LabelNames;
  /** Of classified texts, by number: places in `labels`. */
  private readonly places: LabelPlaces[] = [];
  /** Of prompts with answers, by number: their tokens. */
  private readonly promptLengths: number[] = [];
  /** Of questions, by number: their answers. */
  private readonly spans: (readonly [number, number])[] = [];
  /** By number of the text, where the data say it. */
  private readonly tasks: (number | undefined)[] = [];
  /** Numbers of texts, of training and of evaluation. */
  private readonly halves = [
    { texts: [] as number[], counter: new Counter() },
    { texts: [] as number[], counter: new Counter() },
  ] as const;
  /** The text that would be evaluation's next: it is when none else is. */
  private nearest = { share: Infinity, text: -1 };
  private readonly shown: { tokenized: TokenizedExample; places: LabelPlaces | undefined }[] = [];
  private readonly maxLength: number;
  private moved = 0;
  private kind: StoredKind = "causal";

  constructor(
    private readonly data: DataOptions,
    private readonly tokenizer: Tokenizer,
    private readonly options: BuilderOptions,
  ) {
    this.store = new TokenStore(options.scratch);
    this.labels = new LabelNames(options.labels);
    this.maxLength = data.maxLength ?? 1024;
  }

  get count(): number {
    return this.store.count;
  }

  dispose(): void {
    this.store.dispose();
  }

  add({ tokenized, digest, isEvaluation }: ReadText): void {
    const share = digest.readUInt32BE(0) / 2 ** 32;
    const wanted = this.data.evaluationFiles?.length ? 0 : (this.data.evaluationShare ?? 0);
    const half = this.halves[isEvaluation || share < wanted ? 1 : 0];
    half.counter.length(tokenized.ids.length);
    half.counter.examples++;
    if (tokenized.isBoundaryMoved) this.moved++;
    const places = this.placesOf(tokenized);
    if (this.shown.length < this.options.examples) this.shown.push({ tokenized, places });
    const before = this.store.count;
    for (const codes of this.pieces(tokenized, half.counter)) {
      half.texts.push(this.store.count);
      if (places !== undefined) this.places[this.store.count] = places;
      if (tokenized.task !== undefined) this.tasks[this.store.count] = tokenized.task;
      this.store.add(codes);
    }
    if (wanted > 0 && share < this.nearest.share && this.store.count > before)
      this.nearest = { share, text: before };
  }

  finish({ format, problems, tokens, hash, isWhole }: ReadResult): Dataset {
    if (format === null) throw new Error("no record was read");
    const [training, evaluation] = this.halves;
    this.giveEvaluationOne();
    const labelling = this.labelling();
    const make = (half: typeof training): Half => this.makeHalf(half, labelling);
    const halves = { training: make(training), evaluation: make(evaluation) };
    const { shown, tokenizer } = this;
    const examples = shown.map(({ tokenized, places }): PreviewedExample => {
      const labels = places === undefined ? [] : labelling.tell(places);
      return previewExample(tokenizer, tokenized, { maxLength: this.maxLength, labels });
    });
    return {
      format: format.format,
      fields: format.fields,
      task: format.task,
      ...halves,
      labels: labelling.names,
      problem: labelling.problem,
      broken: { count: problems.count, problems: problems.problems },
      notes: [...this.notes(format, tokens.usesTemplate), ...labelling.notes],
      fingerprint: hash.digest("hex"),
      isWhole,
      examples,
      dispose: () => this.dispose(),
    };
  }

  private labelling(): Labelling {
    if (this.kind === "classification") return this.labels.finish(this.places);
    return this.labels.finishTags();
  }

  private placesOf({ label }: TokenizedExample): LabelPlaces | undefined {
    if (label === undefined) return undefined;
    if (typeof label === "object") return label.map((each) => this.labels.placeOf(each));
    return this.labels.placeOf(label);
  }

  /** What goes into the store: one list, or several where an overlong text is split. */
  private pieces(tokenized: TokenizedExample, counter: Counter): number[][] {
    const { ids, learned } = tokenized;
    const { maxLength } = this;
    const overlong = this.data.overlong ?? (this.data.files.every(isPlainText) ? "split" : "cut");
    if (tokenized.answer) return [this.answerCodes(ids, tokenized.answer, counter)];
    if (tokenized.span) return this.spanCodes(tokenized, tokenized.span, counter);
    if (learned === undefined) return [this.classifiedCodes(tokenized, counter)];
    if (this.data.packing === "wrap" || overlong === "split") {
      const codes = ids.map((id, i) => (learned[i] ? id : ~id));
      const size = this.data.packing === "wrap" ? codes.length : maxLength;
      const parts: number[][] = [];
      for (let from = 0; from < codes.length; from += size)
        parts.push(codes.slice(from, from + size));
      return parts.filter((part) => this.countPiece(part, counter));
    }
    if (ids.length > maxLength) {
      counter.cut++;
      counter.cutTokens += ids.length - maxLength;
    }
    const kept = ids.slice(0, maxLength).map((id, i) => (learned[i] ? id : ~id));
    return this.countPiece(kept, counter) ? [kept] : [];
  }

  /** @returns whether anything of it is learned; the first token is foretold by nothing */
  private countPiece(codes: readonly number[], counter: Counter): boolean {
    let learned = 0;
    for (let i = 1; i < codes.length; i++) if ((codes[i] as number) >= 0) learned++;
    if (learned === 0) {
      counter.withoutLearned++;
      return false;
    }
    counter.tokens += codes.length;
    counter.learnedTokens += learned;
    return true;
  }

  /** Prompt and answer are each as long as a text may be. */
  private answerCodes(
    prompt: readonly number[],
    answer: readonly number[],
    counter: Counter,
  ): number[] {
    this.kind = "answers";
    const { maxLength, tokenizer } = this;
    const [read, written] = [prompt, answer].map((ids) =>
      endKept(ids, { maxLength, tokenizer, counter }),
    ) as [number[], number[]];
    this.promptLengths[this.store.count] = read.length;
    counter.tokens += read.length + written.length;
    counter.learnedTokens += written.length;
    return [...read, ...written.map((id) => ~id)];
  }

  /** A question whose answer is cut off teaches nothing. */
  private spanCodes(
    tokenized: TokenizedExample,
    span: readonly [number, number],
    counter: Counter,
  ): number[][] {
    if (span[1] >= this.maxLength - 1 && tokenized.ids.length > this.maxLength) {
      counter.withoutLearned++;
      return [];
    }
    const codes = this.classifiedCodes(tokenized, counter);
    this.kind = "spans";
    this.spans[this.store.count] = span;
    return [codes];
  }

  /** The special token at the end stays where a text is cut, as transformers' truncation keeps it. */
  private classifiedCodes(tokenized: TokenizedExample, counter: Counter): number[] {
    const { ids, tokenTypes = [], tags = [] } = tokenized;
    const hasTags = tokenized.tags !== undefined;
    this.kind = hasTags ? "tags" : "classification";
    const codes = ids.map((id, i) => (tokenTypes[i] === 1 ? ~id : id));
    const labels = tags.map((tag) => (tag === null ? ignored : this.labels.placeOf(tag)));
    const length = Math.min(ids.length, this.maxLength);
    if (ids.length > length) {
      counter.cut++;
      counter.cutTokens += ids.length - length;
      const last = ids.at(-1) as number;
      if (this.tokenizer.vocabulary.bytesOf(last) === null) {
        codes[length - 1] = codes.at(-1) as number;
        if (hasTags) labels[length - 1] = ignored;
      }
    }
    counter.tokens += length;
    const kept = labels.slice(0, length);
    counter.learnedTokens += hasTags ? kept.filter((place) => place !== ignored).length : 1;
    return [...codes.slice(0, length), ...kept];
  }

  /** A small data set may have no text whose hash is small enough. */
  private giveEvaluationOne(): void {
    const [training, evaluation] = this.halves;
    const index = training.texts.indexOf(this.nearest.text);
    if (evaluation.texts.length > 0 || index < 0 || training.texts.length < 2) return;
    evaluation.texts.push(...training.texts.splice(index, 1));
    const codes = this.store.read(this.nearest.text);
    training.counter.examples--;
    evaluation.counter.examples++;
    evaluation.counter.length(codes.length);
    const { tokens, learned } = countsOf(this.kind, codes);
    for (const [counter, sign] of [
      [training.counter, -1],
      [evaluation.counter, 1],
    ] as const) {
      counter.tokens += sign * tokens;
      counter.learnedTokens += sign * learned;
    }
  }

  private makeHalf(
    { texts, counter }: { texts: number[]; counter: Counter },
    labelling: Labelling,
  ): Half {
    const { store, maxLength, kind } = this;
    const numbers = Uint32Array.from(texts);
    const lengths = numbers.map((text) => store.lengthOf(text));
    const packing = kind === "causal" ? (this.data.packing ?? "none") : "none";
    const rows =
      packing === "fit"
        ? fitTexts(numbers, lengths, maxLength)
        : packing === "wrap"
          ? wrapTexts(numbers, lengths, maxLength)
          : numbers;
    const split = makeSplit({
      kind,
      store,
      rows,
      isSegmented: packing === "fit",
      labelsOf: (text) => this.spans[text] ?? labelling.rowOf(this.places[text] ?? 0),
      hasNumbers:
        (labelling.problem ?? "single_label_classification") !== "single_label_classification",
      promptLengthOf: (text) => this.promptLengths[text] ?? 0,
      taskOf: (text) => this.tasks[text],
      tagOf: (place) => labelling.rowOf(place)[0] ?? ignored,
      maxLength,
      padId: padOf(this.tokenizer),
    });
    return { ...split, statistics: counter.finish(rows.length) };
  }

  private notes({ format }: RecordFormat, usesTemplate: boolean): string[] {
    const [training, evaluation] = this.halves;
    const notes: string[] = [];
    const cut = training.counter.cut + evaluation.counter.cut;
    const empty = training.counter.withoutLearned + evaluation.counter.withoutLearned;
    if (format === "instruction" && usesTemplate && this.kind === "causal")
      notes.push(t("Prompts and completions are put into the base's chat template."));
    if (cut > 0)
      notes.push(
        t("{0} texts are longer than {1} tokens; their ends are cut off.", cut, this.maxLength),
      );
    if (empty > 0) notes.push(t("{0} texts are left out: nothing of them is learned.", empty));
    if (this.moved > 0)
      notes.push(
        t(
          "Of {0} texts the last token of the prompt changes with its completion; begin completions with a space or a line.",
          this.moved,
        ),
      );
    return notes;
  }
}

function isPlainText(file: string): boolean {
  return /\.(txt|md)(\.gz)?$/i.test(file);
}
