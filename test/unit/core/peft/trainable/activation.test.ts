import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type ActivationName,
  activations,
} from "../../../../../extension/core/base/activations.ts";
import { GraphBuilder } from "../../../../../extension/core/onnx/builder.ts";
import { activation } from "../../../../../extension/core/peft/trainable/activation.ts";
import { float32Tensor, OrtSession } from "../../../../../extension/core/session/ortSession.ts";

test("every activation in a graph is the function of numbers", async (t) => {
  const g = new GraphBuilder();
  const x = g.input("x", "float32", [9]);
  const names = Object.keys(activations) as ActivationName[];
  for (const name of names)
    g.output(g.add(activation(g, name, x), g.scalar(0)), name, "float32", [9]);
  const session = await OrtSession.create(g.build("activations"), { threads: 1 });
  t.after(() => session.dispose());
  const points = Float32Array.of(-7, -3, -1.5, -0.2, 0, 0.3, 1.1, 3.5, 12);
  const made = await session.run({ x: float32Tensor(points, [9]) });
  for (const name of names) {
    points.forEach((point, i) => {
      const value = (made[name]?.data as Float32Array)[i] as number;
      const wanted = activations[name](point);
      assert(Math.abs(value - wanted) < 1e-5, `${name}(${point}): ${value} instead of ${wanted}`);
    });
  }
});
