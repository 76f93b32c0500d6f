import assert from "node:assert/strict";
import { cp, mkdir, readdir, readFile, symlink, writeFile } from "node:fs/promises";
import * as path from "node:path";
import { after, test } from "node:test";
import { methodLabels } from "../../../extension/core/checkpoint/adapterConfig.ts";
import { Library } from "../../../extension/engine/library.ts";
import { createService } from "../../../extension/engine/service.ts";
import {
  type DiscoverResult,
  type EngineContract,
  type ProgressEvent,
  protocolVersion,
} from "../../../extension/protocol/engineContract.ts";
import type {
  GenerateEvent,
  GenerateParams,
  Sampling,
} from "../../../extension/protocol/generationContract.ts";
import { failure, fixtures, sample, temporaryFolder } from "../core/support.ts";
import { withTokenizer } from "../core/tinyTokenizer.ts";

const service = createService(new Library());

const never = new AbortController().signal;

/** Asks the service as a connection would. */
async function ask<M extends keyof EngineContract>(
  method: M,
  params: EngineContract[M]["params"],
  { events = [], signal = never }: { events?: unknown[]; signal?: AbortSignal } = {},
): Promise<EngineContract[M]["result"]> {
  const emit = (event: unknown): void => void events.push(event);
  return service[method](params, { emit, signal } as never);
}

const greedy: Sampling = {
  maxNewTokens: 120,
  temperature: 0,
  topP: 1,
  topK: 0,
  repetitionPenalty: 1,
  seed: null,
};

const adapterAt = (name: string): string => path.join(sample, "adapters", name);
const { path: base } = await ask("loadBaseModel", { path: path.join(sample, "base") });
const { path: other } = await ask("loadBaseModel", { path: path.join(fixtures, "models/llama") });
after(() => Promise.all([base, other].map((each) => ask("unloadBaseModel", { base: each }))));

test("hello tells who is there, and refuses another version by name", async () => {
  const { version, pid, methods, families } = await ask("hello", { version: protocolVersion });
  assert.deepEqual([version, pid], [protocolVersion, process.pid]);
  assert(methods.includes("LORA") && families.includes("llama"));
  const hello = ask("hello", { version: protocolVersion + 1 });
  await assert.rejects(hello, failure("unsupported", `protocol ${protocolVersion + 1}`, "Reload"));
});

test("the sample: one base and five adapters, each running or with the reason why not", async () => {
  const events: unknown[] = [];
  const roots = [{ path: sample, source: "sample" as const }];
  const found = await ask("discover", { roots, huggingFaceCache: false }, { events });
  assert.equal(found.bases.length, 1);
  const { name, parameters, dtype, source } = found.bases[0] ?? assert.fail();
  assert.deepEqual(
    [name, parameters, dtype, source],
    ["graft-sample", 1_271_200, "fp32", "sample"],
  );
  assert.equal(found.adapters.length, 5);
  assert.deepEqual(found.problems, []);
  assert(events.length > 0);
  const { methods } = await ask("hello", { version: protocolVersion });
  for (const { name: own, peftType, method, problem, basePath, rank } of found.adapters) {
    assert.equal(basePath, base, own);
    if (!methods.includes(peftType)) assert(problem?.includes(method), `${own}: ${problem}`);
    if (own.startsWith("lora")) assert.deepEqual([problem, rank !== null], [undefined, true]);
  }
});

