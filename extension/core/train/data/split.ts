import {
  type Batch,
  type EpochOptions,
  type EpochPlan,
  ignored,
  type Split,
  type TaskCount,
} from "./batch.ts";
import { epochOrder } from "./order.ts";
import type { Piece } from "./packing.ts";
import type { TokenStore } from "./tokenStore.ts";

/**
 * How a text is kept. Causal: tokens, those that are not learned as ~id. Classification: tokens, those of a
 * second text as ~id. Tags: tokens, then as many labels. Answers: the prompt's tokens, then the answer's as ~id.
 * Spans: as classification.
 */
export type StoredKind = "causal" | "classification" | "tags" | "answers" | "spans";

export interface SplitSource {
  readonly kind: StoredKind;
  readonly store: TokenStore;
  /** Texts, or rows of several pieces where they were packed. */
  readonly rows: Uint32Array | readonly (readonly Piece[])[];
  /** Packed texts do not see each other. */
  readonly isSegmented: boolean;
  /** Labels of a text, by its number in the store: one, or as many numbers as the model gives. */
  labelsOf(text: number): readonly number[];
  /** Which task a text is of, by its number in the store; undefined where that is not said. */
  taskOf(text: number): number | undefined;
  /** Are labels numbers instead of ids? */
  readonly hasNumbers: boolean;
  /** Tokens of a prompt, by its number in the store; of answers. */
  promptLengthOf(text: number): number;
  /** A token's label by what the store has of it. */
  tagOf(stored: number): number;
  readonly maxLength: number;
  readonly padId: number;
}

/** One half of a data set; rows are read from the store when their batch is made. */
export function makeSplit(source: SplitSource): Split {
  const { rows } = source;
  const piecesOf = (row: number): readonly Piece[] => {
    const entry = rows[row] as number | readonly Piece[];
    if (typeof entry !== "number") return entry;
    return [{ text: entry, from: 0, to: lengthOf(source, entry) }];
  };
  const lengths = Uint32Array.from({ length: rows.length }, (_, row) =>
    piecesOf(row).reduce((sum, { from, to }) => sum + to - from, 0),
  );
  const tasks = countTasks(source);
  return {
    count: rows.length,
    lengths,
    ...(tasks && { tasks }),
    plan: (options) => planEpoch({ source, lengths, piecesOf }, options),
  };
}

/** Rows of several texts have no task of their own. */
function countTasks({ rows, taskOf }: SplitSource): TaskCount | null {
  let [largest, missing] = [-1, 0];
  for (const row of rows) {
    const task = typeof row === "number" ? taskOf(row) : undefined;
    if (task === undefined) missing++;
    else largest = Math.max(largest, task);
  }
  return largest < 0 ? null : { largest, missing };
}

/** Tokens that are read of a text. */
function lengthOf({ kind, store, promptLengthOf }: SplitSource, text: number): number {
  if (kind === "answers") return promptLengthOf(text);
  return kind === "tags" ? store.lengthOf(text) / 2 : store.lengthOf(text);
}

interface Rows {
  readonly source: SplitSource;
  readonly lengths: Uint32Array;
  piecesOf(row: number): readonly Piece[];
}

function planEpoch(rows: Rows, options: EpochOptions): EpochPlan {
  const { batchSize, groupByLength = false, accumulation = 1 } = options;
  const stepRows = groupByLength ? batchSize * accumulation : null;
  const order = epochOrder(rows.lengths, { ...options, stepRows });
  return {
    batches: Math.ceil(order.length / batchSize),
    batch: (index) => makeBatch(rows, order.subarray(index * batchSize, (index + 1) * batchSize)),
  };
}

/** Lengths in steps of at most an eighth, so that few sizes occur and little is padded. */
function paddedLength(length: number, maxLength: number): number {
  const step = Math.max(8, 2 ** (Math.floor(Math.log2(Math.max(1, length))) - 3));
  return Math.max(length, Math.min(maxLength, Math.ceil(length / step) * step));
}

