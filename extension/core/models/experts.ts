/**
 * Mixture of experts: a router gives each token some experts, and what they make of it is added up by
 * the router's weights (transformers mixtral, qwen2_moe). Rows of one expert are put together, so
 * that each expert is one product over its rows and costs nothing where none chose it.
 */
import { type ExpertParameter, type ExpertStack, expertTensor } from "../checkpoint/modules.ts";
import type { ExpertChoice } from "../onnx/layerHook.ts";
import type { Value } from "../onnx/graph.ts";
import { largest, matches, reshapeTo, shapeOf, sortedPlaces, sum } from "../onnx/routing.ts";
import type { Activation } from "./activations.ts";
import type { DecoderShape } from "./decoderShape.ts";
import { expertParts } from "./expertWeights.ts";
import { linear } from "./mlp.ts";
import type { ModelBuilder } from "./modelBuilder.ts";

export interface ExpertShape {
  readonly hidden: number;
  /** Inner size of one expert. */
  readonly inner: number;
  readonly count: number;
  /** How many experts a token has. */
  readonly perToken: number;
  /** The weights of a token's experts add up to 1. */
  readonly isNormalised: boolean;
  readonly activation: Activation;
  /** Name of the router in the block; "gate" when absent. */
  readonly router?: string;
  /** PyTorch's module has the experts before the router (Qwen 3). */
  readonly expertsFirst?: boolean;
}

type Mlp = DecoderShape["mlp"];

/** Rows of tokens, one for each pair of a token and an expert, sorted by expert. */
interface Sorted {
  readonly choice: ExpertChoice;
  /** The pair of each row, and the row of each pair. [pairs of the batch] */
  readonly pairs: Value;
  readonly rows: Value;
  /** How many rows each expert has, [experts]. */
  readonly counts: Value;
}

/** Σ weight · down(activation(gate(x)) · up(x)) over a token's experts, [batch, seq, hidden]. */
export function expertMlp(shape: ExpertShape): Mlp {
  return (m, { path, x }) => {
    const { g } = m;
    const { hidden, count, inner } = shape;
    const stack: ExpertStack = {
      path: `${path}.experts`,
      count,
      parameters: [
        matrix("gate_up_proj", [hidden, 2 * inner]),
        matrix("down_proj", [inner, hidden]),
      ],
      place: m.modules.length + (shape.expertsFirst ? 0 : 1),
    };
    m.experts.push(stack);
    const router = {
      ...linear(`${path}.${shape.router ?? "gate"}`, [hidden, count], false),
      isParameter: true,
    };
    const scores = m.linears(x, [router]);
    return g.scope(stack.path, () => {
      const [values, chosen] = largest(g, g.softmax(scores), shape.perToken);
      const weights = shape.isNormalised
        ? g.div(values, sum(g, values, { axis: -1, keep: true }))
        : values;
      const sorted = sortByExpert(m, chosen, shape);
      const opened = openRows(m, shape, { x, stack, sorted });
      const made = closeRows(m, shape, { opened, stack, sorted });
      const perExpert = reshapeTo(g, made, [shapeOf(g, chosen), g.int64s([hidden])]);
      return sum(g, g.mul(perExpert, g.unsqueeze(weights, -1)), { axis: 2 });
    });
  };
}

function matrix(
  name: keyof typeof expertParts,
  [inputs, out]: readonly [number, number],
): ExpertParameter {
  return { name, in: inputs, out, parts: expertParts[name] };
}

function sortByExpert(m: ModelBuilder, chosen: Value, { count }: ExpertShape): Sorted {
  const { g } = m;
  const experts = g.reshape(chosen, [-1]);
  const pairs = sortedPlaces(g, experts);
  const each = g.reshape(g.int64s(Array.from({ length: count }, (_, i) => i)), [-1, 1]);
  return {
    choice: { chosen, pairs: g.reshape(chosen, [0, -1]) },
    pairs,
    rows: sortedPlaces(g, pairs),
    counts: sum(g, matches(g, [g.unsqueeze(experts, 0), each], "int64"), { axis: 1 }),
  };
}

/** activation(gate(x)) · up(x) of the sorted rows, [pairs of the batch, inner]. */
function openRows(
  m: ModelBuilder,
  { hidden, inner, perToken, activation }: ExpertShape,
  { x, stack, sorted }: { x: Value; stack: ExpertStack; sorted: Sorted },
): Value {
  const { g } = m;
  const tokens = g.div(sorted.pairs, g.int64s([perToken]));
  const rows = g.gather(g.reshape(x, [-1, hidden]), tokens);
  const [gateUp] = stack.parameters as [ExpertParameter];
  const base = ["gate_proj", "up_proj"].map((part) =>
    product(m, rows, { stack, part, size: [hidden, inner], counts: sorted.counts }),
  );
  const update = m.expertUpdate(stack, gateUp, { x, of: "tokens", choice: sorted.choice });
  const [gate, up] = base as [Value, Value];
  if (update === null) return g.mul(activation(g, gate), up);
  const own = g.gather(g.reshape(update, [-1, 2 * inner]), sorted.pairs);
  const [toGate, toUp] = g.split(own, [inner, inner], -1) as [Value, Value];
  return g.mul(activation(g, g.add(gate, toGate)), g.add(up, toUp));
}

/** down(opened) in the order of the pairs, [pairs of the batch, hidden]. */
function closeRows(
  m: ModelBuilder,
  { hidden, inner }: ExpertShape,
  { opened, stack, sorted }: { opened: Value; stack: ExpertStack; sorted: Sorted },
): Value {
  const { g } = m;
  const { choice, counts, rows } = sorted;
  const [, down] = stack.parameters as [ExpertParameter, ExpertParameter];
  const at = { stack, part: "down_proj", size: [inner, hidden], counts } as const;
  const made = g.gather(product(m, opened, at), rows);
  const sizes = [shapeOf(g, choice.pairs), g.int64s([inner])];
  const update = m.expertUpdate(stack, down, {
    x: reshapeTo(g, g.gather(opened, rows), sizes),
    of: "pairs",
    choice,
  });
  return update === null ? made : g.add(made, g.reshape(update, [-1, hidden]));
}

/** Every expert's own rows times its weight. */
function product(
  m: ModelBuilder,
  rows: Value,
  at: {
    stack: ExpertStack;
    part: string;
    size: readonly [number, number];
    counts: Value;
  },
): Value {
  const { stack, part, size, counts } = at;
  const own = m.g.splitBy(rows, counts, { parts: stack.count, axis: 0 });
  return m.g.concat(
    own.map((x, expert) => {
      const path = expertTensor(stack, expert, part).replace(/\.weight$/, "");
      return m.product(x, linear(path, size, false));
    }),
    0,
  );
}
