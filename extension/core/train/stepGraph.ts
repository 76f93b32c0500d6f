/** A training step as one graph: the model, its loss and the gradients of what is trained. */
import { withGradients } from "../autodiff/withGradients.ts";
import { elementCount } from "../base/shape.ts";
import type { Model } from "../models/model.ts";
import { headOf } from "../models/model.ts";
import { reduce } from "../onnx/calculus.ts";
import { GraphBuilder } from "../onnx/builder.ts";
import type { Graph, Value } from "../onnx/graph.ts";
import { chunkedHead, usualWidth } from "./chunkedHead.ts";
import { joinHead, splitHead } from "./head.ts";
import { joinedGraph } from "./joinedGraph.ts";
import { type LossKind, lossOf, spanRows } from "./losses.ts";
import type { ParameterGroup } from "./parameterGroups.ts";
import { whatIsRead, withoutPast } from "./wholeSequences.ts";

export interface StepOptions {
  readonly loss: LossKind;
  readonly groups: readonly ParameterGroup[];
  /** Values at the borders of blocks: what lies between is computed again for the gradients. */
  readonly checkpoints?: readonly Value[];
  /** A number that is added to the loss, made of parameters (AdaLoRA). */
  readonly penalty?: ((g: GraphBuilder) => Value | null) | undefined;
  /** The largest vocabulary whose logits are made at once; a test lowers it. */
  readonly largestWidth?: number;
}

/**
 * Inputs are the model's, but for those of a past, and `labels`, `weights` of the rows (losses.ts); of
 * a decoder `logits_rows` counts the tokens of all sequences. Outputs: `loss`, and for each group
 * `gradients.<group>` [size], the gradients of its tensors one after the other.
 */
export function stepGraph(model: Model, options: StepOptions): Graph {
  const { graph, seed } = withPenalty(lossGraph(model, options), options.penalty);
  const wrt = options.groups.flatMap(({ tensors }) => tensors.map(({ name }) => name as Value));
  const { checkpoints = [] } = options;
  const made = new Set<string>(graph.nodes.flatMap(({ outputs }) => outputs));
  const whole = withGradients(graph, {
    loss: seed,
    wrt,
    checkpoints: checkpoints.filter((value) => made.has(value)),
  });
  return whatIsRead(flatGradients(whole, options.groups));
}

/** The same without gradients, for evaluation; of a model with labels `logits` are an output too. */
export function evaluationGraph(model: Model, options: Omit<StepOptions, "groups">): Graph {
  const { graph } = lossGraph(model, { ...options, groups: [] });
  const logits = model.graph.outputs.filter(({ name }) => name === "logits" && hasMetrics(model));
  return whatIsRead({ ...graph, outputs: [...graph.outputs, ...logits] });
}

/** Can its answers be counted as right and wrong? Logits of a vocabulary are too many to be read. */
export function hasMetrics(model: Model): boolean {
  const { task } = headOf(model);
  return task !== "language-modeling" && task !== "masked-language-modeling";
}

/** The loss as an output, and a value whose derivative by what is trained is the loss's. */
function lossGraph(model: Model, options: StepOptions): { graph: Graph; seed: Value } {
  const whole = withoutPast(model.kind === "seq2seq" ? joinedGraph(model) : model.graph);
  const head = splitHead(whole);
  const { width } = headOf(model);
  if (head && options.loss === "choice" && width >= (options.largestWidth ?? usualWidth)) {
    const trained = new Set(
      options.groups.flatMap(({ tensors }) => tensors.map((each) => each.name)),
    );
    const chunked = chunkedHead(head, { trained, width });
    if (chunked) return chunked;
  }
  return wholeLoss(head ? joinHead(whole, head) : whole, options.loss);
}

/** The term counts as much as the batch: as much as the weights of its rows. */
function withPenalty(
  { graph, seed }: { graph: Graph; seed: Value },
  penalty: StepOptions["penalty"],
): { graph: Graph; seed: Value } {
  if (!penalty) return { graph, seed };
  const g = new GraphBuilder();
  g.adopt(graph);
  const [loss, task] = ["loss" as Value, "loss.task" as Value];
  const renamed = (name: Value | ""): Value | "" => (name === loss ? task : name);
  for (const node of graph.nodes) {
    const { inputs, outputs } = node;
    g.keep({ ...node, inputs: inputs.map(renamed), outputs: outputs.map(renamed) });
  }
  const sum = (x: Value): Value =>
    reduce(g, "ReduceSum", { x: g.reshape(x, [-1]), axes: [0], keep: false });
  const term = g.scope("penalty", () => penalty(g));
  if (term === null) return { graph, seed };
  const whole = g.scope("penalty", () => {
    const weighed = g.mul(term, sum("weights" as Value));
    g.output(g.add(task, weighed), "loss", "float32", []);
    return g.add(sum(renamed(seed) as Value), weighed);
  });
  return { graph: g.build(graph.name), seed: whole };
}

/** All logits at once. */
function wholeLoss(graph: Graph, kind: LossKind): { graph: Graph; seed: Value } {
  const g = new GraphBuilder();
  g.adopt(graph);
  for (const node of graph.nodes) g.keep(node);
  const width = graph.outputs[0]?.shape.at(-1) ?? "labels";
  const seed = g.scope("loss", () => {
    const { labels, weights } = lossInputs(g, kind, width);
    const logits =
      kind === "spans"
        ? spanRows(g, "logits" as Value, labels)
        : g.reshapeTo(
            "logits" as Value,
            g.concat([g.int64s([-1]), g.sizeOf("logits" as Value, 2)], 0),
          );
    const { value, gradient } = lossOf(g, kind, { logits, labels, weights });
    g.output(value, "loss", "float32", []);
    return g.mul(logits, g.detach(gradient));
  });
  return { graph: g.build(graph.name), seed };
}

function lossInputs(
  g: GraphBuilder,
  kind: LossKind,
  width: number | string,
): { labels: Value; weights: Value } {
  const labels =
    kind === "choice" || kind === "spans"
      ? g.input("labels", "int64", ["rows"])
      : g.input("labels", "float32", ["rows", width]);
  return { labels, weights: g.input("weights", "float32", ["rows"]) };
}

/** Gradients of a group's tensors in one output: each output takes time of its own. */
function flatGradients(graph: Graph, groups: readonly ParameterGroup[]): Graph {
  const g = new GraphBuilder();
  g.adopt(graph);
  for (const node of graph.nodes) g.keep(node);
  for (const output of graph.outputs) if (output.name === "loss") g.declareOutput(output);
  groups.forEach(({ tensors, size }, i) => {
    const parts = g.scope("gradients", () =>
      tensors.map(({ name, shape }) => g.reshape(`grad.${name}` as Value, [elementCount(shape)])),
    );
    const flat = g.scope("gradients", () => g.concat(parts, 0));
    g.output(flat, `gradients.${i}`, "float32", [size]);
  });
  return g.build(graph.name);
}
