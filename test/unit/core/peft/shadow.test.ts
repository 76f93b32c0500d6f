import assert from "node:assert/strict";
import { cp, readFile, writeFile } from "node:fs/promises";
import * as path from "node:path";
import { after, test } from "node:test";
import { loadBaseModel } from "../../../../extension/core/baseModel.ts";
import { openAdapterCheckpoint } from "../../../../extension/core/checkpoint/adapterCheckpoint.ts";
import { toLora } from "../../../../extension/core/peft/convert/toLora.ts";
import type { MethodBase } from "../../../../extension/core/peft/method.ts";
import { chosenBlocks } from "../../../../extension/core/peft/shadow/blocks.ts";
import { shadow } from "../../../../extension/core/peft/shadow/shadow.ts";
import { shadowSchema } from "../../../../extension/core/peft/shadow/shadowConfig.ts";
import { PeftModel } from "../../../../extension/core/peftModel.ts";
import { difference, failure, fixtures, temporaryFolder } from "../support.ts";

const base = await loadBaseModel(path.join(fixtures, "models/llama"));
const model = new PeftModel(base);
after(() => model.dispose());
const folder = (name: string): string => path.join(fixtures, "adapters/llama", name);
const ids = [5, 9, 33, 70, 2, 18, 40];

/** Logits of the last token, the prompt read in parts of these sizes. */
async function last(
  names: readonly string[],
  parts: readonly number[] = [ids.length],
): Promise<Float32Array> {
  const inputs = model.inputsOf(names.map((name) => ({ name, weight: 1 })));
  return base.session.with(inputs, async (session) => {
    const state = session.start(inputs, 1, [ids]);
    let data = new Float32Array();
    let start = 0;
    for (const seq of parts) {
      data = (await session.forward(state, [ids.slice(start, (start += seq))])).data.slice();
    }
    return data;
  });
}

const bare = await last([]);
await model.loadAdapter(folder("shadow_small"), { adapterName: "small" });
await model.loadAdapter(folder("shadow_last_block"), { adapterName: "last block" });
await model.loadAdapter(folder("lora_default"), { adapterName: "lora" });

void test("a base with room for Shadow adapters answers as before when none is active", async () => {
  assert(difference(await last([]), bare) < 1e-5);
});

void test("prompts read in parts or token by token have one answer", async () => {
  for (const name of ["small", "last block"]) {
    const whole = await last([name]);
    assert(difference(whole, bare) > 0.1);
    for (const parts of [[3, 4], [1, 5, 1], ids.map(() => 1)]) {
      assert(difference(await last([name], parts), whole) < 1e-5, `${name} in ${parts.join()}`);
    }
  }
});

void test("a Shadow adapter that comes in later has read what was said before", async () => {
  const [none, small] = [model.inputsOf([]), model.inputsOf([{ name: "small", weight: 1 }])];
  const logits = await base.session.with(small, async (session) => {
    const state = session.start(small);
    await session.forward(state, [ids.slice(0, 2)]);
    state.adapters = none;
    await session.forward(state, [ids.slice(2, 5)]);
    state.adapters = small;
    return (await session.forward(state, [ids.slice(5)])).data.slice();
  });
  assert(logits.every(Number.isFinite));
  assert(difference(logits, bare) > 0.01);
});

void test("a Shadow adapter is active alone, and not merged", async () => {
  const both = (): void => model.setAdapter(["small", "lora"]);
  assert.throws(both, failure("bad-request", "Shadow"));
  assert.throws(() => model.setAdapter(["small", "last block"]), failure("bad-request", "Shadow"));
  const merging = model.mergeAndUnload({
    adapters: [{ name: "small", weight: 1 }],
    folder: "/nowhere/merged",
  });
  await assert.rejects(merging);
});

void test("a deleted Shadow adapter leaves the base and the others as they were", async () => {
  await model.loadAdapter(folder("shadow_own_embedding"), { adapterName: "gone" });
  model.deleteAdapter("gone");
  assert(difference(await last([]), bare) < 1e-5);
  assert(difference(await last(["small"]), bare) > 0.1);
});

