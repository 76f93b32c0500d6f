import assert from "node:assert/strict";
import { cp, mkdtemp, readdir, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { GraftError } from "../../../extension/core/base/errors.ts";
import { openSafetensors, readTensors } from "../../../extension/core/safetensors/read.ts";
import { writeSafetensors } from "../../../extension/core/safetensors/write.ts";
import { analyzed, compared, intruders } from "../../../extension/engine/analysis.ts";

const root = fileURLToPath(new URL("../../../", import.meta.url));
const fixtures = path.join(root, "test/golden/fixtures");
const sampleBase = path.join(root, "media/sample/base");
const work = { emit: () => undefined, signal: new AbortController().signal };

interface Place {
  sample?: string;
  llama?: string;
}
interface ModuleTruth {
  module: string;
  norm: number;
  baseNorm: number;
  relative: number;
  effectiveRank: number;
  stableRank: number;
  values: number[];
  energy: number[];
}
interface PairTruth {
  sample?: [string, string];
  llama?: [string, string];
  module: string;
  cosine: number;
  left: number[];
  right: number[];
  sum: number;
  kept: number;
  signConflicts?: number;
  trimmedConflicts?: number;
}
interface Truths {
  cases: (Place & { modules: ModuleTruth[] })[];
  pairs: PairTruth[];
  intruders: (Place & { module: string; likeness: number[] })[];
}

const truths = JSON.parse(await readFile(path.join(fixtures, "analysis.json"), "utf8")) as Truths;

function placeOf({ sample, llama }: Place): { path: string; base: string } {
  return sample === undefined
    ? {
        path: path.join(fixtures, "adapters/llama", llama ?? ""),
        base: path.join(fixtures, "models/llama"),
      }
    : { path: sampleAdapter(sample), base: sampleBase };
}

function sampleAdapter(name: string): string {
  return path.join(root, "media/sample/adapters", name);
}

/** @param scale what the tolerance is a share of, where it is not the truth itself */
function close(
  actual: number | null | undefined,
  truth: number,
  at: { what: string; to: number; scale?: number },
): void {
  const bound = at.to * Math.abs(at.scale ?? truth);
  const isClose = typeof actual === "number" && Math.abs(actual - truth) <= bound;
  assert(isClose, `${at.what}: ${actual}, numpy says ${truth}`);
}

for (const { modules, ...place } of truths.cases) {
  void test(`numbers of ${place.sample ?? place.llama} are numpy's`, async () => {
    const only = modules.map(({ module }) => module);
    const report = await analyzed({ ...placeOf(place), only }, work);
    for (const truth of modules) {
      const own = report.modules.find(({ module }) => module === truth.module);
      const what = (name: string): string => `${truth.module} ${name}`;
      for (const name of ["norm", "baseNorm", "relative"] as const) {
        close(own?.[name], truth[name], { what: what(name), to: 1e-6 });
      }
      const { spectrum } = own ?? {};
      close(spectrum?.effectiveRank, truth.effectiveRank, { what: what("rank"), to: 1e-4 });
      close(spectrum?.stableRank, truth.stableRank, { what: what("stable rank"), to: 1e-4 });
      for (const [i, value] of truth.values.entries()) {
        close(spectrum?.values[i], value, { what: what(`σ${i}`), to: 1e-4 });
        close(spectrum?.energy[i], truth.energy[i] as number, { what: what(`E${i}`), to: 1e-4 });
      }
    }
  });
}

for (const truth of truths.pairs) {
  const names = truth.sample ?? truth.llama ?? ["", ""];
  void test(`${names.join(" and ")} compare as numpy says`, async () => {
    const [first, second] = names.map((name) =>
      placeOf(truth.sample ? { sample: name } : { llama: name }),
    ) as [{ path: string; base: string }, { path: string; base: string }];
    const { module } = truth;
    const { base } = first;
    const report = await compared({ a: first.path, b: second.path, base, only: [module] }, work);
    const [own] = report.modules;
    close(own?.cosine, truth.cosine, { what: "cosine", to: 1e-6, scale: 1 });
    close(own?.merge?.norm, truth.sum, { what: "norm of the sum", to: 1e-6 });
    close(own?.merge?.kept, truth.kept, { what: "kept", to: 1e-6 });
    for (const side of ["left", "right"] as const) {
      for (const [k, phi] of truth[side].entries()) {
        close(own?.overlap?.[side][k], phi, { what: `φ ${side} ${k + 1}`, to: 1e-4, scale: 1 });
      }
    }
    if (truth.signConflicts === undefined || truth.trimmedConflicts === undefined) return;
    close(own?.merge?.signConflicts, truth.signConflicts, { what: "signs", to: 1e-3 });
    close(own?.merge?.trimmedConflicts, truth.trimmedConflicts, { what: "trimmed", to: 5e-3 });
  });
}

for (const truth of truths.intruders) {
  void test(`intruders of ${truth.sample} on ${truth.module} are numpy's`, async () => {
    const report = await intruders({ ...placeOf(truth), only: [truth.module] }, work);
    const [own] = report.modules;
    assert.equal(own?.intruders, truth.likeness.filter((likest) => likest < 0.5).length);
    for (const [i, likest] of truth.likeness.entries()) {
      close(own.likeness[i], likest, { what: `likeness ${i}`, to: 1e-4, scale: 1 });
    }
  });
}

void test("a LoRA without its base has everything but what is relative", async () => {
  const place = { path: sampleAdapter("lora-pirate") };
  const [alone, based] = [
    await analyzed({ ...place, base: null }, work),
    await analyzed(place, work),
  ];
  assert.equal(alone.base, null);
  assert.match(alone.baseMissing ?? "", /base/);
  assert.equal(alone.totals.relative, null);
  assert.equal(alone.modules.length, based.modules.length);
  for (const module of alone.modules) {
    const own = based.modules.find((each) => each.module === module.module);
    assert.deepEqual([module.norm, module.spectrum], [own?.norm, own?.spectrum]);
    assert.deepEqual(module.shape, own?.shape);
  }
});

void test("what follows from the base's weights says so when there is no base", async () => {
  for (const name of ["dora-shout", "ia3-butler"]) {
    const { modules, totals } = await analyzed({ path: sampleAdapter(name), base: null }, work);
    assert.equal(modules.length, 28);
    assert(modules.every(({ norm, reason }) => norm === null && /base/.test(reason ?? "")));
    assert.equal(totals.measured, 0);
  }
});

void test("costs at run time follow from the graph's inputs", async () => {
  const { cost } = await analyzed({ path: sampleAdapter("lora-sentiment") }, work);
  // Rank 4 on q [160 → 160] and v [160 → 80] of a group with k [160 → 80], in four layers.
  const numbers = 4 * (8 * (160 + 320));
  const part = { kind: "lowRank", modules: 8, bytes: 4 * numbers, flops: 2 * numbers };
  assert.deepEqual(cost.parts, [{ ...part, needs: "nothing" }]);
  const ia3 = await analyzed({ path: sampleAdapter("ia3-butler") }, work);
  assert.deepEqual(ia3.cost.parts.map(({ kind, needs }) => [kind, needs]).sort(), [
    ["inputScale", "rebuiltSession"],
    ["outputScale", "rebuiltSession"],
  ]);
});

void test("prompt methods have norms of their tokens in place of modules", async () => {
  const place = placeOf({ llama: "prompt_tuning_random" });
  const { modules, virtualTokens, advice } = await analyzed(place, work);
  assert.deepEqual([modules, advice], [[], []]);
  assert.equal(virtualTokens?.what, "embeddings");
  assert.equal(virtualTokens.norms.length, virtualTokens.count);
  assert((virtualTokens.baseMean ?? 0) > 0);
});

let scratch = "";
before(async () => (scratch = await mkdtemp(path.join(tmpdir(), "graft-analysis-"))));
after(() => rm(scratch, { recursive: true, force: true }));

/** A copy of lora-pirate whose values are changed. */
async function changed(
  name: string,
  change: (tensor: string, values: Float32Array) => void,
): Promise<string> {
  const folder = path.join(scratch, name);
  await cp(sampleAdapter("lora-pirate"), folder, { recursive: true });
  const file = path.join(folder, "adapter_model.safetensors");
  const opened = await openSafetensors(file);
  const all = await readTensors(file, opened.tensors);
  const tensors = opened.tensors.map(({ name: tensor, dtype, shape }, i) => {
    const bytes = all[i] as Uint8Array;
    const values = new Float32Array(bytes.slice().buffer);
    change(tensor, values);
    return { name: tensor, dtype, shape, bytes: new Uint8Array(values.buffer) };
  });
  await writeSafetensors(file, tensors, {});
  return folder;
}

void test("zero B everywhere is an adapter that changes nothing", async () => {
  const zero = await changed("zero", (name, values) => {
    if (name.includes("lora_B")) values.fill(0);
  });
  const report = await analyzed({ path: zero, base: sampleBase }, work);
  assert.equal(report.totals.norm, 0);
  assert(report.modules.every(({ norm, spectrum }) => norm === 0 && spectrum === null));
  assert.deepEqual(
    report.advice.map(({ kind }) => kind),
    ["changesNothing"],
  );
  const pair = await compared({ a: zero, b: sampleAdapter("lora-json"), base: sampleBase }, work);
  assert.equal(pair.totals.cosine, null);
  assert.equal(pair.totals.normA, 0);
});

void test("NaN is counted and named, other modules keep their numbers", async () => {
  const broken = await changed("nan", (name, values) => {
    if (name.includes("layers.2.mlp.up_proj.lora_A")) values[3] = NaN;
  });
  const report = await analyzed({ path: broken, base: sampleBase }, work);
  const [first] = report.advice;
  assert.equal(first?.kind, "notFinite");
  assert.deepEqual(first.modules, ["model.layers.2.mlp.up_proj"]);
  assert.equal(report.totals.measured, 27);
  const other = sampleAdapter("lora-json");
  const pair = await compared({ a: broken, b: other, base: sampleBase }, work);
  assert.equal(pair.modules.filter(({ cosine }) => cosine === null).length, 1);
  assert(Number.isFinite(pair.totals.cosine));
});

void test("a LoRA of few directions is told to be resized, and to what", async () => {
  const narrow = await changed("narrow", (name, values) => {
    // Rows of A from the third on become nothing: rank 2 is left of 8.
    if (name.includes("lora_A")) values.fill(0, (2 * values.length) / 8);
  });
  const { advice } = await analyzed({ path: narrow, base: null }, work);
  const resize = advice.find(({ kind }) => kind === "resize");
  assert.equal(resize?.rank, 2);
  assert.equal(resize.numbers["kept"], 1);
  assert.match(resize.text, /resizing to 2 keeps 100 %/);
});

void test("an adapter and itself turned round cancel", async () => {
  const turned = await changed("turned", (name, values) => {
    if (name.includes("lora_B")) values.forEach((value, i) => (values[i] = -value));
  });
  const a = sampleAdapter("lora-pirate");
  const report = await compared({ a, b: turned, base: null }, work);
  close(report.totals.cosine, -1, { what: "cosine", to: 1e-12 });
  close(report.totals.kept, 0, { what: "kept", to: 1e-7, scale: 1 });
  assert.deepEqual(
    report.advice.map(({ kind }) => kind),
    ["conflict"],
  );
  const same = await compared({ a, b: a, base: null }, work);
  assert.deepEqual(
    same.advice.map(({ kind }) => kind),
    ["nearlySame"],
  );
  close(same.totals.overlap?.left, 1, { what: "φ", to: 1e-9 });
  assert.equal(same.config.filter(({ differs }) => differs).length, 0);
});

/** What cannot be analysed is refused by name, never by a crash. */
const refused: readonly [folder: string, base: string, code: string, text: RegExp][] = [
  [path.join(fixtures, "bad/config_r_zero"), "llama", "bad-file", /"r"/],
  [
    path.join(fixtures, "bad/tensor_shape_vs_base"),
    "llama",
    "misfit",
    /expects|needs|shape|inputs/,
  ],
  [path.join(fixtures, "bad/truncated_data"), "llama", "bad-file", /adapter_model/],
  [sampleAdapter("lora-pirate"), "llama", "misfit", /./],
  [sampleAdapter("lora-pirate"), "gpt2", "misfit", /0 of|names|bound|fit/],
  [path.join(fixtures, "no-such-adapter"), "llama", "not-found", /not found/],
];
for (const [folder, base, code, text] of refused) {
  void test(`${path.basename(folder)} on ${base} is refused: ${code}`, async () => {
    const place = { path: folder, base: path.join(fixtures, "models", base) };
    await assert.rejects(analyzed(place, work), (error) => {
      assert(error instanceof GraftError);
      assert.equal(error.code, code, error.message);
      assert.match(error.message, text);
      return true;
    });
  });
}

void test("intruders without a base are refused with the way to them", () =>
  assert.rejects(
    intruders({ path: sampleAdapter("lora-pirate"), base: null }, work),
    /told from the base's weights/,
  ));

void test("a stop is heard between modules", async () => {
  const stop = new AbortController();
  let told = 0;
  const emit = (): void => {
    if (++told === 2) stop.abort();
  };
  await assert.rejects(
    analyzed({ path: sampleAdapter("lora-pirate") }, { emit, signal: stop.signal }),
    { code: "cancelled" },
  );
  assert.equal(told, 2);
});

void test("results are kept until what they follow from changes", async () => {
  const cache = path.join(scratch, "cache");
  const copy = await changed("kept", () => undefined);
  const ask = (): ReturnType<typeof analyzed> =>
    analyzed({ path: copy, base: sampleBase, cache }, work);
  const [first, second] = [await ask(), await ask()];
  assert.deepEqual([first.fromCache, second.fromCache], [false, true]);
  assert.deepEqual({ ...second, fromCache: false }, first);
  const weights = path.join(copy, "adapter_model.safetensors");
  await utimes(weights, new Date(), new Date(Date.now() + 5000));
  assert.equal((await ask()).fromCache, false);
  const [file = ""] = await readdir(cache);
  await Promise.all((await readdir(cache)).map((name) => writeFile(path.join(cache, name), "{")));
  assert.equal((await ask()).fromCache, false);
  assert.match(file, /^[0-9a-f]{64}\.json$/);
});
