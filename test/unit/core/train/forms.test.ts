import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { after, before, test } from "node:test";
import { adapterConfigOf } from "../../../../extension/core/checkpoint/adapterConfig.ts";
import {
  trainableMethodOf,
  trainableMethods,
} from "../../../../extension/core/peft/trainable/index.ts";
import { openTrainingBase, type TrainingBase } from "../../../../extension/core/trainingBase.ts";
import { readTokenizer } from "../../../../extension/core/tokens/tokenizer.ts";
import type { Split } from "../../../../extension/core/train/data/batch.ts";
import { train } from "../../../../extension/core/trainAdapter.ts";
import { divisorOf } from "../../../../extension/training/baseModules.ts";
import { newDraft } from "../../../../extension/training/draft.ts";
import { type ConfigSchema, methodForms } from "../../../../extension/training/methodForms.ts";
import { withMethod } from "../../../../webview/train/draft.ts";
import schema from "../../../../media/schemas/adapter_config.schema.json" with { type: "json" };
import { chatTexts, splitOf } from "../../../support/trainingData.ts";

const sample = path.join(import.meta.dirname, "../../../../media/sample");
const types = trainableMethods
  .filter(({ whyNotNew }) => !whyNotNew)
  .map(({ peftType }) => peftType);
const forms = methodForms(schema as unknown as ConfigSchema, types);

/** What the form asks for by itself. */
const typed: Readonly<Record<string, Record<string, unknown>>> = {
  TRAINABLE_TOKENS: { token_indices: [5, 9] },
};

let root = "";
let base: TrainingBase;
let data: Split;
let divisor: number | null = null;

before(async () => {
  root = await mkdtemp(path.join(tmpdir(), "graft-forms-"));
  base = await openTrainingBase(path.join(sample, "base"));
  const modules = base.base.tree.modules.filter(({ kind }) => kind === "linear");
  divisor = divisorOf({ modules } as Parameters<typeof divisorOf>[0]);
  assert.equal(divisor, 16);
  const tokenizer = await readTokenizer(path.join(sample, "base"));
  assert.ok(tokenizer);
  const texts = chatTexts(path.join(sample, "training/pirate.jsonl"), tokenizer);
  data = splitOf(texts.filter(({ ids }) => ids.length < 30).slice(0, 2));
});

after(() => rm(root, { recursive: true, force: true }));

/** What the form makes of a method that is chosen. */
function chosen(peftType: string): Record<string, unknown> {
  const form = forms.find((each) => each.peftType === peftType);
  const { adapter } = newDraft({ path: sample, parameters: 1e6 });
  assert(form && adapter.kind === "new", `${peftType} has no form`);
  return { ...withMethod(adapter.config, form, divisor), ...typed[peftType] };
}

/** One step, and an evaluation after it; on some layers alone where all of them are targeted. */
async function oneStep(config: Record<string, unknown>): Promise<[step: number, after: number]> {
  const isAll = config["target_modules"] === "all-linear";
  const some = { ...config, ...(isAll && { target_modules: ["q_proj", "v_proj"] }) };
  const losses: number[] = [];
  const folder = await mkdtemp(path.join(root, "run-"));
  const end = await train({
    base,
    adapter: { kind: "new", config: adapterConfigOf(some) },
    data: { train: data, evaluation: data },
    folder,
    session: { threads: 1 },
    options: { batchSize: 2, maxSteps: 1, evalSteps: 1, learningRate: 1e-6 },
    onEvent: (event) => {
      if (event.kind === "step" || event.kind === "evaluation") losses.push(event.loss);
    },
  });
  assert.equal(end.finish, "done");
  const saved = JSON.parse(await readFile(path.join(folder, "adapter_config.json"), "utf8")) as {
    peft_type: string;
  };
  assert.equal(saved.peft_type, config["peft_type"]);
  assert(losses.length === 2 && losses.every(Number.isFinite), `losses ${losses.join()}`);
  return losses as [number, number];
}

for (const peftType of types) {
  test(`the form's own values for ${peftType} start a run on the sample base`, async () => {
    const config = chosen(peftType);
    const method = trainableMethodOf(adapterConfigOf(config));
    // On all layers that the form chooses; what reads weights first takes long there.
    if (!method.look) method.prepare(adapterConfigOf(config), base.base);
    await oneStep(config);
  });
}

/** Adapters that change the base much, all of which is left out of the step and none of the evaluation. */
const dropouts: readonly [string, Record<string, unknown>][] = [
  ["LOHA", { module_dropout: 0.999999 }],
  ["LOKR", { module_dropout: 0.999999, rank_dropout: 0.5, rank_dropout_scale: true }],
  ["OFT", { module_dropout: 1 }],
];

for (const [peftType, fields] of dropouts) {
  test(`${peftType} is left out of a step by ${Object.keys(fields).join()}`, async () => {
    const [bare] = await oneStep(chosen("LORA"));
    const config = { ...chosen(peftType), init_weights: false };
    const [whole] = await oneStep(config);
    const [step, after] = await oneStep({ ...config, ...fields });
    assert(Math.abs(step - bare) < 1e-5, `${step}, the base has ${bare}`);
    assert(Math.abs(whole - bare) > 1e-3, `${whole}, the base has ${bare}`);
    assert(Math.abs(after - whole) < 1e-3, `${after} in the evaluation, ${whole} whole`);
  });
}

test("no new adapter begins that PEFT would load as another", async () => {
  const config = { peft_type: "FROD", task_type: "CAUSAL_LM", target_modules: "all-linear" };
  await assert.rejects(oneStep(config), /that PEFT made, and begins no new ones/);
});

test("BOFT is trained with some blocks left out of one factor", async () => {
  const fields = { boft_dropout: 0.5, boft_n_butterfly_factor: 2, init_weights: false };
  const config = { ...chosen("BOFT"), target_modules: ["q_proj"] };
  const [whole] = await oneStep({ ...config, ...fields, boft_dropout: 0 });
  const [step, after] = await oneStep({ ...config, ...fields });
  assert(Math.abs(step - whole) > 1e-5, "nothing is left out of the step");
  assert(Math.abs(after - whole) < 1e-3, "something is left out of the evaluation");
});
