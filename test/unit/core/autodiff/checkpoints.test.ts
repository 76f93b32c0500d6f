import assert from "node:assert/strict";
import { test } from "node:test";
import { withGradients } from "../../../../extension/core/autodiff/withGradients.ts";
import { GraphBuilder } from "../../../../extension/core/onnx/builder.ts";
import { reduce } from "../../../../extension/core/onnx/calculus.ts";
import type { Graph, Value } from "../../../../extension/core/onnx/graph.ts";
import { float32Tensor, OrtSession } from "../../../../extension/core/session/ortSession.ts";
import { difference } from "../support.ts";
import { numbers } from "./check.ts";

const [layers, width] = [4, 8];

/** A stack of blocks x + tanh(x · w) · dropped noise, and its loss. */
function stack(): { graph: Graph; loss: Value; wrt: Value[]; borders: Value[] } {
  const g = new GraphBuilder();
  let x = g.input("x", "float32", ["batch", width]);
  const noise = g.input("noise", "float32", ["batch", width]);
  const scale = g.mul(noise, noise);
  const [wrt, borders]: [Value[], Value[]] = [[], []];
  for (let layer = 0; layer < layers; layer++) {
    const w = g.input(`w${layer}`, "float32", [width, width]);
    wrt.push(w);
    borders.push(x);
    const made = g.scope(`block.${layer}`, () => {
      const inner = g.mul(g.tanh(g.matMul(x, w)), scale);
      const kept = g.node("RandomUniformLike", [inner])[0];
      // Random numbers without influence: a second draw would be seen as a node, not in numbers.
      return g.add(g.mul(inner, g.add(g.mul(kept, g.scalar(0)), g.scalar(1))), x);
    });
    x = made;
  }
  const loss = reduce(g, "ReduceSum", { x: g.mul(x, x), axes: [0, 1], keep: false });
  g.output(loss, "loss", "float32", []);
  return { graph: g.build("stack"), loss, wrt, borders };
}

async function gradientsOf(graph: Graph, wrt: readonly Value[]): Promise<Float32Array[]> {
  const session = await OrtSession.create(graph, { threads: 1 });
  try {
    const feeds = Object.fromEntries(
      graph.inputs.map(({ name, shape }, i) => {
        const dims = shape.map((size) => (typeof size === "number" ? size : 3));
        return [name, float32Tensor(numbers((dims[0] as number) * width, i + 1), dims)];
      }),
    );
    const results = await session.run(feeds);
    return wrt.map((name) => results[`grad.${name}`]?.data as Float32Array);
  } finally {
    await session.dispose();
  }
}

test("blocks that are computed again give the same gradients, bit for bit", async () => {
  const { graph, loss, wrt, borders } = stack();
  const plain = withGradients(graph, { loss, wrt });
  const again = withGradients(graph, { loss, wrt, checkpoints: borders });
  const [expected, own] = [await gradientsOf(plain, wrt), await gradientsOf(again, wrt)];
  for (const [i, gradient] of own.entries()) {
    assert.equal(difference(gradient, expected[i] as Float32Array), 0);
    assert(gradient.some((each) => each !== 0));
  }
});

test("behind the last border nothing of a block's inside is read by the backward part", () => {
  const { graph, loss, wrt, borders } = stack();
  const { nodes } = withGradients(graph, { loss, wrt, checkpoints: borders });
  const inside = new Map(
    graph.nodes.flatMap(({ name, outputs, op }) =>
      outputs.map((output) => [output as string, { layer: /^block\.(\d)/.exec(name)?.[1], op }]),
    ),
  );
  const read = nodes
    .filter(({ name }) => name.startsWith("grad/"))
    .flatMap(({ inputs }) => inputs.filter((name) => !borders.includes(name as Value)))
    .flatMap((name) => {
      const { layer, op } = inside.get(name) ?? {};
      return layer === undefined || Number(layer) === layers - 1 ? [] : [op];
    });
  // A second draw would be another mask.
  assert.deepEqual([...new Set(read)], ["RandomUniformLike"]);
  const count = (op: string): number => nodes.filter((node) => node.op === op).length;
  assert.equal(count("RandomUniformLike"), layers);
  assert.equal(count("Tanh"), 2 * layers - 1);
});
