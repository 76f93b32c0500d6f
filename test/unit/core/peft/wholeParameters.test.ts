import assert from "node:assert/strict";
import * as path from "node:path";
import { after, test } from "node:test";
import { loadBaseModel } from "../../../../extension/core/baseModel.ts";
import { PeftModel } from "../../../../extension/core/peftModel.ts";
import { openSafetensors, readTensors } from "../../../../extension/core/safetensors/read.ts";
import { type TensorData, writeSafetensors } from "../../../../extension/core/safetensors/write.ts";
import { difference, failure, fixtures, temporaryFolder } from "../support.ts";
import { logitsOf, makeFactors, tinyLlama, writeLora } from "./tinyLlama.ts";

const base = await loadBaseModel(tinyLlama);
const tied = await loadBaseModel(path.join(fixtures, "models/llama-tied"));
after(() => Promise.all([base, tied].map(({ session }) => session.dispose())));

const query = "model.layers.0.self_attn.q_proj";
const own = [{ name: "default", weight: 1 }];

/** A LoRA with whole tensors beside it, every value of them one tenth. */
async function write(
  folder: string,
  whole: Readonly<Record<string, number[]>>,
  config: object = {},
): Promise<string> {
  await writeLora(folder, makeFactors({ [query]: 2 }), {
    target_modules: ["q_proj"],
    layers_to_transform: 0,
    ...config,
  });
  const file = path.join(folder, "adapter_model.safetensors");
  const { tensors } = await openSafetensors(file);
  const bytes = await readTensors(file, tensors);
  const added = Object.entries(whole).map(([name, shape]): TensorData => {
    const data = new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(0.1);
    const dtype = "F32";
    return { name: `base_model.model.${name}`, dtype, shape, bytes: new Uint8Array(data.buffer) };
  });
  const old = tensors.map(({ name, dtype, shape }, i) => ({
    name,
    dtype,
    shape,
    bytes: bytes[i] as Uint8Array,
  }));
  await writeSafetensors(file, [...old, ...added]);
  return folder;
}

interface Case {
  what: string;
  whole: Readonly<Record<string, number[]>>;
  config?: object;
  /** What the adapter warns of; an error begins with its code. */
  says: RegExp;
}

const cases: Case[] = [
  {
    what: "a norm that no field names",
    whole: { "model.norm.weight": [64] },
    says: /replaces parameters.*model\.norm\.weight/,
  },
  {
    what: "a targeted layer's own weight",
    whole: { [`${query}.base_layer.weight`]: [64, 64] },
    says: /replaces parameters.*q_proj\.weight/,
  },
  {
    what: "a targeted layer's plain weight",
    whole: { [`${query}.weight`]: [64, 64] },
    says: /partial-bind.*left out/,
  },
  {
    what: "a bias that the base has not",
    whole: { "model.layers.0.self_attn.k_proj.bias": [32] },
    says: /partial-bind.*k_proj\.bias/,
  },
  {
    what: "another table",
    whole: { "model.embed_tokens.weight": [128, 64] },
    says: /own model\.embed_tokens differ/,
  },
  {
    what: "a grown table",
    whole: { "model.embed_tokens.weight": [130, 64] },
    says: /resized.*130 rows in the file, 128 in this base \(model\.embed_tokens\)/,
  },
  {
    what: "a wrapped table that no field names",
    whole: { "model.embed_tokens.base_layer.weight": [128, 64] },
    says: /partial-bind.*base_layer/,
  },
  {
    what: "a saved module that is missing",
    whole: {},
    config: { modules_to_save: ["lm_head"] },
    says: /misfit.*lm_head\.weight.*PEFT does not load it/,
  },
  {
    what: "a saved block that is incomplete",
    whole: { "model.layers.0.mlp.up_proj.weight": [96, 64] },
    config: { modules_to_save: ["mlp"] },
    says: /misfit.*mlp\.gate_proj\.weight/,
  },
];

for (const { what, whole, config, says } of cases) {
  test(`stored whole: ${what}`, async (t) => {
    const folder = await write(await temporaryFolder(t), whole, config);
    const said = await PeftModel.fromPretrained(base, folder).then(
      (model) => model.adapters[0]?.warnings.join(" "),
      (error: Error & { code: string }) => `${error.code} ${error.message}`,
    );
    assert.match(said ?? "", says);
  });
}

test("a saved block is a change of all that is in it", async (t) => {
  const shapes = { gate_proj: [96, 64], up_proj: [96, 64], down_proj: [64, 96] };
  const block = [0, 1].flatMap((layer) =>
    Object.entries(shapes).map(([name, shape]) => [
      `model.layers.${layer}.mlp.${name}.weight`,
      shape,
    ]),
  );
  const whole = Object.fromEntries(block) as Record<string, number[]>;
  const folder = await write(await temporaryFolder(t), whole, { modules_to_save: ["mlp"] });
  const model = await PeftModel.fromPretrained(base, folder);
  const values = 2 * 3 * 96 * 64 + 2 * (64 + 64);
  assert.equal(model.adapters[0]?.weights.parameters, values);
  assert(difference(await logitsOf(model, own), await logitsOf(model)) > 1e-3);
});

test("either end of a tied pair replaces both, as in PEFT", async (t) => {
  const folder = await temporaryFolder(t);
  const logits = await Promise.all(
    ["lm_head.weight", "model.embed_tokens.weight"].map(async (name, i) => {
      const place = await write(path.join(folder, String(i)), { [name]: [128, 64] });
      return logitsOf(await PeftModel.fromPretrained(tied, place), own);
    }),
  );
  assert.deepEqual(logits[0], logits[1]);
});

test("a modules_to_save that is a plain copy needs no prefix of its wrapper", async (t) => {
  const whole = { "lm_head.weight": [128, 64], "lm_head.original_module.weight": [128, 64] };
  const folder = await write(await temporaryFolder(t), whole, { modules_to_save: ["lm_head"] });
  const model = await PeftModel.fromPretrained(base, folder);
  assert.deepEqual(model.adapters[0]?.report.unexpected, []);
  const lost = await write(
    path.join(folder, "lost"),
    {
      "lm_head.modules_to_save.weight": [128, 64],
    },
    { modules_to_save: ["lm_head"] },
  );
  await assert.rejects(PeftModel.fromPretrained(base, lost), failure("misfit", "lm_head.weight"));
});
