import assert from "node:assert/strict";
import { mkdir, readdir, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { after, test, type TestContext } from "node:test";
import { loadBaseModel } from "../../../extension/core/baseModel.ts";
import { PeftModel } from "../../../extension/core/peftModel.ts";
import { logitsOf, makeFactors, tinyLlama, writeLora } from "./peft/tinyLlama.ts";
import { difference, failure, fixtures, temporaryFolder } from "./support.ts";

const base = await loadBaseModel(tinyLlama);
after(() => base.session.dispose());

const fixture = (name: string): string => path.join(fixtures, "adapters/llama", name);

/** Folders of merged weights that this process has now. */
async function mergedFolders(): Promise<string[]> {
  const all = await readdir(tmpdir());
  return all.filter((name) => name.startsWith(`graft-merged-${process.pid}-`));
}

async function twoAdapters(t: TestContext): Promise<{ model: PeftModel; folder: string }> {
  const folder = await temporaryFolder(t);
  const model = new PeftModel(base);
  t.after(() => model.unmergeAdapter());
  for (const [i, name] of ["a", "b"].entries()) {
    const modules = { "model.layers.0.self_attn.q_proj": 2, "model.layers.1.mlp.up_proj": 2 };
    const dir = await writeLora(path.join(folder, name), makeFactors(modules, i + 1));
    await model.loadAdapter(dir, { adapterName: name });
  }
  return { model, folder };
}

test("merged weights answer as the adapters do, and unmerging brings the base back exactly", async (t) => {
  const { model } = await twoAdapters(t);
  const bytes = await readFile(path.join(tinyLlama, "model.safetensors"));
  const [bare, a] = [await logitsOf(model), await logitsOf(model, [{ name: "a", weight: 1 }])];
  const half = [
    { name: "a", weight: 1 },
    { name: "b", weight: 0.5 },
  ];
  const both = await logitsOf(model, half);
  model.setAdapter("b");
  const report = await model.mergeAdapter("a");
  assert.deepEqual(report.adapters, ["a"]);
  assert.equal(report.drift.length, 2);
  assert.deepEqual(model.mergedAdapters, [{ name: "a", weight: 1 }]);
  assert.deepEqual(model.getModelStatus().mergedAdapters, ["a"]);
  assert((await mergedFolders()).length === 1);
  assert(difference(await logitsOf(model, model.mergedAdapters), a) < 1e-5);
  // More on top; what is merged already is not merged twice.
  assert.deepEqual((await model.mergeAdapter(half)).adapters, ["a", "b"]);
  assert(difference(await logitsOf(model, model.mergedAdapters), both) < 1e-5);
  assert((await mergedFolders()).length === 1, "the weights merged before are left behind");
  await model.unmergeAdapter();
  assert.deepEqual([model.mergedAdapters, await mergedFolders()], [[], []]);
  assert.deepEqual(model.activeAdapters, [{ name: "b", weight: 1 }]);
  assert.deepEqual(await logitsOf(model), bare);
  assert.deepEqual(await logitsOf(model, half), both);
  assert.deepEqual(await readFile(path.join(tinyLlama, "model.safetensors")), bytes);
});

test("while adapters are merged, what needs the base's weights is refused", async (t) => {
  const { model } = await twoAdapters(t);
  await model.mergeAdapter("a");
  const refused = failure("bad-request", '"a" is merged', "unmerge first");
  assert.throws(() => model.setAdapter("b"), refused);
  assert.throws(() => model.inputsOf([]), refused);
  assert.throws(() => model.inputsOfRows(["a", "__base__"]), refused);
  assert.throws(() => model.deleteAdapter("a"), refused);
  await assert.rejects(model.measureEffect(), refused);
  model.renameAdapter("a", "c");
  assert.deepEqual(model.mergedAdapters, [{ name: "c", weight: 1 }]);
  model.deleteAdapter("b");
  await model.unmergeAdapter();
  await model.unmergeAdapter();
  model.setAdapter("c");
});

test("embeddings, norms, tied heads and grown vocabularies merge as well", async (t) => {
  for (const [folder, name] of [
    ["llama-tied", "lora_embed_tokens"],
    ["llama", "lora_modules_to_save_norm"],
    ["llama", "lora_resized_vocab"],
  ] as const) {
    const own = await loadBaseModel(path.join(fixtures, "models", folder));
    const model = new PeftModel(own);
    t.after(() => model.dispose());
    await model.loadAdapter(path.join(fixtures, "adapters", folder, name), { adapterName: name });
    const active = [{ name, weight: 1 }];
    const [bare, before] = [await logitsOf(model), await logitsOf(model, active)];
    await model.mergeAdapter(name);
    assert(difference(await logitsOf(model, active), before) < 2e-5, name);
    // Loading another one builds the session anew, on the merged weights.
    await model.loadAdapter(path.join(fixtures, "adapters", folder, "dora_all_linear"), {
      adapterName: "dora",
    });
    assert(difference(await logitsOf(model, active), before) < 2e-5, name);
    await model.unmergeAdapter();
    assert(difference(await logitsOf(model), bare) === 0, name);
  }
});

test("what cannot be merged leaves everything as it was", async (t) => {
  const { model, folder } = await twoAdapters(t);
  await model.loadAdapter(fixture("prefix_tuning"), { adapterName: "prefix" });
  const factors = makeFactors({ "model.layers.0.self_attn.q_proj": 2 });
  const [broken = assert.fail()] = factors.values();
  broken.b[3] = NaN;
  await model.loadAdapter(await writeLora(path.join(folder, "nan"), factors), {
    adapterName: "nan",
  });
  await model.mergeAdapter("a");
  const merged = await logitsOf(model, model.mergedAdapters);
  await assert.rejects(model.mergeAdapter("prefix"), failure("unsupported", "before the prompt"));
  const notNumbers = failure("bad-file", "model.layers.0.self_attn.q_proj.weight", "NaN");
  await assert.rejects(model.mergeAdapter("nan"), notNumbers);
  const stopped = { signal: AbortSignal.abort() };
  await assert.rejects(model.mergeAdapter("b", stopped), failure("cancelled"));
  assert.deepEqual(model.mergedAdapters, [{ name: "a", weight: 1 }]);
  assert.deepEqual(await logitsOf(model, model.mergedAdapters), merged);
  assert.equal((await mergedFolders()).length, 1);
  // As PEFT's default: who wants NaN gets NaN.
  await model.mergeAdapter("nan", { safeMerge: false });
  assert((await logitsOf(model, model.mergedAdapters)).some(Number.isNaN));
  await model.unmergeAdapter();
  const options = { folder: path.join(folder, "written"), adapters: [{ name: "nan", weight: 1 }] };
  await assert.rejects(model.mergeAndUnload(options), notNumbers);
  assert(!(await readdir(folder)).some((name) => name.startsWith("written")));
});

test("weights that a killed process left behind are removed by the next merge", async (t) => {
  const { model } = await twoAdapters(t);
  // No process has this number: Linux counts to 4194304.
  const abandoned = path.join(tmpdir(), "graft-merged-99999999-x");
  await mkdir(abandoned, { recursive: true });
  await model.mergeAdapter("a");
  assert(!(await readdir(tmpdir())).includes(path.basename(abandoned)));
});
