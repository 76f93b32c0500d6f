/**
 * Losses as graph operators, with their own derivative: it is written down here once instead of being
 * derived operator by operator, which keeps one matrix of the logits' size less alive.
 */
import { t } from "@vscode/l10n";
import { unsupported } from "../base/errors.ts";
import type { ModelConfig } from "../checkpoint/modelConfig.ts";
import { headOf, type Model } from "../models/model.ts";
import { type ProblemType, problemOf } from "../models/problem.ts";
import { int, text } from "../onnx/attributes.ts";
import type { GraphBuilder } from "../onnx/builder.ts";
import type { Value } from "../onnx/graph.ts";

/**
 * What a model learns: which of several, a number each, which of several may apply together, or between
 * which tokens an answer stands.
 */
export type LossKind = "choice" | "numbers" | "choices" | "spans";

const lossesOfProblems: Readonly<Record<ProblemType, LossKind>> = {
  single_label_classification: "choice",
  multi_label_classification: "choices",
  regression: "numbers",
};

/**
 * A class of several, unless the config says otherwise (transformers' problem_type).
 * @throws unsupported for a model that nothing can be learned of by labels
 */
export function lossOfTask(model: Model, config: ModelConfig): LossKind {
  const { task } = headOf(model);
  if (task === "question-answering") return "spans";
  if (task === "feature-extraction") {
    throw unsupported(t("Graft does not train models for {0} yet", task.replaceAll("-", " ")));
  }
  if (task !== "sequence-classification" && task !== "image-classification") return "choice";
  return lossesOfProblems[problemOf(config) ?? "single_label_classification"];
}

/** A loss and its derivative by the logits. */
export interface Loss {
  /** Sum over rows of weight · term, a scalar. */
  readonly value: Value;
  /** Of the logits' shape [rows, width]. */
  readonly gradient: Value;
}

/**
 * A loss over logits [rows, width]. `weights` [rows] has each row's share: 1 / terms for a mean, 0 for
 * rows that count for nothing.
 * @param rows.labels [rows] int64 for a choice, else [rows, width] float32; of spans every text has two rows as
 * wide as its tokens (`spanRows`)
 */
export function lossOf(
  g: GraphBuilder,
  kind: LossKind,
  rows: { logits: Value; labels: Value; weights: Value },
): Loss {
  switch (kind) {
    case "choice":
    case "spans":
      return crossEntropy(g, rows);
    case "numbers":
      return squaredError(g, rows);
    case "choices":
      return binaryCrossEntropy(g, rows);
  }
}

/** Logits of every token for both ends of an answer, [texts · tokens, 2], as rows of texts [2 texts, tokens]. */
export function spanRows(g: GraphBuilder, logits: Value, labels: Value): Value {
  const texts = g.div(g.sizeOf(labels, 0), g.int64s([2]));
  const perText = g.reshapeTo(logits, g.concat([texts, g.int64s([-1, 2])], 0));
  const rows = g.concat([g.sizeOf(labels, 0), g.int64s([-1])], 0);
  return g.reshapeTo(g.transpose(perText, [0, 2, 1]), rows);
}

interface Rows {
  readonly logits: Value;
  readonly labels: Value;
  readonly weights: Value;
}

/** −log softmax(x)[label]; derivative softmax(x) − onehot(label). torch.nn.CrossEntropyLoss. */
function crossEntropy(g: GraphBuilder, { logits, labels, weights }: Rows): Loss {
  const logs = g.node("LogSoftmax", [logits], { attributes: { axis: int(-1) } })[0];
  const places = g.unsqueeze(labels, 1);
  const picked = g.node("GatherElements", [logs, places], { attributes: { axis: int(1) } })[0];
  const share = g.unsqueeze(weights, 1);
  const gradient = g.node(
    "ScatterElements",
    [g.mul(g.node("Exp", [logs])[0], share), places, g.neg(share)],
    { attributes: { axis: int(1), reduction: text("add") } },
  )[0];
  return { value: g.neg(total(g, g.mul(picked, share))), gradient };
}

/** (x − y)², a mean over columns. torch.nn.MSELoss. */
function squaredError(g: GraphBuilder, { logits, labels, weights }: Rows): Loss {
  const share = perColumn(g, logits, weights);
  const difference = g.sub(logits, labels);
  const weighted = g.mul(difference, share);
  return { value: total(g, g.mul(weighted, difference)), gradient: g.scale(weighted, 2) };
}

/** max(x, 0) − x·y + log(1 + exp(−|x|)), a mean over columns. torch.nn.BCEWithLogitsLoss. */
function binaryCrossEntropy(g: GraphBuilder, { logits, labels, weights }: Rows): Loss {
  const share = perColumn(g, logits, weights);
  const tail = g.node("Exp", [g.neg(g.node("Abs", [logits])[0])])[0];
  const soft = g.node("Log", [g.add(tail, g.scalar(1))])[0];
  const term = g.add(g.sub(g.relu(logits), g.mul(logits, labels)), soft);
  const gradient = g.mul(g.sub(g.sigmoid(logits), labels), share);
  return { value: total(g, g.mul(term, share)), gradient };
}

/** Weights [rows, 1] over the number of columns. */
function perColumn(g: GraphBuilder, logits: Value, weights: Value): Value {
  const columns = g.cast(g.sizeOf(logits, 1), 1);
  return g.div(g.unsqueeze(weights, 1), columns);
}

function total(g: GraphBuilder, x: Value): Value {
  return g.node("ReduceSum", [x], { attributes: { keepdims: int(0) } })[0];
}