test("what is broken or cannot run is listed with the reason, and found once", async (t) => {
  const folder = await temporaryFolder(t);
  const config = await readFile(path.join(adapterAt("lora-json"), "adapter_config.json"), "utf8");
  const { methods } = await ask("hello", { version: protocolVersion });
  const strange = Object.keys(methodLabels).find((name) => !methods.includes(name));
  const files: Record<string, string> = {
    "a/bom/adapter_config.json": "\uFEFF{}",
    "a/empty/adapter_config.json": config,
    "a/cut/adapter_config.json": config,
    "a/cut/adapter_model.safetensors": "short",
    "b/strange/config.json": '{"model_type": "mamba"}',
    "b/broken/config.json": '{"architectures": []}',
    "b/broken/model.safetensors": "short",
    "node_modules/x/adapter_config.json": config,
    ".hidden/adapter_config.json": config,
  };
  if (strange !== undefined) {
    files["a/method/adapter_config.json"] = config.replace('"LORA"', `"${strange}"`);
  }
  for (const [name, text] of Object.entries(files)) {
    await mkdir(path.dirname(path.join(folder, name)), { recursive: true });
    await writeFile(path.join(folder, name), text);
  }
  const copies = { "a/method": adapterAt("lora-json"), "b/strange": path.join(sample, "base") };
  for (const [place, from] of Object.entries(copies)) {
    const filter = (file: string): boolean => !file.endsWith("config.json");
    await cp(from, path.join(folder, place), { recursive: true, filter });
  }
  const roots = ["", "a", "none"].map((name) => {
    return { path: path.join(folder, name), source: "folder" as const };
  });
  const found = await ask("discover", { roots, huggingFaceCache: false });
  const problems: Record<string, RegExp> = {
    "a/bom": /^adapter_config\.json: begins with a byte order mark/,
    "a/empty": /^Adapter weights not found: adapter_model\.safetensors/,
    "a/cut": /^adapter_model\.safetensors: has 5 bytes/,
    "b/strange": /model family "mamba"/,
    "b/broken": /^config\.json: field "model_type" is missing/,
  };
  if (strange !== undefined) problems["a/method"] = new RegExp(methodLabels[strange] ?? "");
  const said = saidOf(found, folder);
  assert.deepEqual(Object.keys(said).sort(), Object.keys(problems).sort());
  for (const [place, pattern] of Object.entries(problems)) assert.match(said[place] ?? "", pattern);
  assert.equal(found.problems.map((each) => each.path).join(), path.join(folder, "none"));
});

/** The problem of each folder found. */
function saidOf({ bases, adapters }: DiscoverResult, folder: string): Record<string, string> {
  const all = [
    ...bases.map((each) => [each.path, each.unsupported]),
    ...adapters.map((each) => [each.path, each.problem]),
  ];
  return Object.fromEntries(
    all.map(([place = "", why = ""]) => [path.relative(folder, place), why]),
  );
}

test("the Hugging Face cache is searched when it is asked for", async (t) => {
  const cache = await temporaryFolder(t);
  const old = process.env["HF_HUB_CACHE"];
  process.env["HF_HUB_CACHE"] = cache;
  t.after(() => {
    if (old === undefined) delete process.env["HF_HUB_CACHE"];
    else process.env["HF_HUB_CACHE"] = old;
  });
  const snapshot = path.join(cache, "models--org--tiny/snapshots/abc");
  await mkdir(snapshot, { recursive: true });
  for (const name of ["config.json", "model.safetensors"]) {
    await symlink(path.join(fixtures, "models/llama", name), path.join(snapshot, name));
  }
  const { bases } = await ask("discover", { roots: [], huggingFaceCache: true });
  assert.equal(bases.length, 1);
  const [{ name, source, path: place, unsupported } = assert.fail()] = bases;
  assert.deepEqual([name, source, place, unsupported], ["tiny", "cache", snapshot, undefined]);
  const none = await ask("discover", { roots: [], huggingFaceCache: false });
  assert.deepEqual(none.bases, []);
});

test("a search can be stopped", async () => {
  const roots = [{ path: sample, source: "folder" as const }];
  const stopped = { signal: AbortSignal.abort() };
  const search = ask("discover", { roots, huggingFaceCache: false }, stopped);
  await assert.rejects(search, failure("cancelled"));
});

