import assert from "node:assert/strict";
import * as path from "node:path";
import { test } from "node:test";
import { describeBase, loadBaseModel } from "../../../../extension/core/baseModel.ts";
import { openBaseCheckpoint } from "../../../../extension/core/checkpoint/baseCheckpoint.ts";
import { readFloat32 } from "../../../../extension/core/safetensors/read.ts";
import { failure, fixtures } from "../support.ts";

const folder = path.join(fixtures, "models/gpt2");
const layer = "transformer.h.0.attn.c_attn.weight";

void test("a Conv1D weight stored [in, out] is read as [out, in]", async () => {
  const checkpoint = await openBaseCheckpoint(folder);
  const ref = checkpoint.weights.get(layer);
  assert(ref);
  const [inputs = 0, out = 0] = ref.shape;
  assert.equal(out, 3 * inputs);
  const stored = (await readFloat32(ref.file, [ref])).get(layer);
  const read = await describeBase(checkpoint).readTensor(layer);
  assert.equal(read?.[1], stored?.[out], "the second input of the first output");
  assert.equal(read?.[inputs], stored?.[1], "the first input of the second output");
});

void test("positions end where the model's do, by name", async (t) => {
  const base = await loadBaseModel(folder);
  t.after(() => base.session.dispose());
  const { contextLength } = base.session.model;
  const run = (count: number): Promise<unknown> =>
    base.session.with({ order: "" }, (session) =>
      session.forward(session.start(base.session.inputs([])), [Array<number>(count).fill(3)]),
    );
  await run(contextLength);
  await assert.rejects(run(contextLength + 1), failure("bad-request", String(contextLength)));
});
