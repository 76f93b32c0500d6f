import assert from "node:assert/strict";
import { cp, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import * as path from "node:path";
import { after, test } from "node:test";
import { loadBaseModel } from "../../../extension/core/baseModel.ts";
import { openAdapterCheckpoint } from "../../../extension/core/checkpoint/adapterCheckpoint.ts";
import { openTorchFile } from "../../../extension/core/checkpoint/torchFile.ts";
import { PeftModel } from "../../../extension/core/peftModel.ts";
import { openSafetensors, readTensors } from "../../../extension/core/safetensors/read.ts";
import { saveAdapter, type SaveOptions } from "../../../extension/core/savePretrained.ts";
import { allLogits } from "../../golden/models.ts";
import { integerRows, logitDifference, readTruths, type Truth } from "../../golden/truth.ts";
import { makeFactors, tinyLlama, writeLora } from "./peft/tinyLlama.ts";
import { failure, fixtures, temporaryFolder } from "./support.ts";

const base = await loadBaseModel(tinyLlama);
after(() => base.session.dispose());
const facts = { checkpoint: base.checkpoint, tree: base.adaptable.tree };
const query = "model.layers.0.self_attn.q_proj";
const [config, safetensors, bin] = [
  "adapter_config.json",
  "adapter_model.safetensors",
  "adapter_model.bin",
];

async function holdsOnly(folder: string, ...names: string[]): Promise<void> {
  assert.deepEqual((await readdir(folder)).sort(), names.sort());
}

async function json(folder: string): Promise<Record<string, unknown>> {
  const text = await readFile(path.join(folder, config), "utf8");
  return JSON.parse(text) as Record<string, unknown>;
}

test('"default" is saved in the folder itself, others below, one card for all', async (t) => {
  const folder = await temporaryFolder(t);
  const model = new PeftModel(base);
  for (const name of ["default", "b", "c"]) {
    const source = await writeLora(path.join(folder, "from", name), makeFactors({ [query]: 2 }));
    await model.loadAdapter(source, { adapterName: name });
  }
  const all = path.join(folder, "all");
  const files = await model.savePretrained(all);
  assert.equal(files.length, 7);
  await holdsOnly(all, config, safetensors, "README.md", "b", "c");
  await holdsOnly(path.join(all, "b"), config, safetensors);
  const some = path.join(folder, "some");
  await model.savePretrained(some, { selectedAdapters: ["b"], safeSerialization: false });
  await holdsOnly(some, "README.md", "b");
  await holdsOnly(path.join(some, "b"), config, bin);
  const nobody = path.join(folder, "nobody");
  assert.deepEqual(await model.savePretrained(nobody, { isMainProcess: false }), []);
  await assert.rejects(readdir(nobody));
  const unknown = model.savePretrained(nobody, { selectedAdapters: ["b", "z"] });
  await assert.rejects(unknown, failure("bad-request", '"z"', "Loaded: default, b, c"));
  await assert.rejects(readdir(nobody));
});

test("weights of the other format never stay behind, and nothing goes without asking", async (t) => {
  const folder = await temporaryFolder(t);
  const source = await writeLora(path.join(folder, "from"), makeFactors({ [query]: 2 }));
  const model = new PeftModel(base);
  await model.loadAdapter(source);
  const place = path.join(folder, "place");
  await model.saveAdapter("default", place);
  const asBin = { safeSerialization: false };
  const again = model.saveAdapter("default", place, asBin);
  await assert.rejects(again, failure("bad-request", "exists already"));
  await holdsOnly(place, config, safetensors, "README.md");
  await model.saveAdapter("default", place, { ...asBin, overwrite: true });
  await holdsOnly(place, config, bin, "README.md");
  await model.saveAdapter("default", place, { overwrite: true });
  await holdsOnly(place, config, safetensors, "README.md");
});

test("a save that fails or is stopped leaves everything as it was", async (t) => {
  const folder = await temporaryFolder(t);
  const source = await writeLora(path.join(folder, "from"), makeFactors({ [query]: 2 }));
  const adapter = await openAdapterCheckpoint(source);
  const stopped = saveAdapter(adapter, path.join(folder, "new/deep"), {
    ...facts,
    signal: AbortSignal.abort(),
  });
  await assert.rejects(stopped, failure("cancelled"));
  await holdsOnly(folder, "from");
  const place = path.join(folder, "place");
  await mkdir(path.join(place, config), { recursive: true });
  await writeFile(path.join(place, bin), "old");
  await assert.rejects(saveAdapter(adapter, place, { ...facts, overwrite: true }));
  await holdsOnly(place, config, bin);
  assert.equal(await readFile(path.join(place, bin), "utf8"), "old");
});

test("an adapter saved over its own folder can be saved once more", async (t) => {
  const folder = await temporaryFolder(t);
  const own = path.join(folder, "own");
  await cp(path.join(fixtures, "adapters/llama/lora_bin"), own, { recursive: true });
  const other = await writeLora(path.join(folder, "other"), makeFactors({ [query]: 2 }));
  const model = new PeftModel(base);
  await model.loadAdapter(own);
  await model.loadAdapter(other, { adapterName: "other" });
  await model.saveAdapter("default", own, { overwrite: true });
  await holdsOnly(own, config, safetensors, "README.md", "expected.json", "expected.safetensors"); // prettier-ignore
  const copy = path.join(folder, "copy");
  await model.saveAdapter("default", copy);
  assert.deepEqual(
    await readFile(path.join(copy, safetensors)),
    await readFile(path.join(own, safetensors)),
  );
  const over = model.saveAdapter("default", other, { overwrite: true });
  await assert.rejects(over, failure("bad-request", '"other" is loaded from'));
});

interface Layers {
  what: string;
  adapter: string;
  wish: SaveOptions["saveEmbeddingLayers"];
  added?: string[];
  left?: string[];
  warns?: string;
}

const embedding = "base_model.model.model.embed_tokens";
const head = "base_model.model.lm_head";

/** As PEFT 0.21 decides, checked against it; without a wish everything stays as it came. */
const layers: Layers[] = [
  {
    what: "a targeted embedding without its matrix gets it",
    adapter: "lora_embed_only_not_saving_base",
    wish: "auto",
    added: [`${embedding}.base_layer.weight`],
    warns: "target_modules names them",
  },
  { what: "no wish adds nothing", adapter: "lora_embed_only_not_saving_base", wish: undefined },
  { what: "false adds nothing", adapter: "lora_embed_only_not_saving_base", wish: false },
  {
    what: "false leaves a targeted embedding's matrix out",
    adapter: "lora_embed_tokens",
    wish: false,
    left: [`${embedding}.base_layer.weight`],
  },
  {
    what: "true adds both layers",
    adapter: "lora_default",
    wish: true,
    added: [`${embedding}.weight`, `${head}.weight`],
  },
  { what: "auto adds none to an ordinary adapter", adapter: "lora_default", wish: "auto" },
  {
    what: "auto leaves out what the base has",
    adapter: "lora_save_embedding_layers_true",
    wish: "auto",
    left: [`${embedding}.weight`, `${head}.weight`],
  },
  {
    what: "no wish keeps what the base has",
    adapter: "lora_save_embedding_layers_true",
    wish: undefined,
  },
  {
    what: "auto keeps a vocabulary that has grown",
    adapter: "lora_resized_vocab",
    wish: "auto",
    warns: "resized",
  },
  { what: "false keeps modules_to_save", adapter: "lora_modules_to_save", wish: false },
  { what: "auto looks away from single tokens", adapter: "trainable_tokens", wish: "auto" },
  {
    what: "true adds the matrix below single tokens",
    adapter: "trainable_tokens",
    wish: true,
    added: [`${embedding}.base_layer.weight`],
  },
  {
    what: "auto with a targeted head leaves the embedding out",
    adapter: "lora_target_lm_head",
    wish: "auto",
    warns: "target_modules names them",
  },
  {
    what: "true with a prompt uses the names of prompt methods",
    adapter: "prompt_tuning_random",
    wish: true,
    added: ["base_model.model.embed_tokens.weight", "base_model.lm_head.weight"],
  },
];

for (const { what, adapter: name, wish, added = [], left = [], warns } of layers) {
  test(`embedding layers: ${what}`, async (t) => {
    const folder = await temporaryFolder(t);
    const adapter = await openAdapterCheckpoint(path.join(fixtures, "adapters/llama", name));
    const warnings: string[] = [];
    await saveAdapter(adapter, folder, {
      ...facts,
      saveEmbeddingLayers: wish,
      onWarning: (warning) => warnings.push(warning),
    });
    const saved = await openSafetensors(path.join(folder, safetensors));
    const before = adapter.weights.tensors.map((each) => each.name);
    assert.deepEqual(
      saved.tensors.map((each) => each.name).sort(),
      [...before.filter((each) => !left.includes(each)), ...added].sort(),
    );
    assert.equal(warnings.length, warns === undefined ? 0 : 1, warnings.join(" "));
    assert(warns === undefined || warnings[0]?.includes(warns), warnings[0]);
    for (const entry of saved.tensors.filter((each) => added.includes(each.name))) {
      const plain = entry.name.includes("lm_head") ? "lm_head.weight" : "model.embed_tokens.weight";
      const ref = base.checkpoint.weights.get(plain) ?? assert.fail();
      assert.deepEqual(await readTensors(saved.file, [entry]), await readTensors(ref.file, [ref]));
    }
  });
}

test("auto keeps an embedding that is not the base's", async (t) => {
  const folder = await temporaryFolder(t);
  const changed = path.join(folder, "changed");
  await cp(path.join(fixtures, "adapters/llama/lora_save_embedding_layers_true"), changed, {
    recursive: true,
  });
  const file = path.join(changed, safetensors);
  const { tensors } = await openSafetensors(file);
  const entry = tensors.find(({ name }) => name === `${head}.weight`) ?? assert.fail();
  const bytes = await readFile(file);
  bytes[entry.offset] = (bytes[entry.offset] as number) ^ 1;
  await writeFile(file, bytes);
  const adapter = await openAdapterCheckpoint(changed);
  const warnings: string[] = [];
  const onWarning = (warning: string): void => void warnings.push(warning);
  const target = path.join(folder, "target");
  await saveAdapter(adapter, target, { ...facts, saveEmbeddingLayers: "auto", onWarning });
  const names = (await openSafetensors(path.join(target, safetensors))).tensors.map(
    ({ name }) => name,
  );
  assert(names.includes(`${head}.weight`) && !names.includes(`${embedding}.weight`));
  assert.match(warnings.join(), /lm_head\.weight differs/);
});

test("adapter names left in a file are not saved", async (t) => {
  const folder = await temporaryFolder(t);
  const source = await writeLora(folder, makeFactors({ [`${query}`]: 2 }));
  const file = path.join(source, safetensors);
  const text = (await readFile(file)).toString("latin1");
  const renamed = text.replaceAll(/(lora_[AB])\.weight/g, "$1.default.weight");
  const length = Buffer.alloc(8);
  const grown = text.length - renamed.length;
  length.writeBigUInt64LE(Buffer.from(text, "latin1").readBigUInt64LE(0) - BigInt(grown));
  await writeFile(file, Buffer.concat([length, Buffer.from(renamed.slice(8), "latin1")]));
  const model = new PeftModel(base);
  await model.loadAdapter(source);
  const target = path.join(folder, "target");
  await model.saveAdapter("default", target);
  const { tensors } = await openSafetensors(path.join(target, safetensors));
  const wanted = ["A", "B"].map((each) => `base_model.model.${query}.lora_${each}.weight`);
  assert.deepEqual(
    tensors.map(({ name }) => name),
    wanted,
  );
});

const initial = path.join(fixtures, "initial");

for (const name of await readdir(initial)) {
  test(`${name}: with its start it becomes the plain LoRA that PEFT makes of it`, async (t) => {
    const folder = await temporaryFolder(t);
    const [start, trained, converted] = ["start", "trained", "converted"].map((each) =>
      path.join(initial, name, each),
    ) as [string, string, string];
    const adapter = await openAdapterCheckpoint(trained);
    const before = await readFile(path.join(start, config));
    await saveAdapter(adapter, folder, { ...facts, pathInitialModelForWeightConversion: start });
    assert.deepEqual(await readFile(path.join(start, config)), before, "the start was changed");
    if (name !== "pissa_dora_head") {
      // Of heads and magnitudes PEFT loses sight, so that its own file does not load.
      assert.deepEqual(await json(folder), await json(converted));
      const [own, wanted] = [folder, converted].map((each) => path.join(each, safetensors));
      assert.deepEqual(await readFile(own as string), await readFile(wanted as string));
    }
    const truths = await readTruths(path.join(initial, name, "expected.safetensors"));
    const model = await PeftModel.fromPretrained(base, folder);
    const ids = integerRows(truths.get("input_ids") as Truth);
    const mask = ids.map((row) => row.map(() => 1));
    const logits = await allLogits(model, model.inputsOf(model.activeAdapters), { ids, mask });
    assert(logitDifference(logits, truths.get("adapter_logits") as Truth, mask) < 1e-4);
  });
}

const unfit: [what: string, options: { config?: object; start?: string }, says: string][] = [
  ["rsLoRA with patterns", { config: { use_rslora: true, rank_pattern: { q_proj: 2 } } }, "use_rslora and rank_pattern"], // prettier-ignore
  ["another method", { config: { peft_type: "LOHA" } }, "only LoRA adapters"],
  ["block-diagonal factors", { config: { use_bdlora: { nblocks: 2 } } }, "use_bdlora"],
  ["a start of another rank", { start: "olora_rslora" }, "the adapter's is"],
  ["itself as the start", { start: "" }, "a folder of their own"],
];

for (const [what, { config: fields, start }, says] of unfit) {
  test(`an adapter with ${what} is not converted, and nothing is written`, async (t) => {
    const folder = await temporaryFolder(t);
    const trained = path.join(folder, "trained");
    await cp(path.join(initial, "corda/trained"), trained, { recursive: true });
    await writeFile(
      path.join(trained, config),
      JSON.stringify({ ...(await json(trained)), ...(start ? { r: 4 } : {}), ...fields }),
    );
    const from = start === "" ? trained : path.join(initial, start ?? "corda", "start");
    if (start) await cp(path.join(initial, "pissa_patterns/trained"), trained, { recursive: true });
    const adapter = await openAdapterCheckpoint(trained);
    const target = path.join(folder, "target");
    const saving = saveAdapter(adapter, target, {
      ...facts,
      pathInitialModelForWeightConversion: from,
    });
    await assert.rejects(saving, (error: Error) => error.message.includes(says));
    await assert.rejects(readdir(target));
  });
}

test("an adapter of a .bin comes back as .bin with the same tensors", async (t) => {
  const folder = await temporaryFolder(t);
  const adapter = await openAdapterCheckpoint(path.join(fixtures, "adapters/llama/lora_bin"));
  await saveAdapter(adapter, folder, { ...facts, safeSerialization: false });
  const [own, source] = [path.join(folder, bin), adapter.weights.file];
  const [saved, stored] = [await openTorchFile(own), await openTorchFile(source)];
  const facet = ({ name, dtype, shape }: (typeof saved.tensors)[0]): object => ({ name, dtype, shape }); // prettier-ignore
  assert.deepEqual(saved.tensors.map(facet), stored.tensors.map(facet));
  assert.deepEqual(
    await readTensors(own, saved.tensors),
    await readTensors(source, stored.tensors),
  );
});
