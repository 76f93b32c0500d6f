import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { torchGenerator } from "../../../../../extension/core/base/torchRandom.ts";
import { describeBase } from "../../../../../extension/core/baseModel.ts";
import { adapterConfigOf } from "../../../../../extension/core/checkpoint/adapterConfig.ts";
import { openCheckpoint } from "../../../../../extension/core/models/openCheckpoint.ts";
import { trainableMethodOf } from "../../../../../extension/core/peft/trainable/index.ts";
import { failure, fixtures, root } from "../../support.ts";

interface Truths {
  seed: number;
  cases: Record<
    string,
    {
      config: Record<string, unknown>;
      order: string[];
      tensors: Record<string, { first: number[]; magnitude: number }>;
    }
  >;
}

const truths = JSON.parse(
  readFileSync(path.join(root, "test/golden/beginnings.json"), "utf8"),
) as Truths;

/** Initialisations whose factors have singular vectors' signs: both of a pair turn together. */
const signless = new Set(["pissa", "pissa_dora", "mica"]);

const base = describeBase(await openCheckpoint(path.join(fixtures, "models/llama")));

for (const [name, { config, order, tensors }] of Object.entries(truths.cases)) {
  test(`a new adapter begins as PEFT's: ${name}`, async () => {
    const method = trainableMethodOf(adapterConfigOf(config));
    const adapter = method.prepare(adapterConfigOf(config), base);
    const random = torchGenerator(truths.seed);
    const values = await method.initialize(adapter, base, { random });
    const names = adapter.parameters
      .filter(({ isTrained }) => isTrained)
      .map((parameter) => parameter.torchName ?? parameter.name);
    assert.deepEqual(names.slice(0, order.length), order);
    for (const [tensor, { first, magnitude }] of Object.entries(tensors)) {
      const own = values.get(tensor);
      assert(own, `${tensor} is missing`);
      const sum = own.reduce((all, value) => all + Math.abs(value), 0);
      assert(Math.abs(sum - magnitude) <= 2e-5 * magnitude, `${tensor}: ${sum} for ${magnitude}`);
      first.forEach((value, i) => {
        const [a, b] = [own[i] as number, value];
        const difference = signless.has(name) ? Math.abs(a) - Math.abs(b) : a - b;
        assert(Math.abs(difference) < 2e-5, `${tensor}[${i}] is ${a}, PEFT has ${b}`);
      });
    }
  });
}

test("what cannot begin or be trained is refused by name", async () => {
  const prepare = (fields: Record<string, unknown>): unknown => {
    const config = adapterConfigOf({ peft_type: "LORA", target_modules: ["q_proj"], ...fields });
    return trainableMethodOf(config).prepare(config, base);
  };
  assert.throws(() => prepare({ use_qalora: true }), failure("unsupported", "use_qalora"));
  assert.throws(
    () => prepare({ velora_config: { rank: 2 } }),
    failure("unsupported", "velora_config"),
  );
  assert.throws(
    () => prepare({ init_lora_weights: "kaiming" }),
    failure("bad-file", "init_lora_weights", "gaussian, eva, olora, pissa, corda", "pissa_niter_N"),
  );
  const loftq = { init_lora_weights: "loftq", loftq_config: { loftq_bits: 2 } };
  assert.throws(() => prepare(loftq), failure("bad-file", "loftq_bits", "one of 4, 8"));
  assert.throws(
    () => prepare({ init_lora_weights: "corda", alora_invocation_tokens: [5] }),
    failure("unsupported", "corda", "alora_invocation_tokens"),
  );
  assert.throws(() => prepare({ target_modules: ["nothing"] }), failure("misfit", "nothing"));
  const odd = adapterConfigOf({
    ...{ peft_type: "LORA", target_modules: ["q_proj"], r: 3 },
    init_lora_weights: "orthogonal",
  });
  const method = trainableMethodOf(odd);
  const adapter = method.prepare(odd, base);
  await assert.rejects(
    method.initialize(adapter, base, { random: torchGenerator(0) }),
    failure("unsupported", "orthogonal", "even rank"),
  );
});

test("a config gets the task's heads, its default targets and the modules of all-linear", () => {
  const targetsOf = (fields: Record<string, unknown>): Record<string, unknown> => {
    const config = adapterConfigOf({ peft_type: "LORA", ...fields });
    return trainableMethodOf(config).prepare(config, base).config.raw;
  };
  assert.deepEqual(targetsOf({})["target_modules"], ["q_proj", "v_proj"]);
  const all = targetsOf({ target_modules: "all-linear" })["target_modules"] as string[];
  assert.equal(all.length, 14);
  assert(!all.includes("lm_head"));
  const heads = targetsOf({ task_type: "SEQ_CLS", modules_to_save: ["norm"], other: 1 });
  assert.deepEqual(heads["modules_to_save"], ["norm", "classifier", "score"]);
  assert.equal(heads["other"], 1);
});
