import assert from "node:assert/strict";
import { cp, readFile, rm, writeFile } from "node:fs/promises";
import * as path from "node:path";
import { test } from "node:test";
import { type BaseModel, loadBaseModel } from "../../../../extension/core/baseModel.ts";
import { expertParts } from "../../../../extension/core/models/expertWeights.ts";
import { openCheckpoint } from "../../../../extension/core/models/openCheckpoint.ts";
import { PeftModel } from "../../../../extension/core/peftModel.ts";
import { readFloat32, readTensors } from "../../../../extension/core/safetensors/read.ts";
import { type TensorData, writeSafetensors } from "../../../../extension/core/safetensors/write.ts";
import { allLogits } from "../../../golden/models.ts";
import { difference, failure, fixtures, temporaryFolder } from "../support.ts";

type Cleanup = { after(end: () => Promise<void>): void };

const mixtral = path.join(fixtures, "models/mixtral-small");
const two = path.join(fixtures, "multi/two_experts");
const ids = [
  [5, 9, 33, 12, 7, 60],
  [41, 3, 3, 18, 25, 9],
];
const batch = { ids, mask: ids.map((row) => row.map(() => 1)) };

async function loaded(t: Cleanup, folder: string): Promise<PeftModel> {
  const model = new PeftModel(await loadBaseModel(folder));
  t.after(() => model.dispose());
  return model;
}

function logits(model: PeftModel, inputs = model.inputsOf([])): Promise<Float32Array> {
  return allLogits(model, inputs, batch);
}

async function tensorsOf(folder: string): Promise<TensorData[]> {
  const { weights } = await openCheckpoint(folder);
  return Promise.all(
    [...weights].map(async ([name, ref]) => {
      const [bytes] = await readTensors(ref.file, [ref]);
      return { name, dtype: ref.dtype, shape: ref.shape, bytes: bytes as Uint8Array };
    }),
  );
}

/** The model with all experts of a layer in one tensor, as transformers 5 has them in memory. */
async function stacked(t: Cleanup): Promise<string> {
  const folder = await temporaryFolder(t);
  await cp(mixtral, folder, { recursive: true });
  const tensors = await tensorsOf(mixtral);
  const isExpert = ({ name }: TensorData): boolean => name.includes(".experts.");
  const stacks = [0, 1].flatMap((layer) =>
    Object.entries(expertParts).map(([matrix, parts]): TensorData => {
      const stack = `model.layers.${layer}.mlp.experts`;
      const own = [0, 1, 2, 3].flatMap((expert) =>
        parts.map((part) =>
          tensors.find(({ name }) => name === `${stack}.${expert}.${part}.weight`),
        ),
      ) as TensorData[];
      const [rows = 0, columns = 0] = own[0]?.shape ?? [];
      return {
        name: `${stack}.${matrix}`,
        dtype: "F32",
        shape: [4, rows * parts.length, columns],
        bytes: Buffer.concat(own.map(({ bytes }) => bytes as Uint8Array)),
      };
    }),
  );
  const all = [...tensors.filter((tensor) => !isExpert(tensor)), ...stacks];
  await writeSafetensors(path.join(folder, "model.safetensors"), all);
  return folder;
}

/** The model in two files: of each layer the even experts in one, the odd ones in the other. */
async function sharded(t: Cleanup): Promise<string> {
  const folder = await temporaryFolder(t);
  await cp(mixtral, folder, { recursive: true });
  await rm(path.join(folder, "model.safetensors"));
  const tensors = await tensorsOf(mixtral);
  const isOdd = ({ name }: TensorData): boolean => /\.experts\.[13]\./.test(name);
  const shards = [tensors.filter((each) => !isOdd(each)), tensors.filter(isOdd)];
  const names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
  const map: Record<string, string> = {};
  for (const [i, shard] of shards.entries()) {
    const name = names[i] as string;
    await writeSafetensors(path.join(folder, name), shard);
    for (const tensor of shard) map[tensor.name] = name;
  }
  const index = JSON.stringify({ metadata: {}, weight_map: map });
  await writeFile(path.join(folder, "model.safetensors.index.json"), index);
  return folder;
}

for (const [title, make] of [
  ["stacked in one tensor", stacked],
  ["in several files", sharded],
] as const) {
  void test(`experts ${title} run and merge like those of one file`, async (t) => {
    const [plain, other] = [await loaded(t, mixtral), await loaded(t, await make(t))];
    assert.equal(difference(await logits(plain), await logits(other)), 0);
    const adapter = path.join(two, "a");
    for (const model of [plain, other]) await model.loadAdapter(adapter);
    const adapted = await logits(plain, plain.inputsOf([{ name: "default", weight: 1 }]));
    const target = path.join(await temporaryFolder(t), "merged");
    other.setAdapter("default");
    const report = await other.mergeAndUnload({ folder: target });
    assert.equal(report.changed.length, 2 * (1 + 4 * 3));
    const merged = await loaded(t, target);
    assert.ok(difference(await logits(merged), adapted) < 1e-5);
    const names = async (folder: string): Promise<string[]> =>
      (await openCheckpoint(folder)).files.flatMap(({ tensors }) =>
        tensors.map(({ name }) => name),
      );
    assert.deepEqual(await names(target), await names(other.base.checkpoint.dir));
  });
}