test("what an adapter's files tell: grid, totals, config and fit", async () => {
  const report = await ask("inspectAdapter", { path: adapterAt("lora-pirate"), base });
  const { grid, totals, fit, summary } = report;
  assert.equal(grid.rows.join(" "), "layers.0 layers.1 layers.2 layers.3");
  assert.equal(grid.columns.join(" "), "q_proj k_proj v_proj o_proj gate_proj up_proj down_proj");
  assert.equal(grid.cells.length, 28);
  const cell = grid.cells.find(({ module }) => module === "model.layers.2.self_attn.k_proj");
  const shape = { parameters: 8 * (160 + 80), rank: 8, alpha: 16, scaling: 2, shape: [160, 80] };
  const place = { row: "layers.2", column: "k_proj", module: "model.layers.2.self_attn.k_proj" };
  assert.deepEqual(cell, { ...place, ...shape, dtype: "fp32" });
  const parameters = grid.cells.reduce((sum, each) => sum + each.parameters, 0);
  assert.deepEqual(
    [totals.modules, totals.tensors, totals.parameters, totals.dtypes],
    [28, 56, parameters, ["fp32"]],
  );
  assert.deepEqual([report.scaling, report.alpha, summary.rank], [2, 16, 8]);
  assert.equal(report.config.find(({ field }) => field === "lora_alpha")?.changed, true);
  assert.equal(report.config.find(({ field }) => field === "use_rslora")?.changed, false);
  assert.deepEqual([fit?.fits, fit?.bound, fit?.total, fit?.unbound], [true, 28, 28, []]);
  assert.equal(fit?.share, parameters / 1_271_200);
  assert.deepEqual(report.warnings, []);
  assert.equal((await ask("inspectAdapter", { path: adapterAt("lora-pirate") })).fit, undefined);
});

test("fit is told from headers, with the reason where there is none", async () => {
  const paths = ["lora-pirate", "lora-json"].map(adapterAt);
  for (const report of await ask("checkFit", { base, paths })) assert(report.fits, report.reason);
  for (const report of await ask("checkFit", { base: other, paths: [...paths, "/none"] })) {
    assert.equal(report.fits, false);
    const why = report.path === "/none" ? /not found/ : /lora_A.*model\.layers/;
    assert.match(report.reason ?? "", why);
  }
});

test("adapters of one folder are loaded once, of equal names under two", async (t) => {
  const twin = path.join(await temporaryFolder(t), "lora-json");
  await cp(adapterAt("lora-json"), twin, { recursive: true });
  const load = (folder: string) => ask("loadAdapter", { base, path: folder });
  const first = await load(adapterAt("lora-json"));
  assert.deepEqual([first.name, first.bound, first.total], ["lora-json", 28, 28]);
  assert.deepEqual(await load(adapterAt("lora-json")), first);
  assert.equal((await load(twin)).name, "lora-json-2");
  for (const name of ["lora-json", "lora-json-2"]) await ask("unloadAdapter", { base, name });
  await assert.rejects(ask("unloadAdapter", { base, name: "lora-json" }), failure("bad-request"));
});

test("two loads of a folder at one time are one, also through another path", async (t) => {
  const folder = await temporaryFolder(t);
  const [twin, link] = [path.join(folder, "lora-json"), path.join(folder, "link")];
  await cp(adapterAt("lora-json"), twin, { recursive: true });
  await symlink(twin, link);
  const load = (place: string, signal?: AbortSignal) =>
    ask("loadAdapter", { base, path: place }, { ...(signal && { signal }) });
  const stop = new AbortController();
  const loads = Promise.allSettled([
    load(twin, stop.signal),
    load(twin),
    load(link),
    load(adapterAt("lora-json")),
  ]);
  stop.abort();
  const [stopped, first, second, other] = await loads;
  assert.equal(stopped.status, "rejected");
  assert(first.status === "fulfilled" && second.status === "fulfilled");
  assert.deepEqual(second.value, first.value);
  assert(other.status === "fulfilled");
  const names = [first.value.name, other.value.name];
  assert.deepEqual([...names].sort(), ["lora-json", "lora-json-2"]);
  for (const name of names) await ask("unloadAdapter", { base, name });
});

test("an adapter's folder leads to its base, which is the one that is loaded", async () => {
  const info = await ask("loadBaseModel", { path: adapterAt("lora-json") });
  assert.deepEqual([info.path, info.adapter], [base, adapterAt("lora-json")]);
});