function makeBatch(rows: Rows, chosen: Int32Array): Batch {
  const { source, lengths, piecesOf } = rows;
  const { kind, padId, isSegmented, maxLength, store, labelsOf, hasNumbers, tagOf } = source;
  const longest = chosen.reduce((most, row) => Math.max(most, lengths[row] as number), 0);
  // transformers' loss of spans counts padding as places: its collator pads to the longest text alone.
  const length = kind === "spans" ? longest : paddedLength(longest, maxLength);
  const size = chosen.length * length;
  const into: Matrices = {
    inputIds: new Int32Array(size).fill(padId),
    attentionMask: new Int32Array(size),
    labels: new Int32Array(size).fill(ignored),
    second: new Int32Array(size),
    segments: new Int32Array(size),
    positionIds: new Int32Array(size),
  };
  let tokens = 0;
  chosen.forEach((row, r) => {
    let at = r * length;
    piecesOf(row).forEach((piece, segment) => {
      const values = store.read(piece.text);
      writePiece({ kind, piece, values, at, segment: segment + 1, isSegmented, tagOf }, into);
      at += piece.to - piece.from;
    });
    tokens += at - r * length;
  });
  const { inputIds, attentionMask, segments, positionIds } = into;
  const read = { rows: chosen.length, length, inputIds, attentionMask };
  if (kind === "answers") {
    const own = answersOf(
      source,
      [...chosen].map((row) => piecesOf(row)[0]?.text ?? 0),
    );
    const learnedTokens = countLearned(own.labels, null);
    return { ...read, ...own, learnedTokens, tokens: tokens + learnedTokens };
  }
  const ofTexts = (): number[] =>
    [...chosen].flatMap((row) => labelsOf(piecesOf(row)[0]?.text ?? 0));
  const labels =
    kind !== "classification" && kind !== "spans"
      ? into.labels
      : hasNumbers
        ? Float32Array.from(ofTexts())
        : Int32Array.from(ofTexts());
  const learnedTokens =
    labels instanceof Float32Array
      ? chosen.length
      : countLearned(labels, kind === "causal" ? length : null);
  return {
    ...read,
    labels,
    ...(kind !== "causal" && { tokenTypes: into.second }),
    ...(isSegmented && { segments, positionIds }),
    ...tasksOf(rows, chosen),
    learnedTokens,
    tokens,
  };
}

function tasksOf({ source, piecesOf }: Rows, chosen: Int32Array): Pick<Batch, "tasks"> {
  if (typeof source.rows[0] !== "number") return {};
  const tasks = Array.from(chosen, (row) => source.taskOf(piecesOf(row)[0]?.text ?? 0));
  const isKnown = tasks.every((task) => task !== undefined);
  return isKnown && tasks.length > 0 ? { tasks: Int32Array.from(tasks) } : {};
}

/** What the decoder learns of some texts, [rows, answerLength]. */
function answersOf(
  { store, maxLength, promptLengthOf }: SplitSource,
  texts: readonly number[],
): { answerLength: number; labels: Int32Array } {
  const own = texts.map((text) => store.read(text).subarray(promptLengthOf(text)));
  const longest = own.reduce((most, codes) => Math.max(most, codes.length), 1);
  const answerLength = paddedLength(longest, maxLength);
  const labels = new Int32Array(texts.length * answerLength).fill(ignored);
  own.forEach((codes, row) =>
    labels.set(
      codes.map((code) => ~code),
      row * answerLength,
    ),
  );
  return { answerLength, labels };
}

interface Matrices {
  readonly inputIds: Int32Array;
  readonly attentionMask: Int32Array;
  readonly labels: Int32Array;
  readonly second: Int32Array;
  readonly segments: Int32Array;
  readonly positionIds: Int32Array;
}

interface PieceAt {
  readonly kind: StoredKind;
  readonly piece: Piece;
  readonly values: Int32Array;
  readonly at: number;
  readonly segment: number;
  readonly isSegmented: boolean;
  tagOf(stored: number): number;
}

function writePiece(given: PieceAt, into: Matrices): void {
  const { kind, piece, values, at, segment, isSegmented } = given;
  for (let i = piece.from; i < piece.to; i++) {
    const to = at + i - piece.from;
    const code = values[i] as number;
    const id = code < 0 ? ~code : code;
    into.inputIds[to] = id;
    into.attentionMask[to] = 1;
    into.segments[to] = segment;
    into.positionIds[to] = i - piece.from;
    if (kind === "tags") into.labels[to] = given.tagOf(values[values.length / 2 + i] as number);
    else if (kind === "classification" || kind === "spans") into.second[to] = code < 0 ? 1 : 0;
    // What begins a text is not foretold by the end of another one (TRL's collator does the same).
    else if (code >= 0 && !(isSegmented && i === piece.from)) into.labels[to] = id;
  }
}

/** @param rowLength of a causal model, whose first token of a row is foretold by nothing */
function countLearned(labels: Int32Array, rowLength: number | null): number {
  let count = 0;
  for (let i = 0; i < labels.length; i++) {
    if (labels[i] !== ignored && (rowLength === null || i % rowLength !== 0)) count++;
  }
  return count;
}
