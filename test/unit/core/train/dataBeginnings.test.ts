import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import * as path from "node:path";
import { test } from "node:test";
import { adapterConfigOf } from "../../../../extension/core/checkpoint/adapterConfig.ts";
import { weightName } from "../../../../extension/core/checkpoint/modules.ts";
import { describeBase } from "../../../../extension/core/baseModel.ts";
import { openTrainingBase } from "../../../../extension/core/trainingBase.ts";
import { prepareTraining } from "../../../../extension/core/prepareTraining.ts";
import { trainingOptions } from "../../../../extension/core/train/options.ts";
import { TrainingModel } from "../../../../extension/core/train/trainingModel.ts";
import { batchOf, splitOf, type Text } from "../../../support/trainingData.ts";
import { fixtures, root } from "../support.ts";

interface Summary {
  first: number[];
  magnitude: number;
}

interface Case {
  config: Record<string, unknown>;
  ranks: Record<string, number>;
  scaling: Record<string, number>;
  loss: number;
  modules: Record<string, { a: Summary; b: Summary; base: Summary }>;
}

const truths = JSON.parse(
  readFileSync(path.join(root, "test/golden/dataBeginnings.json"), "utf8"),
) as { seed: number; texts: Text[]; cases: Record<string, Case> };

const base = await openTrainingBase(path.join(fixtures, "models/llama"));
const options = trainingOptions.parse({ batchSize: 2, shuffle: false, seed: truths.seed });
const texts = { train: splitOf(truths.texts), options };

for (const [name, truth] of Object.entries(truths.cases)) {
  void test(`LoRA begins as PEFT's by data: ${name}`, async () => {
    const start = { kind: "new", config: adapterConfigOf(truth.config) } as const;
    const parts = await prepareTraining(base, start, {
      ...{ seed: truths.seed, texts, session: { threads: 1 } },
    });
    const { adapter, values, rounded } = parts;
    const found = adapter.parameters.flatMap(({ name: own, shape }) => {
      const module = /^base_model\.model\.(.+)\.lora_A\.weight$/.exec(own)?.[1];
      return module === undefined ? [] : [[module, shape[0]] as const];
    });
    assert.deepEqual(Object.fromEntries(found), truth.ranks);
    for (const [module, { a, b }] of Object.entries(truth.modules)) {
      compare(values.get(`base_model.model.${module}.lora_A.weight`), a, `${module} A`);
      compare(values.get(`base_model.model.${module}.lora_B.weight`), b, `${module} B`);
    }
    if (rounded) {
      const own = describeBase(rounded.checkpoint);
      for (const [module, truthOf] of Object.entries(truth.modules)) {
        const known = own.tree.modules.find(({ path: each }) => each === module);
        assert(known);
        compare((await own.readTensor(weightName(known))) ?? undefined, truthOf.base, module);
      }
    }
    const model = await TrainingModel.create(parts, options, { threads: 1 });
    try {
      const batch = batchOf(truths.texts.slice(0, 2));
      const loss = (await model.evaluate(batch)) / model.termsOf(batch);
      assert(Math.abs(loss - truth.loss) < 1e-4, `the loss is ${loss}, PEFT's ${truth.loss}`);
    } finally {
      await model.dispose();
    }
  });
}

/** Signs of singular vectors are nobody's: numbers are compared without them. */
function compare(own: Float32Array | undefined, { first, magnitude }: Summary, what: string): void {
  assert(own, `${what} is missing`);
  const sum = own.reduce((all, value) => all + Math.abs(value), 0);
  const limit = 1e-3 * magnitude + 1e-6;
  assert(Math.abs(sum - magnitude) <= limit, `${what}: ${sum} for ${magnitude}`);
  const size = magnitude / own.length;
  first.forEach((value, i) => {
    const difference = Math.abs(Math.abs(own[i] as number) - value);
    assert(
      difference <= 2e-3 * Math.max(size, value) + 1e-6,
      `${what}[${i}]: ${own[i]} for ${value}`,
    );
  });
}