test("an answer streams whole snapshots, with the active adapters or with those named", async () => {
  await ask("loadAdapter", { base, path: adapterAt("lora-pirate"), name: "pirate" });
  const content = "What colour is the sky?";
  const prompt = { kind: "chat" as const, messages: [{ role: "user" as const, content }] };
  const generate = (adapters?: { name: string; weight: number }[], events: unknown[] = []) =>
    ask("generate", { base, prompt, adapters, sampling: greedy }, { events });
  const events: GenerateEvent[] = [];
  const bare = await generate(undefined, events);
  assert.deepEqual([bare.text, bare.finish, bare.adapters], ["The sky is blue.", "stop", []]);
  assert.equal(events.length, bare.tokens);
  events.forEach(({ tokens }, i) => assert.equal(tokens, i + 1));
  assert(events.every(({ text }) => bare.text.startsWith(text)));
  const pirate = { name: "pirate", weight: 1 };
  await ask("setActiveAdapters", { base, adapters: [pirate] });
  assert.equal((await generate()).text, "Arr! Th' sky be blue, matey!");
  assert.deepEqual((await generate()).adapters, [pirate]);
  assert.equal((await generate([])).text, bare.text);
  const unknown = ask("setActiveAdapters", { base, adapters: [{ name: "x", weight: 1 }] });
  await assert.rejects(unknown, failure("bad-request", '"x"'));
  assert.equal((await generate()).text, "Arr! Th' sky be blue, matey!");
  await ask("unloadAdapter", { base, name: "pirate" });
  assert.equal((await generate()).text, bare.text);
});

test("a base that is not loaded says so; one is loaded once", async () => {
  const prompt = { kind: "text", text: "" } as const;
  const generate = ask("generate", { base: "/none", prompt, sampling: greedy });
  await assert.rejects(generate, failure("not-found", "/none"));
  await assert.rejects(ask("unloadBaseModel", { base: "/none" }), failure("not-found"));
  await assert.rejects(ask("loadBaseModel", { path: "/none" }), failure("not-found", "/none"));
  const again = await ask("loadBaseModel", { path: path.join(sample, "adapters/../base") });
  assert.equal(again.path, base);
  assert.deepEqual([again.contextLength, again.layers, again.hasChatTemplate], [256, 4, true]);
});

test("a merge writes a base that answers as the adapter does; one folder is never written twice", async (t) => {
  const folder = path.join(await temporaryFolder(t), "merged");
  const { name } = await ask("loadAdapter", { base, path: adapterAt("lora-pirate") });
  t.after(() => ask("unloadAdapter", { base, name }));
  const adapters = [{ name, weight: 1 }];
  const events: unknown[] = [];
  // Not active: what is merged is what was named.
  const result = await ask("mergeAdapters", { base, adapters, folder }, { events });
  const { worst, swallowed, ...rest } = result;
  assert.deepEqual(rest, { folder, changedTensors: 28, untied: false });
  assert(swallowed < 1e-5, `fp32 loses ${swallowed}`);
  assert.equal(worst.length, 5);
  worst.forEach((each, i) => assert(each.swallowed <= (worst[i - 1] ?? each).swallowed));
  assert(events.length > 0);
  await assert.rejects(
    ask("mergeAdapters", { base, adapters, folder }),
    failure("bad-request", folder, "exists already"),
  );
  const { path: merged } = await ask("loadBaseModel", { path: folder });
  t.after(() => ask("unloadBaseModel", { base: merged }));
  const said = await Promise.all([
    sayOf({ base: merged }),
    sayOf({ base, adapters }),
    sayOf({ base }),
  ]);
  assert.deepEqual(said, [pirateSky, pirateSky, "The sky is blue."]);
});

const pirateSky = "Arr! Th' sky be blue, matey!";

async function sayOf(asked: Pick<GenerateParams, "base" | "adapters">): Promise<string> {
  const content = "What colour is the sky?";
  const prompt = { kind: "chat" as const, messages: [{ role: "user" as const, content }] };
  return (await ask("generate", { ...asked, prompt, sampling: greedy })).text;
}

