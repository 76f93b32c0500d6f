import assert from "node:assert/strict";
import { cp, readdir, readFile } from "node:fs/promises";
import * as path from "node:path";
import { before, test } from "node:test";
import { adapterConfigOf } from "../../../../extension/core/checkpoint/adapterConfig.ts";
import type { OnProgress } from "../../../../extension/core/base/progress.ts";
import { prepareTraining } from "../../../../extension/core/prepareTraining.ts";
import {
  openTrainingBase,
  type TrainingBase,
  type TrainingBaseOptions,
} from "../../../../extension/core/trainingBase.ts";
import { trainingOptions } from "../../../../extension/core/train/options.ts";
import { TrainingModel } from "../../../../extension/core/train/trainingModel.ts";
import type { PrecisionOptions } from "../../../../extension/core/precision.ts";
import { readTokenizer } from "../../../../extension/core/tokens/tokenizer.ts";
import { train, type TrainRequest } from "../../../../extension/core/trainAdapter.ts";
import type { Split } from "../../../../extension/core/train/data/batch.ts";
import { chatTexts, splitOf } from "../../../support/trainingData.ts";
import { dequantized } from "../dequantized.ts";
import { sample, temporaryFolder } from "../support.ts";

const folder = path.join(sample, "base");
const config = adapterConfigOf({
  peft_type: "LORA",
  task_type: "CAUSAL_LM",
  r: 4,
  lora_alpha: 8,
  lora_dropout: 0.1,
  target_modules: "all-linear",
});

let data: Split;

before(async () => {
  const tokenizer = await readTokenizer(folder);
  assert.ok(tokenizer);
  const texts = chatTexts(path.join(sample, "training/pirate.jsonl"), tokenizer);
  data = splitOf(texts.filter(({ ids }) => ids.length < 30).slice(0, 12));
});

function request(
  base: TrainingBase,
  place: string,
  more: Partial<TrainRequest> = {},
): TrainRequest {
  const schedule = { type: "constant" } as const;
  return {
    base,
    adapter: { kind: "new", config },
    data: { train: data },
    folder: place,
    options: { batchSize: 4, maxSteps: 6, learningRate: 0.01, saveSteps: 3, schedule },
    session: { threads: 1 },
    ...more,
  };
}

async function lossesOf(base: TrainingBase, place: string): Promise<number[]> {
  const losses: number[] = [];
  const onEvent: TrainRequest["onEvent"] = (event) => {
    if (event.kind === "step") losses.push(event.loss);
  };
  await train(request(base, place, { onEvent }));
  return losses;
}

const cases: readonly PrecisionOptions[] = [
  { precision: "bf16" },
  { precision: "int8" },
  { precision: "int4" },
  { precision: "nf4", doubleQuant: true },
  { precision: "int8", quantization: "nf4" },
];

for (const options of cases) {
  const name = Object.values(options).join(" ");
  void test(`on a base in ${name} a run learns as on its numbers in fp32, and resumes bit for bit`, async (t) => {
    const root = await temporaryFolder(t);
    const place = (own: string): string => path.join(root, own);
    const base = await openTrainingBase(folder, { ...options, accuracyLevel: 0 });
    t.after(() => base.dispose());
    const losses = await lossesOf(base, place("whole"));
    assert.ok((losses.at(-1) as number) < 0.8 * (losses[0] as number), losses.join());

    const plain = await openTrainingBase(await dequantized(t, base.checkpoint, base.base));
    const exact = await lossesOf(plain, place("plain"));
    losses.forEach((loss, i) => assert.ok(Math.abs(loss - (exact[i] as number)) < 1e-4, `${i}`));

    await cp(place("whole/checkpoint-3"), place("again/checkpoint-3"), { recursive: true });
    await train(request(base, place("again"), { resume: true }));
    const adapters = ["whole", "again"].map((own) => `${own}/adapter_model.safetensors`);
    const [one, other] = await Promise.all(adapters.map((file) => readFile(place(file))));
    assert.ok(one && other && one.equals(other));

    const saved = JSON.parse(await readFile(place("whole/adapter_config.json"), "utf8")) as Record<
      string,
      unknown
    >;
    assert.equal(saved["base_model_name_or_path"], folder);
  });
}

void test("rounded weights are made once for all runs, and never to measure with", async (t) => {
  const quantCacheDir = await temporaryFolder(t);
  const open = async (more: TrainingBaseOptions): Promise<[steps: Set<string>, sum: number]> => {
    const steps = new Set<string>();
    const onProgress: OnProgress = ({ step }) => void steps.add(step);
    const base = await openTrainingBase(folder, { precision: "int4", onProgress, ...more });
    const [name] = [...(base.checkpoint.packed?.keys() ?? [])];
    const parts = await prepareTraining(base, { kind: "new", config }, { seed: 1 });
    const model = await TrainingModel.create(parts, trainingOptions.parse({}), { threads: 1 });
    const batch = data.plan({ epoch: 0, batchSize: 2, seed: 0, isShuffled: false }).batch(0);
    assert.ok(Number.isFinite(await model.step(batch, { share: 1, seed: 0 })));
    await model.dispose();
    const values = await base.base.readTensor(name as string);
    await base.dispose();
    return [steps, values?.reduce((sum, value) => sum + Math.abs(value), 0) ?? 0];
  };
  const [measured, plain] = await open({ quantCacheDir, sizesOnly: true });
  assert.ok(!measured.has("Quantizing"));
  assert.deepEqual(await readdir(quantCacheDir), []);
  const [first, rounded] = await open({ quantCacheDir });
  assert.ok(first.has("Quantizing"));
  for (const sizesOnly of [false, true]) {
    const [again, same] = await open({ quantCacheDir, sizesOnly });
    assert.ok(!again.has("Quantizing"));
    assert.equal(same, rounded);
  }
  // Beginnings by the base's values see those that are to be rounded.
  assert.ok(Math.abs(plain / rounded - 1) < 0.05, `${plain} ${rounded}`);
});
