/** What methods do between steps and beside the loss, through the trainer: AdaLoRA's ranks and penalty, OFT's bound. */
import assert from "node:assert/strict";
import { cp, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { after, before, test } from "node:test";
import { isDeepStrictEqual } from "node:util";
import { adapterConfigOf } from "../../../../extension/core/checkpoint/adapterConfig.ts";
import { continued } from "../../../../extension/core/adapterStart.ts";
import { openTrainingBase, type TrainingBase } from "../../../../extension/core/trainingBase.ts";
import { prepareTraining } from "../../../../extension/core/prepareTraining.ts";
import { openSafetensors, readFloat32 } from "../../../../extension/core/safetensors/read.ts";
import { readTokenizer } from "../../../../extension/core/tokens/tokenizer.ts";
import { train, type TrainRequest, TrainingRun } from "../../../../extension/core/trainAdapter.ts";
import type { Split } from "../../../../extension/core/train/data/batch.ts";
import type { TrainingEvent } from "../../../../extension/core/train/events.ts";
import { trainingOptions } from "../../../../extension/core/train/options.ts";
import { TrainingModel } from "../../../../extension/core/train/trainingModel.ts";
import { chatTexts, splitOf } from "../../../support/trainingData.ts";

const sample = path.join(import.meta.dirname, "../../../../media/sample");
const ranked = {
  peft_type: "ADALORA",
  task_type: "CAUSAL_LM",
  init_r: 4,
  target_r: 2,
  total_step: 6,
  tfinal: 2,
  lora_alpha: 8,
  target_modules: ["q_proj", "v_proj"],
};
const plan = { epoch: 0, batchSize: 3, seed: 0, isShuffled: false };

let root = "";
let base: TrainingBase;
let data: Split;

before(async () => {
  root = await mkdtemp(path.join(tmpdir(), "graft-ranks-"));
  base = await openTrainingBase(path.join(sample, "base"));
  const tokenizer = await readTokenizer(path.join(sample, "base"));
  assert.ok(tokenizer);
  const texts = chatTexts(path.join(sample, "training/pirate.jsonl"), tokenizer);
  data = splitOf(texts.filter(({ ids }) => ids.length < 30).slice(0, 12));
});

after(() => rm(root, { recursive: true, force: true }));

function request(name: string, more: Partial<TrainRequest> = {}): TrainRequest {
  return {
    base,
    adapter: { kind: "new", config: adapterConfigOf(ranked) },
    data: { train: data },
    folder: path.join(root, name),
    session: { threads: 1 },
    ...more,
    options: { batchSize: 2, maxSteps: 6, learningRate: 0.01, saveSteps: 1, ...more.options },
  };
}

async function modelOf(fields: Record<string, unknown>): Promise<TrainingModel> {
  const start = { kind: "new", config: adapterConfigOf(fields) } as const;
  const parts = await prepareTraining(base, start, { seed: 1 });
  const options = trainingOptions.parse({ learningRate: 0.5, maxGradNorm: 0 });
  return TrainingModel.create(parts, options, { threads: 1 });
}

void test("ranks are taken away on the way, and a run that goes on takes the same, bit for bit", async () => {
  await train(request("whole"));
  const files = ["adapter_model.safetensors", "adapter_config.json"];
  for (const step of [1, 3, 5]) {
    const name = `again-${step}`;
    const from = path.join(root, `whole/checkpoint-${step}`);
    await cp(from, path.join(root, name, `checkpoint-${step}`), { recursive: true });
    await train(request(name, { resume: true }));
    for (const file of [...files, "checkpoint-6/optimizer.pt"]) {
      const [own, other] = await Promise.all(
        [name, "whole"].map((each) => readFile(path.join(root, each, file))),
      );
      assert.ok(own?.equals(other as Buffer), `${file} after step ${step}`);
    }
  }
});

void test("clusters that stop learning stay as they were, over a resumed run too", async () => {
  const fields = {
    ...{ peft_type: "ADAMSS", task_type: "CAUSAL_LM", r: 8, num_subspaces: 3 },
    ...{ use_asa: true, asa_target_subspaces: 4, asa_schedule_exponent: 1 },
    ...{ init_warmup: 0, final_warmup: 3, mask_interval: 3, target_modules: ["v_proj"] },
  };
  const adapter = { kind: "new", config: adapterConfigOf(fields) } as const;
  const notes: string[] = [];
  const onEvent = (event: TrainingEvent): void => {
    if (event.kind === "note") notes.push(event.text);
  };
  await train(request("clusters", { adapter, onEvent }));
  assert.deepEqual(notes, []);
  const read = (name: string): Promise<Map<string, Float32Array>> =>
    tensorsOf(path.join(root, name));
  const end = await read("clusters");
  const [before, later] = [
    await read("clusters/checkpoint-4"),
    await read("clusters/checkpoint-5"),
  ];
  const names = [...end.keys()].filter((name) => name.includes("adamss_B."));
  const isStill = (name: string): boolean =>
    [later, end].every((each) => isDeepStrictEqual(each.get(name), before.get(name)));
  // Of the clusters that are asked for PEFT keeps one less.
  assert.equal(names.filter((name) => !isStill(name)).length, 3);
  await cp(path.join(root, "clusters/checkpoint-5"), path.join(root, "more/checkpoint-5"), {
    recursive: true,
  });
  await train(request("more", { adapter, resume: true }));
  assert.deepEqual(await read("more"), end);
});

/** An adapter's tensors. */
async function tensorsOf(folder: string): Promise<Map<string, Float32Array>> {
  const file = path.join(folder, "adapter_model.safetensors");
  const { tensors } = await openSafetensors(file);
  return readFloat32(file, tensors);
}

void test("the adapter is saved without the ranks that were taken, and computes what it computed", async () => {
  const run = await TrainingRun.open(request("whole", { resume: true }));
  const batch = data.plan(plan).batch(0);
  const trained = await run.trainer.model.evaluate(batch);
  await run.dispose();
  const config = JSON.parse(
    await readFile(path.join(root, "whole/adapter_config.json"), "utf8"),
  ) as { rank_pattern: Record<string, boolean[]> };
  const left = Object.values(config.rank_pattern);
  assert.equal(left.flat().filter(Boolean).length, 2 * left.length);
  const start = await continued(path.join(root, "whole"));
  const parts = await prepareTraining(base, start, { seed: 5 });
  assert.deepEqual(parts.warnings, []);
  const remarks = parts.adapter.remarks?.(6) ?? [];
  assert.match(remarks.join(), /ranks are settled/);
  const model = await TrainingModel.create(parts, trainingOptions.parse({}), { threads: 1 });
  const loss = await model.evaluate(batch);
  await model.dispose();
  assert.equal(model.allocator, null);
  assert(Math.abs(loss - trained) < 1e-5 * trained, `${loss} instead of ${trained}`);
});

void test("a penalty counts as much as the batch, and its gradient is that of the formula", async () => {
  const batch = data.plan(plan).batch(0);
  const weight = 0.7;
  const seen: { loss: number; gradients: Map<string, Float32Array> }[] = [];
  let wanted = { value: 0, gradients: new Map<string, Float64Array>() };
  for (const orth of [0, weight]) {
    const model = await modelOf({ ...ranked, orth_reg_weight: orth });
    if (orth > 0) wanted = penaltyOf(model.parameters.values(), orth);
    // Two halves of a step: together they count once.
    let loss = 0;
    const share = 0.5 / model.termsOf(batch);
    for (let half = 0; half < 2; half++) loss += await model.step(batch, { share, seed: 0 });
    seen.push({ loss, gradients: model.parameters.gradients() });
    await model.dispose();
  }
  const [without, with_] = seen as [(typeof seen)[0], (typeof seen)[0]];
  assert(Math.abs(with_.loss - without.loss - wanted.value) < 1e-4, "value of the penalty");
  for (const [name, gradient] of wanted.gradients) {
    const [own, other] = [with_.gradients.get(name), without.gradients.get(name)];
    gradient.forEach((value, i) => {
      const difference = (own?.[i] as number) - (other?.[i] as number);
      assert(Math.abs(difference - value) < 1e-5, `${name} ${i}: ${difference}, ${value}`);
    });
  }
});

/** weight · mean of ‖A Aᵀ − I‖ and ‖Bᵀ B − I‖, and its derivatives 2 weight / count · (A Aᵀ − I) A / ‖…‖. */
function penaltyOf(
  values: ReadonlyMap<string, Float32Array>,
  weight: number,
): { value: number; gradients: Map<string, Float64Array> } {
  const own = [...values].filter(([name]) => /lora_[AB]$/.test(name));
  const gradients = new Map<string, Float64Array>();
  let value = 0;
  for (const [name, matrix] of own) {
    const [rank, width] = [ranked.init_r, matrix.length / ranked.init_r];
    const at = (r: number, i: number): number =>
      matrix[name.endsWith("A") ? r * width + i : i * rank + r] as number;
    const off = Array.from({ length: rank }, (_, r) =>
      Array.from({ length: rank }, (_unused, q) => {
        let sum = r === q ? -1 : 0;
        for (let i = 0; i < width; i++) sum += at(r, i) * at(q, i);
        return sum;
      }),
    );
    const norm = Math.hypot(...off.flat());
    value += (weight * norm) / own.length;
    gradients.set(
      name,
      Float64Array.from({ length: matrix.length }, (_, k) => {
        const [r, i] = name.endsWith("A")
          ? [Math.floor(k / width), k % width]
          : [k % rank, Math.floor(k / rank)];
        const sum = off[r]?.reduce((all, each, q) => all + each * at(q, i), 0) ?? 0;
        return (2 * weight * sum) / norm / own.length;
      }),
    );
  }
  return { value, gradients };
}

void test("what PEFT's forward cuts is cut before the step after an update", async () => {
  const eps = 1e-3;
  const fields = { peft_type: "OFT", task_type: "CAUSAL_LM", r: 0, oft_block_size: 8 };
  const model = await modelOf({ ...fields, target_modules: ["q_proj"], coft: true, eps });
  const batch = data.plan(plan).batch(0);
  const longest = (): number => {
    const [own] = [...model.parameters.values().values()];
    const rows = Array.from({ length: (own as Float32Array).length / 28 }, (_, row) =>
      Math.hypot(...(own as Float32Array).subarray(row * 28, (row + 1) * 28)),
    );
    return Math.max(...rows) / (eps / Math.sqrt(2 * rows.length));
  };
  await model.step(batch, { share: 0.1, seed: 0 });
  await model.update({ factor: 1, limit: Infinity });
  assert(longest() > 2, "the update stays within the bound by itself");
  await model.step(batch, { share: 0.1, seed: 0 });
  assert(longest() < 1.0001, `${longest()} times the bound`);
  await model.dispose();
});
