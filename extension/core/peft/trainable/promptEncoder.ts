/** Small networks that make a prompt in training (torch.nn): their numbers, and what they compute. */
import type { GraphBuilder } from "../../onnx/builder.ts";
import type { Value } from "../../onnx/graph.ts";
import type { TorchGenerator } from "../../base/torchRandom.ts";
import { newLinear } from "./draws.ts";
import type { PromptTensor } from "./promptForm.ts";

/** A layer `nn.Linear(in, out)` of a network, by its name in PEFT. */
export interface Linear {
  readonly name: string;
  readonly in: number;
  readonly out: number;
}

type Own = (name: string) => Value;

export function linearTensors({ name, in: inputs, out }: Linear): PromptTensor[] {
  return [
    { name: `${name}.weight`, shape: [out, inputs], isTrained: true },
    { name: `${name}.bias`, shape: [out], isTrained: true },
  ];
}

export function linearValues(
  random: TorchGenerator,
  { name, in: inputs, out }: Linear,
): [string, Float32Array][] {
  const { weight, bias } = newLinear(random, [out, inputs]);
  return [
    [`${name}.weight`, weight],
    [`${name}.bias`, bias],
  ];
}

/** x [rows, in] → W x + b [rows, out]. */
export function linear(g: GraphBuilder, x: Value, at: { name: string; own: Own }): Value {
  const product = g.matMul(x, g.transpose(at.own(`${at.name}.weight`), [1, 0]));
  return g.add(product, at.own(`${at.name}.bias`));
}

/** `nn.LSTM(in, hidden, layers, bidirectional=True)` over one sequence. */
export interface Lstm {
  readonly name: string;
  readonly in: number;
  readonly hidden: number;
  readonly layers: number;
}

const directions = ["", "_reverse"] as const;

export function lstmTensors({ name, in: inputs, hidden, layers }: Lstm): PromptTensor[] {
  return Array.from({ length: layers }, (_, layer) => layer).flatMap((layer) =>
    directions.flatMap((direction) => {
      const width = layer === 0 ? inputs : 2 * hidden;
      const tensor = (part: string, shape: number[]): PromptTensor => ({
        name: `${name}.${part}_l${layer}${direction}`,
        shape,
        isTrained: true,
      });
      return [
        tensor("weight_ih", [4 * hidden, width]),
        tensor("weight_hh", [4 * hidden, hidden]),
        tensor("bias_ih", [4 * hidden]),
        tensor("bias_hh", [4 * hidden]),
      ];
    }),
  );
}

/** All uniform within ± 1 / √hidden. */
export function lstmValues(random: TorchGenerator, lstm: Lstm): [string, Float32Array][] {
  const bound = 1 / Math.sqrt(lstm.hidden);
  return lstmTensors(lstm).map(({ name, shape }) => {
    const count = shape.reduce((product, size) => product * size, 1);
    return [name, random.uniform(count, -bound, bound)];
  });
}

/** x [steps, in] → states of both directions side by side [steps, 2 · hidden]. */
export function lstm(
  g: GraphBuilder,
  x: Value,
  { name, hidden, layers, steps, own }: Lstm & { steps: number; own: Own },
): Value {
  let rows = x;
  for (let layer = 0; layer < layers; layer++) {
    const ways = directions.map((direction) => {
      const parameter = (part: string): Value => own(`${name}.${part}_l${layer}${direction}`);
      const bias = g.add(parameter("bias_ih"), parameter("bias_hh"));
      const fed = g.add(g.matMul(rows, g.transpose(parameter("weight_ih"), [1, 0])), bias);
      const states = recurrence(g, fed, {
        back: g.transpose(parameter("weight_hh"), [1, 0]),
        steps,
        hidden,
        isReverse: direction !== "",
      });
      return g.concat(states, 0);
    });
    rows = g.concat(ways, 1);
  }
  return rows;
}

/**
 * c = σ(f) c + σ(i) tanh(g), h = σ(o) tanh(c), gates in torch's order i, f, g, o.
 * @param fed gates of the input with both biases [steps, 4 · hidden]
 * @returns h [1, hidden] of every step, in the sequence's order
 */
function recurrence(
  g: GraphBuilder,
  fed: Value,
  at: { back: Value; steps: number; hidden: number; isReverse: boolean },
): Value[] {
  const { steps, hidden } = at;
  const rows = g.split(fed, Array<number>(steps).fill(1), 0);
  const order = rows.map((row, place) => ({ row, place }));
  if (at.isReverse) order.reverse();
  const states: Value[] = [];
  let state: { h: Value; c: Value } | null = null;
  for (const { row, place } of order) {
    const gates: Value = state === null ? row : g.add(row, g.matMul(state.h, at.back));
    const [i, f, cell, o] = g.split(gates, Array<number>(4).fill(hidden), 1) as [
      Value,
      Value,
      Value,
      Value,
    ];
    const added: Value = g.mul(g.sigmoid(i), g.tanh(cell));
    const c: Value = state === null ? added : g.add(g.mul(g.sigmoid(f), state.c), added);
    state = { h: g.mul(g.sigmoid(o), g.tanh(c)), c };
    states[place] = state.h;
  }
  return states;
}
