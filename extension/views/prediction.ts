import { t } from "@vscode/l10n";
import type { ModelTask, Prediction, Score } from "../protocol/predictContract.ts";

/** How many rows of labels and numbers are shown. */
const mostLabels = 20;
const mostNumbers = 8;

/** What a model says of an input, as text for people: labels as a table, numbers in short. */
export function formatPrediction(prediction: Prediction): string {
  switch (prediction.task) {
    case "sequence-classification":
    case "image-classification":
      return formatScores(prediction.scores, prediction.of === "values");
    case "token-classification":
      return table(prediction.tokens.map((each) => [each.token, each.label, percent(each.score)]));
    case "question-answering":
      return prediction.answer === ""
        ? t("No answer in this text.")
        : t("{0}\n\n{1} sure", prediction.answer, percent(prediction.score));
    case "feature-extraction": {
      const { mean, first } = prediction;
      const head = t("Embedding of {0} numbers", mean.length);
      return [
        head,
        table([
          [t("mean of all tokens"), numbers(mean)],
          [t("first token"), numbers(first)],
        ]),
      ].join("\n\n");
    }
    default:
      return prediction satisfies never;
  }
}

/** What a prompt is called for a model of a task. */
export function questionTitle(task: ModelTask): string {
  switch (task) {
    case "question-answering":
      return "Question";
    case "sequence-classification":
    case "token-classification":
      return t("Text to label");
    case "feature-extraction":
      return t("Text to embed");
    case "image-classification":
      return t("Image to label");
    case "masked-language-modeling":
    case "language-modeling":
      return t("Test prompt");
    default:
      return task satisfies never;
  }
}

function formatScores(scores: readonly Score[], areValues: boolean): string {
  const shown = scores.slice(0, mostLabels);
  const rows = shown.map(({ label, score }) => [
    label,
    areValues ? score.toPrecision(4) : percent(score),
  ]);
  const rest = scores.length - shown.length;
  return rest > 0 ? t("{0}\n… and {1} more", table(rows), rest) : table(rows);
}

/** Columns side by side, each as wide as its widest entry. */
function table(rows: readonly (readonly string[])[]): string {
  const width = (column: number): number =>
    Math.max(...rows.map((row) => (row[column] ?? "").length));
  return rows
    .map((row) =>
      row
        .map((cell, i) => cell.padEnd(width(i)))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}

function numbers(values: readonly number[]): string {
  const shown = values.slice(0, mostNumbers).map((value) => value.toFixed(4));
  return values.length > mostNumbers ? `${shown.join(", ")}, …` : shown.join(", ");
}