void test("merging writes experts under the file's own names", async (t) => {
  const model = await loaded(t, mixtral);
  await model.loadAdapter(path.join(two, "a"));
  model.setAdapter("default");
  const folder = path.join(await temporaryFolder(t), "merged");
  await model.mergeAndUnload({ folder });
  const { weights } = await openCheckpoint(folder);
  const ref = weights.get("model.layers.1.mlp.experts.3.up_proj.weight");
  assert.equal(ref?.name, "model.layers.1.block_sparse_moe.experts.3.w3.weight");
  const before = (model.base as BaseModel).checkpoint.weights.get(
    "model.layers.1.mlp.experts.3.up_proj.weight",
  );
  const [own, old] = await Promise.all(
    [ref, before].map(async (each) => {
      assert.ok(each);
      return (await readFloat32(each.file, [each])).get(each.name) as Float32Array;
    }),
  );
  assert.ok(difference(own as Float32Array, old as Float32Array) > 1e-3);
});

void test("patterns for parameters are not said to match nothing", async (t) => {
  const model = await loaded(t, mixtral);
  const folder = path.join(fixtures, "adapters/mixtral-small/lora_older_names");
  const { warnings } = await model.loadAdapter(folder);
  assert.deepEqual(warnings, []);
});

void test("rows of a batch have experts' updates of their own, of any rank", async (t) => {
  const model = await loaded(t, mixtral);
  await model.loadAdapter(path.join(two, "a"), { adapterName: "a" });
  const other = path.join(fixtures, "adapters/mixtral-small/lora_older_names");
  await model.loadAdapter(other, { adapterName: "b" });
  const alone = await Promise.all(
    ["a", "b"].map((name) => logits(model, model.inputsOf([{ name, weight: 1 }]))),
  );
  const together = await logits(model, model.inputsOfRows(["a", "b"]));
  const half = together.length / 2;
  assert.ok(difference(together.subarray(0, half), alone[0]?.subarray(0, half) ?? []) < 1e-5);
  assert.ok(difference(together.subarray(half), alone[1]?.subarray(half) ?? []) < 1e-5);
  assert.ok(difference(together.subarray(half), alone[0]?.subarray(half) ?? []) > 1e-2);
});

const none = { target_modules: null, target_parameters: null };
const refusals: [title: string, adapter: string, fields: object, ...said: string[]][] = [
  ["PEFT's default targets", "lora_older_names", none, "default targets"],
  ["half of a fused matrix", "lora_older_names", { ...none, target_modules: ["w1", "w2"] }, "w3"],
  ["DoRA on experts", "lora_experts_patterns", { use_dora: true }, "use_dora"],
];

for (const [title, source, fields, ...said] of refusals) {
  void test(`refuses ${title}, as PEFT does`, async (t) => {
    const model = await loaded(t, mixtral);
    const folder = await changed(t, source, fields);
    await assert.rejects(model.loadAdapter(folder), failure("bad-file", ...said));
  });
}

void test("refuses initialisations that ask a stack of experts for one weight", async (t) => {
  const model = await loaded(t, mixtral);
  const folder = await changed(t, "lora_experts_patterns", { init_lora_weights: "pissa" });
  await assert.rejects(model.loadAdapter(folder), failure("unsupported", "pissa", "experts"));
});

for (const name of ["experts", "mlp"]) {
  void test(`refuses a whole copy of experts that modules_to_save calls ${name}`, async (t) => {
    const model = await loaded(t, mixtral);
    const folder = await changed(t, "lora_router_saved", { modules_to_save: [name] });
    await assert.rejects(
      model.loadAdapter(folder),
      failure("unsupported", "model.layers.0.mlp.experts", "modules_to_save"),
    );
  });
}

void test("a router is no linear layer that target_modules could name", async (t) => {
  const model = await loaded(t, mixtral);
  const folder = await changed(t, "ia3_default", {
    target_modules: ["gate"],
    feedforward_modules: [],
  });
  await assert.rejects(
    model.loadAdapter(folder),
    failure("unsupported", "model.layers.0.mlp.gate", "target_parameters"),
  );
});

async function changed(t: Cleanup, source: string, fields: object): Promise<string> {
  const folder = await temporaryFolder(t);
  await cp(path.join(fixtures, "adapters/mixtral-small", source), folder, { recursive: true });
  const file = path.join(folder, "adapter_config.json");
  const config = JSON.parse(await readFile(file, "utf8")) as object;
  await writeFile(file, JSON.stringify({ ...config, ...fields }));
  return folder;
}
