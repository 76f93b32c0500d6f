import assert from "node:assert/strict";
import { test } from "node:test";
import { GraphBuilder } from "../../../../extension/core/onnx/builder.ts";
import { float32Tensor, OrtSession } from "../../../../extension/core/session/ortSession.ts";

const long = "model.layers.0.mlp.gate_proj+up_proj.lora_A";

test("inputs are fed, listed and told in errors by their own names", async () => {
  const g = new GraphBuilder();
  const product = g.mul(g.input("x", "float32", [2]), g.input(long, "float32", [2]));
  g.output(product, "y", "float32", [2]);
  const session = await OrtSession.create(g.build("product"));
  const two = float32Tensor(Float32Array.of(2, 3), [2]);
  assert.deepEqual(session.inputNames, ["x", long]);
  const { y } = await session.run({ x: two, [long]: two });
  assert.deepEqual([...(y?.data as Float32Array)], [4, 9]);
  // What was fed before does not stand in for it.
  await assert.rejects(session.run({ x: two }), (error: Error) => error.message.includes(long));
  const wide = float32Tensor(new Float32Array(3), [3]);
  await assert.rejects(session.run({ x: two, [long]: wide }), (error: Error) =>
    error.message.includes(long),
  );
  await session.dispose();
});
