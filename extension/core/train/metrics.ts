/** How good a model's answers are beside its loss: what transformers' examples compute with scikit-learn and SciPy. */
import type { LossKind } from "./losses.ts";

/** By name: "accuracy", "f1", "mse", "pearson". */
export type Metrics = Readonly<Record<string, number>>;

/** Answers of a batch, row-major, and what they should have been. */
export interface Answers {
  /** [rows, width] */
  readonly logits: Float32Array;
  /** Of a choice [rows], else [rows, width]. */
  readonly labels: ArrayLike<number>;
  /** [rows]; 0 for rows that count for nothing. */
  readonly weights: ArrayLike<number>;
}

/** Gathers answers batch by batch. */
export interface Scores {
  add(answers: Answers): void;
  /** Empty where nothing was added. */
  finish(): Metrics;
}

export function scoresOf(kind: LossKind, width: number): Scores {
  switch (kind) {
    case "choice":
      return choiceScores(width);
    case "choices":
      return choicesScores(width);
    case "numbers":
      return numberScores(width);
    case "spans":
      return spanScores();
  }
}

/** Nothing where nothing was counted. */
function some(count: number, metrics: Metrics): Metrics {
  return count === 0 ? {} : metrics;
}

/** Rows of a batch that count. */
function countedRows({ weights }: Answers): number[] {
  return Array.from(weights, (weight, row) => (weight === 0 ? -1 : row)).filter((row) => row >= 0);
}

/** Accuracy, and the mean of all classes' F1 (macro) over those that occur or were answered. */
function choiceScores(width: number): Scores {
  const [right, answered, wanted] = [0, 1, 2].map(() => new Float64Array(width)) as [
    Float64Array,
    Float64Array,
    Float64Array,
  ];
  let rows = 0;
  return {
    add: (answers) => {
      for (const row of countedRows(answers)) {
        const own = answers.logits.subarray(row * width, (row + 1) * width);
        const answer = own.reduce(
          (best, value, i) => (value > (own[best] as number) ? i : best),
          0,
        );
        const label = Number(answers.labels[row]);
        count(answered, answer);
        count(wanted, label);
        if (answer === label) count(right, label);
        rows++;
      }
    },
    finish: () => {
      const classes = [...right.keys()].filter((i) => answered[i] !== 0 || wanted[i] !== 0);
      const f1 = classes.reduce(
        (sum, i) => sum + f1Of(at(right, i), at(answered, i), at(wanted, i)),
        0,
      );
      return some(rows, { accuracy: sumOf(right) / rows, f1: f1 / classes.length });
    },
  };
}

/** Rows whose labels are all right (accuracy), and F1 over all labels together (micro). */
function choicesScores(width: number): Scores {
  let [rows, exact, right, answered, wanted] = [0, 0, 0, 0, 0];
  return {
    add: (answers) => {
      for (const row of countedRows(answers)) {
        let isExact = true;
        for (let i = row * width; i < (row + 1) * width; i++) {
          const [answer, label] = [at(answers.logits, i) > 0, Number(answers.labels[i]) >= 0.5];
          if (answer) answered++;
          if (label) wanted++;
          if (answer && label) right++;
          if (answer !== label) isExact = false;
        }
        rows++;
        if (isExact) exact++;
      }
    },
    finish: () => some(rows, { accuracy: exact / rows, f1: f1Of(right, answered, wanted) }),
  };
}

/** Mean squared error, and of one number its correlation with what it should be (Pearson). */
function numberScores(width: number): Scores {
  const pairs: [answer: number, label: number][] = [];
  return {
    add: (answers) => {
      for (const row of countedRows(answers)) {
        for (let i = row * width; i < (row + 1) * width; i++)
          pairs.push([at(answers.logits, i), Number(answers.labels[i])]);
      }
    },
    finish: () => {
      const mse = pairs.reduce((sum, [x, y]) => sum + (x - y) ** 2, 0) / pairs.length;
      const r = width === 1 ? pearson(pairs) : null;
      return some(pairs.length, { mse, ...(r !== null && { pearson: r }) });
    },
  };
}

/** Answers whose two ends are both right, and the mean F1 of their tokens (SQuAD's, by tokens instead of words). */
function spanScores(): Scores {
  let [texts, exact, f1] = [0, 0, 0];
  return {
    add: ({ logits, labels, weights }) => {
      const length = logits.length / labels.length;
      for (let text = 0; text < labels.length / 2; text++) {
        if (weights[2 * text] === 0) continue;
        const own = logits.subarray(2 * text * length, 2 * (text + 1) * length);
        const [start, end] = bestSpan(own);
        const [first, last] = [Number(labels[2 * text]), Number(labels[2 * text + 1])];
        const shared = Math.max(0, Math.min(end, last) - Math.max(start, first) + 1);
        f1 += f1Of(shared, end - start + 1, last - first + 1);
        if (start === first && end === last) exact++;
        texts++;
      }
    },
    finish: () => some(texts, { exact_match: exact / texts, f1: f1 / texts }),
  };
}

/** The likeliest start of [tokens, 2], and the likeliest end that is not before it. */
function bestSpan(logits: Float32Array): [start: number, end: number] {
  const length = logits.length / 2;
  const best = (end: 0 | 1, from: number): number => {
    let found = from;
    for (let i = from; i < length; i++) {
      if (at(logits, 2 * i + end) > at(logits, 2 * found + end)) found = i;
    }
    return found;
  };
  const start = best(0, 0);
  return [start, best(1, start)];
}

/** null where one of the two never changes. */
function pearson(pairs: readonly (readonly [number, number])[]): number | null {
  const mean = (of: 0 | 1): number => pairs.reduce((sum, pair) => sum + pair[of], 0) / pairs.length;
  const [meanX, meanY] = [mean(0), mean(1)];
  let [xy, xx, yy] = [0, 0, 0];
  for (const [x, y] of pairs) {
    xy += (x - meanX) * (y - meanY);
    xx += (x - meanX) ** 2;
    yy += (y - meanY) ** 2;
  }
  return xx === 0 || yy === 0 ? null : xy / Math.sqrt(xx * yy);
}

function f1Of(right: number, answered: number, wanted: number): number {
  return answered + wanted === 0 ? 0 : (2 * right) / (answered + wanted);
}

function at(values: Float32Array | Float64Array, i: number): number {
  return values[i] as number;
}

function count(counts: Float64Array, i: number): void {
  counts[i] = at(counts, i) + 1;
}

function sumOf(values: Float64Array): number {
  return values.reduce((sum, value) => sum + value, 0);
}