/** A copy of an adapter with other fields in its config. */
async function changed(
  t: { after(end: () => Promise<void>): void },
  fields: object,
): Promise<string> {
  const copy = await temporaryFolder(t);
  await cp(folder("shadow_small"), copy, { recursive: true });
  const file = path.join(copy, "adapter_config.json");
  const config = JSON.parse(await readFile(file, "utf8")) as object;
  await writeFile(file, JSON.stringify({ ...config, ...fields }));
  return copy;
}

const refusals: [
  title: string,
  fields: object,
  ...said: [Parameters<typeof failure>[0], string],
][] = [
  ["another size", { shadow_hidden_size: 48 }, "misfit", "shadow_projection"],
  ["another rank", { r: 5 }, "misfit", "shadow_down"],
  ["more layers than stored", { shadow_num_hidden_layers: 4 }, "bad-file", "layers.3"],
  ["another MLP", { shadow_intermediate_size: 48 }, "bad-file", "mlp"],
  ["parts of blocks", { target_modules: ["model.layers.1.mlp"] }, "unsupported", "whole blocks"],
  ["a model with sizes", { shadow_model: "some/model" }, "bad-file", "shadow_num_hidden_layers"],
  [
    "a model that is not here",
    {
      shadow_model: "nobody/has-this-model",
      shadow_num_hidden_layers: null,
      shadow_hidden_size: null,
      shadow_intermediate_size: null,
      shadow_num_attention_heads: null,
    },
    "not-found",
    "nobody/has-this-model",
  ],
];

for (const [title, fields, code, said] of refusals) {
  void test(`a Shadow adapter with ${title} is refused by name`, async (t) => {
    const copy = await changed(t, fields);
    await assert.rejects(model.loadAdapter(copy, { adapterName: "bad" }), failure(code, said));
    assert.ok(!model.adapters.some(({ name }) => name === "bad"));
  });
}

void test("fewer layers than stored leave tensors over, which are named", async (t) => {
  const copy = await changed(t, { shadow_num_hidden_layers: 2 });
  await assert.rejects(
    model.loadAdapter(copy, { adapterName: "bad" }),
    failure("partial-bind", "layers.2"),
  );
});

void test("the inspector's rows are modules of PEFT's model, without the adapter's name", async () => {
  const rows = shadow.summarize(await openAdapterCheckpoint(folder("shadow_last_block")));
  assert.deepEqual(
    rows.map(({ path: row, rank }) => `${row} ${rank}`).filter((row) => row.includes("shadow_")),
    [
      "model.layers.1.shadow_down 4",
      "model.layers.1.shadow_up 4",
      "model.layers.1.shadow_update_gate null",
      "model.layers.1.shadow_update_transform null",
      ...[
        "input_layernorm",
        "mlp.down_proj",
        "mlp.gate_proj",
        "mlp.up_proj",
        "post_attention_layernorm",
        "self_attn.k_proj",
        "self_attn.o_proj",
        "self_attn.q_proj",
        "self_attn.v_proj",
      ].map((name) => `shadow_backbone.layers.0.${name} null`),
      "shadow_backbone.norm null",
    ],
  );
});

void test("a Shadow adapter cannot become a LoRA", async () => {
  const { adaptable } = base;
  const checkpoint = await openAdapterCheckpoint(folder("shadow_small"));
  const { effects } = await shadow.load(checkpoint, adaptable);
  const source = { checkpoint, effects, bound: [], base: adaptable };
  await assert.rejects(
    toLora(source, { size: { kind: "rank", rank: 4 } }),
    failure("unsupported", "Shadow"),
  );
});

void test("chosen blocks are in a row", () => {
  const modules = [0, 1, 2].map((layer) => ({
    kind: "norm" as const,
    path: `model.layers.${layer}.input_layernorm`,
    out: 4,
  }));
  const tree: MethodBase["tree"] = { modules, outputEmbedding: null };
  const choose = (fields: object): string[] =>
    chosenBlocks(shadowSchema.parse(fields), { tree } as MethodBase, "adapter_config.json");
  const all = ["model.layers.0", "model.layers.1", "model.layers.2"];
  assert.deepEqual(choose({}), all);
  assert.deepEqual(choose({ target_modules: ".*layers\\.[12]$" }), all.slice(1));
  assert.deepEqual(choose({ target_modules: all, exclude_modules: ["layers.0"] }), all.slice(1));
  assert.throws(
    () => choose({ target_modules: ["model.layers.0", "model.layers.2"] }),
    failure("misfit", "in a row"),
  );
});
