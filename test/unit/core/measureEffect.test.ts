import assert from "node:assert/strict";
import * as path from "node:path";
import { after, test } from "node:test";
import { loadBaseModel } from "../../../extension/core/baseModel.ts";
import { PeftModel } from "../../../extension/core/peftModel.ts";
import { logitsOf, makeFactors, tinyLlama, writeLora } from "./peft/tinyLlama.ts";
import { failure, fixtures, sample, temporaryFolder } from "./support.ts";

const base = await loadBaseModel(tinyLlama);
after(() => base.session.dispose());
const probes = [
  [5, 17, 42, 99],
  [7, 64],
];

test("an adapter's effect on probes, in figures", async () => {
  const model = await PeftModel.fromPretrained(
    base,
    path.join(fixtures, "adapters/llama/lora_all_linear"),
  );
  const seen: number[] = [];
  const report = await model.measureEffect({
    probes,
    onProgress: ({ done = 0 }) => seen.push(done),
  });
  assert.deepEqual([report.probes, report.positions, seen], [2, 6, [0, 1]]);
  assert(report.largest > 1 && report.mean > 0.01 && report.mean < report.largest);
  assert(report.divergence.mean > 0 && report.divergence.mean <= report.divergence.largest);
  assert(report.changedTop > 0 && report.changedTop >= report.changedAnswers);
  assert(!report.changesNothing);
  // At weight 0 it is the base, exactly.
  const none = await model.measureEffect({ probes, adapters: [{ name: "default", weight: 0 }] });
  assert.deepEqual(
    [none.largest, none.mean, none.divergence.largest, none.changedTop, none.changesNothing],
    [0, 0, 0, 0, true],
  );
});

test("an adapter that changes nothing is called so", async (t) => {
  const factors = makeFactors({ "model.layers.0.self_attn.q_proj": 2 });
  for (const { b } of factors.values()) b.fill(0);
  const folder = await writeLora(path.join(await temporaryFolder(t), "zero"), factors);
  const model = await PeftModel.fromPretrained(base, folder);
  const report = await model.measureEffect({ probes });
  assert.deepEqual([report.changesNothing, report.changedTop], [true, 0]);
});

test("virtual tokens and grown vocabularies are compared at the same places", async () => {
  for (const name of ["prompt_tuning_random", "prefix_tuning", "lora_resized_vocab"]) {
    const folder = path.join(fixtures, "adapters/llama", name);
    const model = await PeftModel.fromPretrained(base, folder);
    const report = await model.measureEffect({ probes });
    assert.equal(report.positions, 6, name);
    assert(report.largest > 0 && Number.isFinite(report.divergence.mean), name);
  }
});

test("without probes a base with a tokenizer is asked everyday things", async (t) => {
  const own = await loadBaseModel(path.join(sample, "base"));
  const model = await PeftModel.fromPretrained(own, path.join(sample, "adapters/lora-pirate"));
  t.after(() => model.dispose());
  const report = await model.measureEffect();
  assert(report.probes > 2 && report.positions > 10 && !report.changesNothing);
  assert(report.changedTop > 0);
});

test("probes that cannot be run are refused", async () => {
  const model = new PeftModel(base);
  await assert.rejects(model.measureEffect({ probes: [] }), failure("bad-request", "no probe"));
  await assert.rejects(model.measureEffect({ probes: [[]] }), failure("bad-request", "0 tokens"));
  const signal = AbortSignal.abort();
  await assert.rejects(model.measureEffect({ probes, signal }), failure("cancelled"));
  assert((await logitsOf(model)).length > 0);
});
