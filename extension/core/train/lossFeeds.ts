/** Which rows of the logits count, what they should have said, and how much each counts. */
import { t } from "@vscode/l10n";
import { badRequest } from "../base/errors.ts";
import { headOf, type Model, type Task } from "../models/model.ts";
import { float32Tensor, int64Tensor, type Tensor } from "../session/ortSession.ts";
import { partsOf } from "./chunkedHead.ts";
import { type Batch, ignored } from "./data/batch.ts";
import type { VirtualLabel } from "../peft/trainable/trainable.ts";
import type { LossKind } from "./losses.ts";

export interface LossPlace {
  readonly model: Model;
  readonly kind: LossKind;
  readonly virtualTokens: number;
  /** Before an answer, of a model with encoder and decoder. */
  readonly answerTokens?: number | undefined;
  readonly virtualLabels?: readonly VirtualLabel[] | undefined;
  /** True where virtual tokens are rows of the output, the last of which predicts the sequence's first token. */
  readonly predictsFirst: boolean;
  /** Are labels fed in parts (chunkedHead.ts)? */
  readonly isChunked: boolean;
  readonly largestWidth?: number | undefined;
}

/** Rows of the logits in the order of the batch's tokens, and their labels. */
interface LabelledRows {
  readonly places: number[];
  readonly labels: number[];
  /** Factors on terms; all 1 when absent. */
  readonly factors?: number[];
}

/**
 * The inputs `labels`, `weights` and, of a decoder, `logits_rows`.
 * @param share what each labelled row counts: 1 / number of rows for a mean
 */
export function lossFeeds(batch: Batch, share: number, at: LossPlace): Record<string, Tensor> {
  const width = headOf(at.model).width;
  if (at.kind === "spans") return spanFeeds(batch, share, at);
  if (at.kind !== "choice") return numberFeeds(batch, share, at);
  const { places, labels, factors = [] } = labelledRows(batch, at);
  const strange = labels.find((label) => !(label === ignored || (label >= 0 && label < width)));
  if (strange !== undefined) {
    throw badRequest(t("Label {0} is not one of the {1} that the model knows.", strange, width));
  }
  const [parts, part] = at.isChunked
    ? partsOf(places.length, width, at.largestWidth)
    : [1, places.length];
  const count = parts * part;
  const shape = at.isChunked ? [parts, part] : [count];
  const padded = (values: number[]): number[] =>
    Array.from({ length: count }, (_, i) => values[i] ?? 0);
  const weights = Float32Array.from({ length: count }, (_, i) =>
    labels[i] === undefined || labels[i] === ignored ? 0 : share * (factors[i] ?? 1),
  );
  return {
    logits_rows: int64Tensor(padded(places), [count]),
    labels: int64Tensor(padded(labels.map((label) => Math.max(0, label))), shape),
    weights: float32Tensor(weights, shape),
  };
}

/** Is there one answer to a whole text or image? */
function isOfWhole(task: Task): boolean {
  return task === "sequence-classification" || task === "image-classification";
}

/** A language model and a class at the last token read chosen rows; other heads all of them. */
function labelledRows(batch: Batch, place: LossPlace): LabelledRows {
  const { model, virtualTokens, answerTokens = 0 } = place;
  const { task } = headOf(model);
  const { rows, answerLength } = batch;
  const length = answerLength ?? batch.length;
  const isOne = isOfWhole(task);
  const labels = idsOf(batch, isOne ? rows : rows * length);
  const whole = length + virtualTokens;
  if (isOne) return { places: lastPlaces(batch, place), labels: [...labels] };
  if (answerLength !== undefined) return answerRows(labels, length, answerTokens);
  if (task === "language-modeling") return nextTokens(batch, { ...place, whole });
  const all: LabelledRows = { places: [], labels: [] };
  for (let row = 0; row < rows; row++) {
    for (let i = 0; i < whole; i++) {
      all.places.push(row * whole + i);
      all.labels.push(
        i < virtualTokens ? ignored : (labels[row * length + i - virtualTokens] ?? ignored),
      );
    }
  }
  return all;
}

/** Labels that are ids. @throws bad-request where they are numbers, or of another task's form */
function idsOf({ labels }: Batch, count: number): Int32Array {
  if (labels instanceof Int32Array && labels.length === count) return labels;
  throw badRequest(
    t("The training data's labels are not what the model learns. Choose the data's task."),
  );
}

