import assert from "node:assert/strict";
import { cp, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { after, before, test } from "node:test";
import { adapterConfigOf } from "../../../../extension/core/checkpoint/adapterConfig.ts";
import type { CausalModel } from "../../../../extension/core/models/causalModel.ts";
import { continued } from "../../../../extension/core/adapterStart.ts";
import { openTrainingBase, type TrainingBase } from "../../../../extension/core/trainingBase.ts";
import { prepareTraining } from "../../../../extension/core/prepareTraining.ts";
import { openSafetensors, readFloat32 } from "../../../../extension/core/safetensors/read.ts";
import { readTokenizer, type Tokenizer } from "../../../../extension/core/tokens/tokenizer.ts";
import { train, type TrainRequest } from "../../../../extension/core/trainAdapter.ts";
import type { Split } from "../../../../extension/core/train/data/batch.ts";
import { lossFeeds } from "../../../../extension/core/train/lossFeeds.ts";
import { chatTexts, splitOf } from "../../../support/trainingData.ts";

const sample = path.join(import.meta.dirname, "../../../../media/sample");

let root = "";
let base: TrainingBase;
let tokenizer: Tokenizer;
let data: Split;

before(async () => {
  root = await mkdtemp(path.join(tmpdir(), "graft-prompts-"));
  base = await openTrainingBase(path.join(sample, "base"));
  tokenizer = (await readTokenizer(path.join(sample, "base"))) as Tokenizer;
  const texts = chatTexts(path.join(sample, "training/pirate.jsonl"), tokenizer);
  data = splitOf(texts.filter(({ ids }) => ids.length < 30).slice(0, 8));
});

after(() => rm(root, { recursive: true, force: true }));

function configOf(peftType: string, fields: Record<string, unknown>) {
  return adapterConfigOf({ peft_type: peftType, task_type: "CAUSAL_LM", ...fields });
}

async function valuesOf(file: string, name: string): Promise<Float32Array> {
  const { tensors } = await openSafetensors(file);
  assert.deepEqual(
    tensors.map((tensor) => tensor.name),
    [name],
  );
  return (await readFloat32(file, tensors)).get(name) as Float32Array;
}

void test("the file has the prompt that an encoder makes, a checkpoint the encoder as well", async () => {
  const config = configOf("P_TUNING", { num_virtual_tokens: 3, encoder_hidden_size: 8 });
  const request = (name: string, more: Partial<TrainRequest> = {}): TrainRequest => ({
    base,
    adapter: { kind: "new", config },
    data: { train: data },
    folder: path.join(root, name),
    session: { threads: 1 },
    options: { batchSize: 2, maxSteps: 4, saveSteps: 2, learningRate: 0.05 },
    ...more,
  });
  await train(request("whole"));
  const half = path.join(root, "whole/checkpoint-2");
  await cp(half, path.join(root, "again/checkpoint-2"), { recursive: true });
  await train(request("again", { resume: true }));
  const file = (name: string): string => path.join(root, name, "adapter_model.safetensors");
  assert.ok((await readFile(file("whole"))).equals(await readFile(file("again"))), "resumed");
  const before = await valuesOf(path.join(half, "adapter_model.safetensors"), "prompt_embeddings");
  const after = await valuesOf(file("whole"), "prompt_embeddings");
  assert.equal(after.length, before.length);
  assert.notDeepEqual(after, before);

  const saved = JSON.parse(await readFile(path.join(root, "whole/adapter_config.json"), "utf8"));
  assert.equal(saved.token_dim * 3, after.length);
  assert.equal(saved.encoder_hidden_size, 8);
  await assert.rejects(
    async () => prepareTraining(base, await continued(path.join(root, "whole")), { seed: 1 }),
    { code: "unsupported", message: /not what makes it/ },
  );
  await rm(path.join(half, "graft_parameters.safetensors"));
  await rm(path.join(half, "graft_state.json"));
  await assert.rejects(train(request("whole", { resume: half })), { code: "misfit" });
});

void test("a prompt begins with a text, cut or said again", async () => {
  const text = "Answer like a pirate.";
  const ids = tokenizer.encode(text);
  const count = ids.length + 2;
  const config = configOf("PROMPT_TUNING", {
    num_virtual_tokens: count,
    prompt_tuning_init: "TEXT",
    prompt_tuning_init_text: text,
    tokenizer_name_or_path: "base",
  });
  const { values, adapter } = await prepareTraining(base, { kind: "new", config }, { seed: 1 });
  const rows = values.get("prompt_embeddings") as Float32Array;
  const [parameter] = adapter.parameters;
  const width = parameter?.shape[1] as number;
  const name = base.base.tree.modules.find(({ kind }) => kind === "embedding")?.path;
  const table = (await base.base.readTensor(`${name}.weight`)) as Float32Array;
  for (const [place, id] of [...ids, ...ids].slice(0, count).entries()) {
    assert.deepEqual(
      rows.subarray(place * width, (place + 1) * width),
      table.subarray(id * width, (id + 1) * width),
    );
  }
});

void test("answers of CPT's examples are learned, earlier ones count less", async () => {
  const config = configOf("CPT", {
    cpt_token_ids: [5, 6, 7, 8, 5, 6, 7, 9],
    cpt_tokens_type_mask: [1, 2, 3, 4, 5, 6, 7, 8],
    opt_weighted_loss_type: "decay",
    opt_loss_decay_factor: 0.5,
  });
  const { adapter, model } = await prepareTraining(base, { kind: "new", config }, { seed: 1 });
  const { virtualTokens = 0, virtualLabels } = adapter;
  const ids = Int32Array.of(11, 12, 13);
  const batch = {
    rows: 1,
    length: 3,
    inputIds: ids,
    attentionMask: Int32Array.of(1, 1, 1),
    labels: Int32Array.of(-100, 12, 13),
    learnedTokens: 2,
  };
  const feeds = lossFeeds(batch as never, 1, {
    model: model as CausalModel,
    kind: "choice",
    virtualTokens,
    virtualLabels,
    predictsFirst: true,
    isChunked: false,
  });
  // By PEFT's calculate_loss: the text's labels whole, the second example's half, the first's a quarter.
  assert.deepEqual([...(feeds["labels"]?.data as BigInt64Array)].map(Number), [8, 9, 12, 13]);
  assert.deepEqual([...(feeds["weights"]?.data as Float32Array)], [0.25, 0.5, 1, 1]);
  assert.deepEqual([...(feeds["logits_rows"]?.data as BigInt64Array)].map(Number), [2, 6, 8, 9]);
});
