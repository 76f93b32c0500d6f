/**
 * One step of an optimizer as a graph over whole groups of parameters: each group's numbers lie in one
 * vector, so that the graph has a dozen nodes a group however many tensors there are.
 */
import type { Graph, Value } from "../onnx/graph.ts";
import { GraphBuilder } from "../onnx/builder.ts";

/** torch.optim.AdamW and SGD; fields that are left out have torch's defaults. */
export type OptimizerOptions =
  | {
      readonly kind: "adamw";
      readonly betas?: readonly [number, number];
      readonly epsilon?: number;
    }
  | {
      readonly kind: "sgd";
      readonly momentum?: number;
      readonly dampening?: number;
      readonly nesterov?: boolean;
    };

/** Names of a group's state, as torch's state_dict has them. */
export function stateNames(optimizer: OptimizerOptions): readonly string[] {
  if (optimizer.kind === "adamw") return ["exp_avg", "exp_avg_sq"];
  return (optimizer.momentum ?? 0) === 0 ? [] : ["momentum_buffer"];
}

/** Numbers that change from step to step, in this order, in the input `factors.<group>`. */
export interface StepFactors {
  readonly rate: number;
  readonly weightDecay: number;
  /** Updates so far, this one included. */
  readonly step: number;
}

/** Values of the input `factors.<group>` [4] at a step. */
export function factorsOf(optimizer: OptimizerOptions, at: StepFactors): Float32Array {
  const { rate, weightDecay, step } = at;
  if (optimizer.kind === "adamw") {
    const [first, second] = optimizer.betas ?? defaultBetas;
    const stepSize = rate / (1 - first ** step);
    return Float32Array.of(1 - rate * weightDecay, -stepSize, Math.sqrt(1 - second ** step), 0);
  }
  // The first step takes its gradient whole.
  const fresh = step === 1 ? 1 : 1 - (optimizer.dampening ?? 0);
  return Float32Array.of(weightDecay, -rate, fresh, 0);
}

export const defaultBetas = [0.9, 0.999] as const;
export const defaultEpsilon = 1e-8;

/**
 * Inputs, for each group i: `parameters.i`, `gradients.i`, `<state>.i` [size] and `factors.i` [4];
 * `limit` [1], the largest norm of all gradients together (infinite for none).
 * Outputs: `next.parameters.i`, `next.<state>.i`, and `norm` [1] before clipping.
 */
export function updateGraph(groups: number, optimizer: OptimizerOptions): Graph {
  const g = new GraphBuilder();
  const places = Array.from({ length: groups }, (_, i) => declare(g, i, optimizer));
  const norm = globalNorm(
    g,
    places.map(({ gradients }) => gradients),
  );
  // torch.nn.utils.clip_grad_norm_
  const limit = g.input("limit", "float32", [1]);
  const quotient = g.div(limit, g.add(norm, g.scalar(1e-6)));
  const factor = g.node("Min", [quotient, g.scalar(1)])[0];
  for (const place of places) {
    const clipped = { ...place, gradients: g.mul(place.gradients, factor) };
    if (optimizer.kind === "adamw") adamw(g, clipped, optimizer);
    else sgd(g, clipped, optimizer);
  }
  g.output(norm, "norm", "float32", [1]);
  return g.build("update");
}

interface GroupPlace {
  readonly index: number;
  readonly size: string;
  readonly parameters: Value;
  readonly gradients: Value;
  readonly state: readonly Value[];
  readonly factors: readonly Value[];
}

function declare(g: GraphBuilder, index: number, optimizer: OptimizerOptions): GroupPlace {
  const size = `size.${index}`;
  const vector = (name: string): Value => g.input(`${name}.${index}`, "float32", [size]);
  return {
    index,
    size,
    parameters: vector("parameters"),
    gradients: vector("gradients"),
    state: stateNames(optimizer).map(vector),
    factors: g.split(g.input(`factors.${index}`, "float32", [4]), [1, 1, 1, 1], 0),
  };
}

function globalNorm(g: GraphBuilder, gradients: readonly Value[]): Value {
  const squares = gradients.map((each) => g.node("ReduceSumSquare", [each, g.int64s([0])])[0]);
  return g.node("Sqrt", [squares.reduce((sum, each) => g.add(sum, each))])[0];
}

/** torch/optim/adamw.py, _single_tensor_adamw, in its order of operations. */
function adamw(
  g: GraphBuilder,
  place: GroupPlace,
  { betas = defaultBetas, epsilon = defaultEpsilon }: OptimizerOptions & { kind: "adamw" },
): void {
  const { gradients, parameters } = place;
  const [average, squared] = place.state as [Value, Value];
  const [decay, stepSize, correction] = place.factors as [Value, Value, Value];
  const nextAverage = g.add(average, g.scale(g.sub(gradients, average), 1 - betas[0]));
  const fresh = g.scale(g.mul(gradients, gradients), 1 - betas[1]);
  const nextSquared = g.add(g.scale(squared, betas[1]), fresh);
  const root = g.node("Sqrt", [nextSquared])[0];
  const denominator = g.add(g.div(root, correction), g.scalar(epsilon));
  const change = g.div(g.mul(nextAverage, stepSize), denominator);
  emit(g, place, "parameters", g.add(g.mul(parameters, decay), change));
  emit(g, place, "exp_avg", nextAverage);
  emit(g, place, "exp_avg_sq", nextSquared);
}

/** torch/optim/sgd.py, _single_tensor_sgd. */
function sgd(
  g: GraphBuilder,
  place: GroupPlace,
  { momentum = 0, nesterov = false }: OptimizerOptions & { kind: "sgd" },
): void {
  const { parameters, gradients, factors } = place;
  const [weightDecay, step, fresh] = factors as [Value, Value, Value];
  const decayed = g.add(gradients, g.mul(parameters, weightDecay));
  const [buffer] = place.state;
  let change = decayed;
  if (buffer !== undefined) {
    const next = g.add(g.scale(buffer, momentum), g.mul(decayed, fresh));
    change = nesterov ? g.add(decayed, g.scale(next, momentum)) : next;
    emit(g, place, "momentum_buffer", next);
  }
  emit(g, place, "parameters", g.add(parameters, g.mul(change, step)));
}

function emit(g: GraphBuilder, { index, size }: GroupPlace, name: string, value: Value): void {
  g.output(value, `next.${name}.${index}`, "float32", [size]);
}