test("a merge is previewed, and an adapter's effect measured", async (t) => {
  const { name } = await ask("loadAdapter", { base, path: adapterAt("lora-sentiment") });
  t.after(() => ask("unloadAdapter", { base, name }));
  const adapters = [{ name, weight: 1 }];
  const preview = await ask("previewMerge", { base, adapters, samples: 6 });
  assert.deepEqual([preview.changedTensors, preview.computed, preview.lossy], [8, 6, false]);
  assert(preview.swallowed < 1e-5 && preview.worst.length === 5);
  const prompt = { kind: "text" as const, text: "The shop was" };
  const effect = await ask("measureEffect", { base, adapters, probes: [prompt, [1, 2, 3]] });
  assert.deepEqual([effect.probes, effect.changesNothing], [2, false]);
  const none = await ask("measureEffect", { base, adapters: [] });
  assert.deepEqual([none.changesNothing, none.largest], [true, 0]);
});

test("a merge that is stopped leaves nothing behind", async (t) => {
  const parent = await temporaryFolder(t);
  const { name } = await ask("loadAdapter", { base, path: adapterAt("lora-json") });
  t.after(() => ask("unloadAdapter", { base, name }));
  const stop = new AbortController();
  let steps = 0;
  const context = {
    signal: stop.signal,
    emit: () => {
      if (++steps === 3) stop.abort();
    },
  };
  const params = { base, adapters: [{ name, weight: 1 }], folder: path.join(parent, "merged") };
  const merging = Promise.resolve(service.mergeAdapters(params, context as never));
  await assert.rejects(merging, failure("cancelled"));
  assert.deepEqual(await readdir(parent), []);
  const none = ask("mergeAdapters", { ...params, adapters: [] });
  await assert.rejects(none, failure("bad-request", "nothing to merge"));
});

test("a renamed adapter keeps its weights, its place and its part in the answers", async (t) => {
  const { name } = await ask("loadAdapter", { base, path: adapterAt("lora-pirate") });
  t.after(() => ask("unloadAdapter", { base, name: "captain" }));
  const { name: second } = await ask("loadAdapter", { base, path: adapterAt("lora-json") });
  t.after(() => ask("unloadAdapter", { base, name: second }));
  await ask("setActiveAdapters", { base, adapters: [{ name, weight: 1 }] });
  const refused: [newName: string, says: string][] = [
    [second, "already loaded"],
    [" ", "cannot be the name"],
    ["../x", "cannot be the name"],
  ];
  for (const [newName, says] of refused) {
    const rename = ask("renameAdapter", { base, name, newName });
    await assert.rejects(rename, failure("bad-request", newName, says));
  }
  await ask("renameAdapter", { base, name, newName: "captain" });
  assert.equal(await sayOf({ base }), pirateSky);
  assert.equal(await sayOf({ base, adapters: [{ name: "captain", weight: 1 }] }), pirateSky);
  const gone = ask("renameAdapter", { base, name, newName: "x" });
  await assert.rejects(gone, failure("bad-request", `"${name}"`, "captain, lora-json"));
  const again = await ask("loadAdapter", { base, path: adapterAt("lora-pirate") });
  assert.equal(again.name, "captain");
});

test("an adapter is saved into its own folder, and over another only when that was agreed to", async (t) => {
  const folder = path.join(await temporaryFolder(t), "mine");
  const { name } = await ask("loadAdapter", { base, path: adapterAt("lora-pirate") });
  const { files } = await ask("saveAdapter", { base, name, folder });
  const names = ["adapter_config.json", "adapter_model.safetensors", "README.md"];
  assert.deepEqual(
    files,
    names.map((file) => path.join(folder, file)),
  );
  const again = ask("saveAdapter", { base, name, folder });
  await assert.rejects(again, failure("bad-request", "exists already"));
  await ask("saveAdapter", { base, name, folder, overwrite: true });
  await ask("unloadAdapter", { base, name });
  const saved = await ask("loadAdapter", { base, path: folder });
  t.after(() => ask("unloadAdapter", { base, name: saved.name }));
  const adapters = [{ name: saved.name, weight: 1 }];
  assert.equal(await sayOf({ base, adapters }), pirateSky);
});

