import assert from "node:assert/strict";
import { withGradients } from "../../../../extension/core/autodiff/withGradients.ts";
import { GraphBuilder } from "../../../../extension/core/onnx/builder.ts";
import { reduce } from "../../../../extension/core/onnx/calculus.ts";
import type { Graph, Value } from "../../../../extension/core/onnx/graph.ts";
import {
  float32Tensor,
  int64Tensor,
  OrtSession,
  type Tensor,
} from "../../../../extension/core/session/ortSession.ts";

/** An input: its shape, its numbers (random ones without), names of sizes that a run chooses. */
export interface Input {
  readonly shape: readonly number[];
  readonly data?: readonly number[];
  /** What the graph is told of the shape; the sizes themselves without. */
  readonly dims?: readonly (number | string)[];
  /** Integers: no gradient is asked for. */
  readonly isInt?: boolean;
}

/** A formula of inputs, whose gradients are compared with differences. */
export interface GradientCase {
  readonly name: string;
  readonly inputs: Readonly<Record<string, Input>>;
  build(g: GraphBuilder, x: Readonly<Record<string, Value>>): Value;
}

/** Numbers in [-1, 1] that look random and are always the same. */
export function numbers(count: number, seed = 1): Float32Array {
  let state = seed * 2654435761;
  return Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state / 2 ** 32) * 2 - 1;
  });
}

export function count(shape: readonly number[]): number {
  return shape.reduce((all, size) => all * size, 1);
}

/** The case's graph with outputs `y` and the loss Σ y · weights, and that graph with gradients. */
export function graphs({ inputs, build }: GradientCase): {
  plain: Graph;
  full: Graph;
  wrt: Value[];
} {
  const make = (isFull: boolean): { graph: Graph; loss: Value } => {
    const g = new GraphBuilder();
    const x = Object.fromEntries(
      Object.entries(inputs).map(([name, { shape, dims = shape, isInt }]) => [
        name,
        g.input(name, isInt ? "int64" : "float32", dims),
      ]),
    );
    const y = build(g, x);
    const flat = g.reshape(y, [-1]);
    if (!isFull) {
      g.output(flat, "y", "float32", ["n"]);
      return { graph: g.build("case"), loss: flat };
    }
    const weighted = g.mul(flat, g.input("weights", "float32", ["n"]));
    const loss = reduce(g, "ReduceSum", { x: weighted, axes: [0], keep: false });
    g.output(loss, "loss", "float32", []);
    return { graph: g.build("case"), loss };
  };
  const wrt = Object.keys(inputs).filter((name) => !inputs[name]?.isInt) as Value[];
  const { graph, loss } = make(true);
  return { plain: make(false).graph, full: withGradients(graph, { loss, wrt }), wrt };
}

/** Compares every entry of every gradient with a difference of the fourth order. */
export async function checkGradients(one: GradientCase): Promise<void> {
  const { plain, full, wrt } = graphs(one);
  const feeds = Object.fromEntries(
    Object.entries(one.inputs).map(([name, { shape, data, isInt }], i): [string, Tensor] => [
      name,
      isInt
        ? int64Tensor(data ?? [], shape)
        : float32Tensor(data ? Float32Array.from(data) : numbers(count(shape), i + 1), shape),
    ]),
  );
  const forward = await OrtSession.create(plain, { threads: 1 });
  const backward = await OrtSession.create(full, { threads: 1 });
  try {
    const run = async (): Promise<Float32Array> =>
      (await forward.run(feeds))["y"]?.data as Float32Array;
    const n = (await run()).length;
    const weights = numbers(n, 99);
    const made = await backward.run({ ...feeds, weights: float32Tensor(weights, [n]) });
    const dot = (y: Float32Array): number =>
      y.reduce((sum, each, i) => sum + each * (weights[i] as number), 0);
    for (const name of wrt) {
      const gradient = made[`grad.${name}`];
      assert.deepEqual(gradient?.dims, one.inputs[name]?.shape, `${name}: shape`);
      const data = feeds[name]?.data as Float32Array;
      for (const [i, value] of data.entries()) {
        const at = async (step: number): Promise<number> => {
          data[i] = value + step;
          const loss = dot(await run());
          data[i] = value;
          return loss;
        };
        const h = 2 ** -6;
        const [one, two] = [(await at(h)) - (await at(-h)), (await at(2 * h)) - (await at(-2 * h))];
        const expected = (8 * one - two) / (12 * h);
        const own = (gradient?.data as Float32Array)[i] as number;
        const error = Math.abs(own - expected) / Math.max(1, Math.abs(expected));
        assert(error < 5e-4, `${name}[${i}]: ${own} instead of ${expected}`);
      }
    }
  } finally {
    await forward.dispose();
    await backward.dispose();
  }
}
