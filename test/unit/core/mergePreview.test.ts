import assert from "node:assert/strict";
import { copyFile, mkdir, readdir } from "node:fs/promises";
import * as path from "node:path";
import { test, type TestContext } from "node:test";
import { fromFloat32 } from "../../../extension/core/base/halfFloat.ts";
import { loadBaseModel } from "../../../extension/core/baseModel.ts";
import { openBaseCheckpoint } from "../../../extension/core/checkpoint/baseCheckpoint.ts";
import { lossyShare } from "../../../extension/core/mergePreview.ts";
import { PeftModel } from "../../../extension/core/peftModel.ts";
import { readFloat32 } from "../../../extension/core/safetensors/read.ts";
import { writeSafetensors } from "../../../extension/core/safetensors/write.ts";
import { makeFactors, tinyLlama, writeLora } from "./peft/tinyLlama.ts";
import { failure, temporaryFolder } from "./support.ts";

/** The tiny base in bf16. */
async function halfBase(folder: string): Promise<string> {
  await mkdir(folder);
  const { weights } = await openBaseCheckpoint(tinyLlama);
  const tensors = [...weights.values()].map((ref) => ({
    name: ref.name,
    shape: ref.shape,
    dtype: "BF16" as const,
    bytes: async () => {
      const values = (await readFloat32(ref.file, [ref])).get(ref.name) as Float32Array;
      return fromFloat32(values, "BF16");
    },
  }));
  await writeSafetensors(path.join(folder, "model.safetensors"), tensors);
  await copyFile(path.join(tinyLlama, "config.json"), path.join(folder, "config.json"));
  return folder;
}

/** A base in bf16 with an update of a usual size and with one that its steps cannot hold. */
async function twoSizes(t: TestContext): Promise<{ model: PeftModel; folder: string }> {
  const folder = await temporaryFolder(t);
  const model = new PeftModel(await loadBaseModel(await halfBase(path.join(folder, "base"))));
  t.after(() => model.dispose());
  const modules = Object.fromEntries(
    [0, 1].flatMap((layer) =>
      ["q_proj", "v_proj"].map((name) => [`model.layers.${layer}.self_attn.${name}`, 2]),
    ),
  );
  for (const [name, alpha] of [
    ["usual", 8],
    ["tiny", 0.001],
  ] as const) {
    const config = { lora_alpha: alpha };
    const dir = await writeLora(path.join(folder, name), makeFactors(modules), config);
    await model.loadAdapter(dir, { adapterName: name });
  }
  return { model, folder };
}

test("a preview says what rounding takes and writes nothing", async (t) => {
  const { model, folder } = await twoSizes(t);
  const before = await readdir(folder);
  const usual = await model.previewMerge({ adapters: [{ name: "usual", weight: 1 }] });
  assert.deepEqual([usual.total, usual.drift.length, usual.isLossy], [4, 4, false]);
  assert(usual.swallowed > 0 && usual.swallowed < 0.05, `${usual.swallowed}`);
  const steps: number[] = [];
  const tiny = await model.previewMerge({
    adapters: [{ name: "tiny", weight: 1 }],
    samples: 2,
    onProgress: ({ done = 0 }) => steps.push(done),
  });
  assert.deepEqual([tiny.total, tiny.drift.length, tiny.isLossy, steps], [4, 2, true, [0, 1]]);
  assert(tiny.swallowed > lossyShare && tiny.threshold === lossyShare);
  assert.deepEqual(
    tiny.drift.map(({ name }) => name),
    ["model.layers.0.self_attn.q_proj.weight", "model.layers.1.self_attn.v_proj.weight"],
  );
  const stopped = { signal: AbortSignal.abort(), adapters: [{ name: "usual", weight: 1 }] };
  await assert.rejects(model.previewMerge(stopped), failure("cancelled"));
  assert.deepEqual(await readdir(folder), before);
});

test("a merge that rounding would swallow is written only when that was agreed to", async (t) => {
  const { model, folder } = await twoSizes(t);
  const [adapters, target] = [[{ name: "tiny", weight: 1 }], path.join(folder, "merged")];
  const before = await readdir(folder);
  const lossy = failure("lossy-merge", "% of what the adapter changes", "allow a lossy merge");
  await assert.rejects(model.mergeAndUnload({ adapters, folder: target }), lossy);
  assert.deepEqual(await readdir(folder), before);
  const report = await model.mergeAndUnload({ adapters, folder: target, allowLossy: true });
  assert(report.swallowed > lossyShare && report.largest > 0);
  const usual = { adapters: [{ name: "usual", weight: 1 }], folder: path.join(folder, "usual2") };
  const fine = await model.mergeAndUnload(usual);
  const predicted = await model.previewMerge(usual);
  assert.deepEqual([fine.swallowed, fine.largest], [predicted.swallowed, predicted.largest]);
});

test("what is too large for the base's type is named", async (t) => {
  const { model, folder } = await twoSizes(t);
  const huge = { adapters: [{ name: "usual", weight: 3e39 }], folder: path.join(folder, "huge") };
  await assert.rejects(
    model.mergeAndUnload(huge),
    failure("bad-file", "model.layers.0.self_attn.q_proj.weight"),
  );
});