/** Of a decoder that reads its answer one place later: each row has its own label. */
function answerRows(labels: Int32Array, length: number, front: number): LabelledRows {
  const learned = [...labels.keys()].filter((place) => labels[place] !== ignored);
  return {
    places: learned.map((place) => place + front * (Math.floor(place / length) + 1)),
    labels: learned.map((place) => labels[place] as number),
  };
}

/** Only rows whose next token has a label: the head need not run on others. */
function nextTokens(
  { rows, length, labels, segments }: Batch,
  at: LossPlace & { whole: number },
): LabelledRows {
  const { whole, virtualTokens, virtualLabels = [], predictsFirst } = at;
  const out = { places: [] as number[], labels: [] as number[], factors: [] as number[] };
  for (let row = 0; row < rows; row++) {
    // Nothing stands before the first of them.
    for (const [i, { label, weight }] of virtualLabels.entries()) {
      if (i === 0 || label === ignored) continue;
      out.places.push(row * whole + i - 1);
      out.labels.push(label);
      out.factors.push(weight);
    }
    for (let i = predictsFirst ? 0 : 1; i < length; i++) {
      const place = row * length + i;
      const label = labels[place] ?? ignored;
      // The first token of a text is no continuation of the text before it.
      const isNew = i > 0 && segments !== undefined && segments[place] !== segments[place - 1];
      if (label === ignored || isNew) continue;
      out.places.push(row * whole + virtualTokens + i - 1);
      out.labels.push(label);
      out.factors.push(1);
    }
  }
  if (out.places.length === 0) return { places: [0], labels: [ignored] };
  return out;
}

/** Where transformers reads a sequence's class: at its last token that is no padding. */
function lastPlaces(
  { rows, length, inputIds }: Batch,
  { model, virtualTokens, predictsFirst }: LossPlace,
): number[] {
  const { padding = null } = headOf(model);
  const whole = length + virtualTokens;
  return Array.from({ length: rows }, (_, row) => {
    const ids = inputIds.subarray(row * length, (row + 1) * length);
    // Behind rows of an adapter a model is given no ids.
    const isBlind = padding === null || (virtualTokens > 0 && predictsFirst);
    const last = isBlind
      ? length - 1
      : Math.max(
          0,
          ids.findLastIndex((id) => id !== padding),
        );
    return row * whole + virtualTokens + last;
  });
}

/**
 * Both ends of an answer count half (transformers' …ForQuestionAnswering). An answer's place is counted behind
 * virtual tokens where these have rows.
 */
function spanFeeds(
  batch: Batch,
  share: number,
  { virtualTokens, predictsFirst }: LossPlace,
): Record<string, Tensor> {
  const { rows, length } = batch;
  const labels = idsOf(batch, 2 * rows);
  const weights = Float32Array.from(labels, (label) => (label === ignored ? 0 : share / 2));
  const whole = length + virtualTokens;
  const front = predictsFirst ? virtualTokens : 0;
  const places = Array.from({ length: rows * whole }, (_, place) => place).filter(
    (place) => predictsFirst || place % whole >= virtualTokens,
  );
  return {
    logits_rows: int64Tensor(places, [places.length]),
    labels: int64Tensor(
      Array.from(labels, (label) => Math.max(0, label) + front),
      [2 * rows],
    ),
    weights: float32Tensor(weights, [2 * rows]),
  };
}

/** Numbers, or several labels that may apply together: [rows, width]. */
function numberFeeds(batch: Batch, share: number, at: LossPlace): Record<string, Tensor> {
  const { task, width } = headOf(at.model);
  if (!isOfWhole(task)) {
    throw badRequest(
      t("Numbers and several labels are learned by models for sequence classification."),
    );
  }
  const { rows, labels } = batch;
  if (labels.length !== rows * width) {
    throw badRequest(t("{0} labels are given for {1} rows of {2}.", labels.length, rows, width));
  }
  const places = lastPlaces(batch, at);
  return {
    logits_rows: int64Tensor(places, [rows]),
    labels: float32Tensor(Float32Array.from(labels), [rows, width]),
    weights: float32Tensor(new Float32Array(rows).fill(share), [rows]),
  };
}
