import assert from "node:assert/strict";
import { cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import * as path from "node:path";
import { after, test } from "node:test";
import { loadBaseModel } from "../../../extension/core/baseModel.ts";
import { PeftModel } from "../../../extension/core/peftModel.ts";
import { openSafetensors } from "../../../extension/core/safetensors/read.ts";
import { type Factors, logitsOf, makeFactors, tinyLlama, writeLora } from "./peft/tinyLlama.ts";
import { difference, failure, fixtures, temporaryFolder } from "./support.ts";

// Ids are looked for in the cache alone.
process.env["HF_HUB_OFFLINE"] = "1";

const base = await loadBaseModel(tinyLlama);
after(() => base.session.dispose());

const query = "model.layers.0.self_attn.q_proj";
const own = [{ name: "default", weight: 1 }];
const factors = makeFactors({ [query]: 2 });

/** The same factors under other names of their modules. */
function renamed(from: string, to: string): Map<string, Factors> {
  return new Map([...factors].map(([module, each]) => [module.replace(from, to), each]));
}

async function plainLogits(folder: string): Promise<Float32Array> {
  return logitsOf(await PeftModel.fromPretrained(base, folder), own);
}

test("keyMapping leads tensors to their modules, and saving keeps PEFT's names", async (t) => {
  const folder = await temporaryFolder(t);
  const plain = await writeLora(path.join(folder, "plain"), factors);
  const moved = renamed("model.", "model.language_model.");
  const other = await writeLora(path.join(folder, "moved"), moved, { target_modules: [query] });
  const keyMapping = { "^model\\.language_model": "model" };
  await assert.rejects(
    PeftModel.fromPretrained(base, other),
    failure("misfit", "0 of 2 modules bound", "other versions of transformers", "keyMapping"),
  );
  const model = await PeftModel.fromPretrained(base, other, { keyMapping });
  assert.deepEqual(await logitsOf(model, own), await plainLogits(plain));
  const saved = path.join(folder, "saved");
  await model.savePretrained(saved);
  assert.deepEqual(await plainLogits(saved), await plainLogits(plain));
});

test("a config given as fields or as a folder takes the place of the file's", async (t) => {
  const folder = await temporaryFolder(t);
  const plain = await writeLora(path.join(folder, "plain"), factors);
  const strong = await writeLora(path.join(folder, "strong"), factors, { lora_alpha: 16 });
  const wanted = await plainLogits(strong);
  const fields = JSON.parse(
    await readFile(path.join(strong, "adapter_config.json"), "utf8"),
  ) as Record<string, unknown>;
  const byFolder = await PeftModel.fromPretrained(base, plain, { config: strong });
  assert.deepEqual(await logitsOf(byFolder, own), wanted);
  await rm(path.join(plain, "adapter_config.json"));
  const config = { ...fields, lora_moon: 1 };
  const byFields = await PeftModel.fromPretrained(base, plain, { config });
  assert.deepEqual(await logitsOf(byFields, own), wanted);
  assert.match(byFields.adapters[0]?.warnings.join() ?? "", /does not know: lora_moon/);
  const wrong = PeftModel.fromPretrained(base, plain, { config: { ...fields, r: "2" } });
  await assert.rejects(wrong, failure("bad-file", "the config given", '"r"'));
  const saved = path.join(folder, "saved");
  await byFields.savePretrained(saved);
  const text = await readFile(path.join(saved, "adapter_config.json"), "utf8");
  assert.equal((JSON.parse(text) as { lora_moon: number }).lora_moon, 1);
});

test("an id leads into the cache: branch, tag, commit, subfolder, and nothing else", async (t) => {
  const folder = await temporaryFolder(t);
  const cacheDir = path.join(folder, "cache");
  const repo = path.join(cacheDir, "models--org--mine");
  const commits = { main: "a".repeat(40), v1: "b".repeat(40) };
  const ranks = { main: 2, v1: 3 };
  await mkdir(path.join(repo, "refs/refs/pr"), { recursive: true });
  for (const name of ["main", "v1"] as const) {
    await writeFile(path.join(repo, "refs", name), commits[name]);
    const place = path.join(repo, "snapshots", commits[name], name === "v1" ? "inner" : "");
    await writeLora(place, makeFactors({ [query]: ranks[name] }));
  }
  await writeFile(path.join(repo, "refs/refs/pr/7"), commits.main);
  const load = async (options: object): Promise<number> => {
    const model = await PeftModel.fromPretrained(base, "org/mine", { cacheDir, ...options });
    return (model.adapters[0]?.weights.parameters ?? 0) / 128;
  };
  assert.equal(await load({}), 2);
  assert.equal(await load({ revision: "refs/pr/7" }), 2);
  assert.equal(await load({ revision: "v1", subfolder: "inner" }), 3);
  assert.equal(await load({ revision: commits.v1, subfolder: "inner" }), 3);
  const says = ["hf download org/mine", cacheDir];
  await assert.rejects(load({ revision: "v9" }), failure("not-found", "revision v9", ...says));
  await assert.rejects(load({ revision: "../../x" }), failure("not-found"));
  const none = PeftModel.fromPretrained(base, "org/none", { cacheDir });
  await assert.rejects(none, failure("not-found", "org/none", "neither a folder nor in"));
});

test("HF_HUB_CACHE says where the cache is", async (t) => {
  const folder = await temporaryFolder(t);
  await writeLora(path.join(folder, "models--org--mine/snapshots/c"), factors);
  const before = process.env["HF_HUB_CACHE"];
  process.env["HF_HUB_CACHE"] = folder;
  t.after(() => {
    if (before === undefined) delete process.env["HF_HUB_CACHE"];
    else process.env["HF_HUB_CACHE"] = before;
  });
  const model = await PeftModel.fromPretrained(base, "org/mine");
  assert.equal(model.adapters.length, 1);
});

test("an adapter to train on keeps fp32 copies and counts as trainable; its file stays", async (t) => {
  const half = path.join(fixtures, "adapters/llama/lora_bf16_file_on_f32_base");
  const model = await PeftModel.fromPretrained(base, half, { isTrainable: true });
  const [{ working, weights, checkpoint } = assert.fail()] = model.adapters;
  const values = [...(working?.values() ?? [])].reduce((sum, { data }) => sum + data.length, 0);
  assert.equal(values, weights.parameters);
  assert.equal(model.getNbTrainableParameters().trainable, weights.parameters);
  const folder = await temporaryFolder(t);
  await model.savePretrained(folder);
  const { tensors } = await openSafetensors(path.join(folder, "adapter_model.safetensors"));
  assert(tensors.every(({ dtype }) => dtype === "BF16"));
  const config = await readFile(path.join(folder, "adapter_config.json"), "utf8");
  assert.match(config, /"inference_mode": true/);
  const frozen = await PeftModel.fromPretrained(base, checkpoint.dir);
  assert.equal(frozen.adapters[0]?.working, null);
  assert.equal(frozen.getNbTrainableParameters().trainable, 0);
});

test("a prompt cannot be loaded to train on, as in PEFT", async () => {
  const prompt = path.join(fixtures, "adapters/llama/prompt_tuning_text");
  const refused = PeftModel.fromPretrained(base, prompt, { isTrainable: true });
  await assert.rejects(refused, failure("bad-request", "PROMPT_TUNING"));
});

test("tensors of another shape are left out when that is asked for", async (t) => {
  const folder = await temporaryFolder(t);
  const wide = { rank: 2, a: new Float32Array(2 * 80).fill(1), b: new Float32Array(64 * 2) };
  const value = "model.layers.0.self_attn.v_proj";
  const both = new Map([...makeFactors({ [value]: 2 }), [query, wide]]);
  await writeLora(folder, both);
  const other = failure("misfit", "another base: 80 instead of 64 inputs");
  await assert.rejects(PeftModel.fromPretrained(base, folder), other);
  const model = await PeftModel.fromPretrained(base, folder, { ignoreMismatchedSizes: true });
  const [{ report, warnings } = assert.fail()] = model.adapters;
  assert.deepEqual([report.bound, report.unbound], [[value], [query]]);
  assert.match(warnings.join(), /stay as in the base/);
});

test("a raw PiSSA adapter beside another one is warned of, as in PEFT", async (t) => {
  const folder = await writeLora(await temporaryFolder(t), factors);
  const pissa = path.join(fixtures, "adapters/llama/pissa_raw");
  const model = await PeftModel.fromPretrained(base, pissa);
  assert.doesNotMatch(model.adapters[0]?.warnings.join() ?? "", /raw pissa/);
  const { warnings } = await model.loadAdapter(folder, { adapterName: "other" });
  assert.match(warnings.join(), /raw pissa adapter takes its part out of the base/);
});

test("what means nothing here changes nothing", async (t) => {
  const folder = await writeLora(await temporaryFolder(t), factors);
  const idle = {
    autocastAdapterDtype: false,
    lowCpuMemUsage: true,
    ephemeralGpuOffload: true,
    torchDevice: "cuda",
    useSafetensors: false,
    token: "secret",
    localFilesOnly: true,
  };
  const model = await PeftModel.fromPretrained(base, folder, idle);
  assert.deepEqual(await logitsOf(model, own), await plainLogits(folder));
  assert.deepEqual(model.adapters[0]?.warnings, []);
});

test("an adapter's folder is its base with the adapter attached", async (t) => {
  const folder = await temporaryFolder(t);
  await cp(tinyLlama, path.join(folder, "models/tiny"), { recursive: true });
  const names = { base_model_name_or_path: "/elsewhere/models/tiny" };
  const adapter = await writeLora(path.join(folder, "adapters/mine"), factors, names);
  const model = new PeftModel(await loadBaseModel(adapter));
  t.after(() => model.dispose());
  assert.equal(model.base.checkpoint.dir, path.join(folder, "models/tiny"));
  assert.deepEqual(model.activeAdapters, own);
  assert(difference(await logitsOf(model, own), await plainLogits(adapter)) === 0);
});

test("a folder of several adapters says which there are", async (t) => {
  const folder = await temporaryFolder(t);
  for (const name of ["one", "two"]) await writeLora(path.join(folder, name), factors);
  const unclear = PeftModel.fromPretrained(base, folder);
  await assert.rejects(unclear, failure("not-found", folder, "subfolders: one, two"));
});

test("a base that is nowhere is an error that says where it was looked for", async (t) => {
  const folder = await temporaryFolder(t);
  const cacheDir = path.join(folder, "cache");
  const names = { base_model_name_or_path: "org/base", revision: "v2" };
  const adapter = await writeLora(path.join(folder, "a"), factors, names);
  const tried = [path.join(adapter, "org/base"), path.join(folder, "base"), "org/base at v2"];
  const lost = failure("not-found", "Base model", "org/base", ...tried, cacheDir);
  await assert.rejects(loadBaseModel(adapter, { cacheDir }), lost);
  const mute = await writeLora(path.join(folder, "b"), factors);
  await assert.rejects(loadBaseModel(mute), failure("not-found", "names none"));
});
