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
 * second text as ~id. Tags: tokens, then as many labels.
 */
export type StoredKind = "causal" | "classification" | "tags";

export interface SplitSource {
  readonly kind: StoredKind;
  readonly store: TokenStore;
  /** Texts, or rows of several pieces where they were packed. */
  readonly rows: Uint32Array | readonly (readonly Piece[])[];
  /** Packed texts do not see each other. */
  readonly isSegmented: boolean;
  /** Labels of a text, by its number in the store; one, or 0 and 1 for each. */
  labelsOf(text: number): readonly number[];
  /** Which task a text is of, by its number in the store; undefined where that is not said. */
  taskOf(text: number): number | undefined;
  /** A token's label by what the store has of it. */
  tagOf(stored: number): number;
  readonly maxLength: number;
  readonly padId: number;
}

/** One half of a data set; rows are read from the store when their batch is made. */
export function makeSplit(source: SplitSource): Split {
  const { rows, store, kind } = source;
  const piecesOf = (row: number): readonly Piece[] => {
    const entry = rows[row] as number | readonly Piece[];
    if (typeof entry !== "number") return entry;
    const length = kind === "tags" ? store.lengthOf(entry) / 2 : store.lengthOf(entry);
    return [{ text: entry, from: 0, to: length }];
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
export function paddedLength(length: number, maxLength: number): number {
  const step = Math.max(8, 2 ** (Math.floor(Math.log2(Math.max(1, length))) - 3));
  return Math.max(length, Math.min(maxLength, Math.ceil(length / step) * step));
}

function makeBatch(rows: Rows, chosen: Int32Array): Batch {
  const { source, lengths, piecesOf } = rows;
  const { kind, padId, isSegmented, maxLength, store, labelsOf, tagOf } = source;
  const longest = chosen.reduce((most, row) => Math.max(most, lengths[row] as number), 0);
  const length = paddedLength(longest, maxLength);
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
  const labels =
    kind === "classification"
      ? Int32Array.from([...chosen].flatMap((row) => labelsOf(piecesOf(row)[0]?.text ?? 0)))
      : into.labels;
  const learnedTokens = countLearned(labels, kind === "causal" ? length : null);
  return {
    rows: chosen.length,
    length,
    inputIds,
    attentionMask,
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
    else if (kind === "classification") into.second[to] = code < 0 ? 1 : 0;
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