test("an adapter is saved in the format that was asked for, with what is unusual", async (t) => {
  const folder = await temporaryFolder(t);
  const { name } = await ask("loadAdapter", { base, path: adapterAt("lora-json") });
  t.after(() => ask("unloadAdapter", { base, name }));
  const wishes = { format: "bin", saveEmbeddingLayers: "auto" } as const;
  const { files, warnings } = await ask("saveAdapter", { base, name, folder, ...wishes });
  const names = ["adapter_config.json", "adapter_model.bin", "README.md"];
  assert.deepEqual(
    files.map((file) => path.basename(file)),
    names,
  );
  assert(warnings.length <= 1, warnings.join(" "));
});

test("adapters are combined into one that is loaded, or nothing is left behind", async (t) => {
  const parent = await temporaryFolder(t);
  const names = ["lora-pirate", "lora-json"];
  for (const each of names) {
    const { name } = await ask("loadAdapter", { base, path: adapterAt(each) });
    t.after(() => ask("unloadAdapter", { base, name }));
  }
  const params = {
    base,
    adapters: [
      { name: "lora-pirate", weight: 1 },
      { name: "lora-json", weight: 0 },
    ],
    name: "mix",
    folder: path.join(parent, "adapters", "mix"),
    type: "cat" as const,
  };
  const stop = new AbortController();
  const events: ProgressEvent[] = [];
  const emit = (event: ProgressEvent): void => {
    if (events.push(event) === 3) stop.abort();
  };
  const context = { emit, signal: stop.signal };
  const stopped = Promise.resolve(service.combineAdapters(params, context as never));
  await assert.rejects(stopped, failure("cancelled"));
  assert.deepEqual(events[2], { step: "Combining modules", done: 2, total: 28, unit: "items" });
  assert.deepEqual(await readdir(parent), []);

  const made = await ask("combineAdapters", params);
  t.after(() => ask("unloadAdapter", { base, name: "mix" }));
  const { peftType, rank, tasks, path: folder } = made;
  assert.deepEqual([peftType, rank, tasks, folder], ["LORA", 16, null, params.folder]);
  assert.equal(await sayOf({ base, adapters: [{ name: "mix", weight: 1 }] }), pirateSky);
  const again = ask("combineAdapters", { ...params, name: "other", overwrite: true });
  await assert.rejects(again, failure("bad-request", '"mix" is loaded from'));
});

test("a base that does not write text says what it is for, and predicts in plain data", async (t) => {
  const folder = await withTokenizer(t, "models/bert-seqcls");
  const info = await ask("loadBaseModel", { path: folder });
  t.after(() => ask("unloadBaseModel", { base: info.path }));
  assert.deepEqual([info.task, info.warnings], ["sequence-classification", []]);
  const inputs = ["good film", { text: "good", pair: "film" }];
  const found = await ask("predict", { base: info.path, inputs });
  assert.deepEqual(structuredClone(found), found);
  assert.equal(found.length, 2);
  const [first] = found;
  assert(first?.task === "sequence-classification" && first.scores.length === 3);
  await assert.rejects(
    ask("predict", { base, inputs: ["hi"] }),
    failure("unsupported", "language-modeling"),
  );
});

test("a base is opened with the head that an adapter for it will bring", async (t) => {
  const at = path.join(fixtures, "headless/llama");
  const forAdapter = path.join(at, "adapter");
  const info = await ask("loadBaseModel", { path: path.join(at, "base"), forAdapter });
  t.after(() => ask("unloadBaseModel", { base: info.path }));
  assert.deepEqual([info.task, info.warnings], ["sequence-classification", []]);
  const { bound, total } = await ask("loadAdapter", { base: info.path, path: forAdapter });
  assert.equal(bound, total);
});
