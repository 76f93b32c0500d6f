import assert from "node:assert/strict";
import { cp, readFile, writeFile } from "node:fs/promises";
import * as path from "node:path";
import { test } from "node:test";
import { type BaseModel, loadBaseModel } from "../../../../extension/core/baseModel.ts";
import { alibiSlopes } from "../../../../extension/core/models/alibi.ts";
import { PeftModel } from "../../../../extension/core/peftModel.ts";
import { writeSafetensors } from "../../../../extension/core/safetensors/write.ts";
import { difference, failure, fixtures, temporaryFolder } from "../support.ts";

type After = Parameters<typeof temporaryFolder>[0];

/** A copy of a base with other fields in its config.json, and other names in its file. */
async function changed(
  t: After,
  name: string,
  { fields = {}, rename = (each) => each }: Change,
): Promise<string> {
  const folder = await temporaryFolder(t);
  await cp(path.join(fixtures, "models", name), folder, { recursive: true });
  const config = path.join(folder, "config.json");
  const raw = JSON.parse(await readFile(config, "utf8")) as object;
  await writeFile(config, JSON.stringify({ ...raw, ...fields }));
  const file = path.join(folder, "model.safetensors");
  const bytes = await readFile(file);
  const length = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.subarray(8, 8 + length).toString()) as Record<string, unknown>;
  const own = Object.entries(header).map(([key, value]) => [rename(key), value]);
  const text = Buffer.from(JSON.stringify(Object.fromEntries(own)));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(text.length));
  await writeFile(file, Buffer.concat([size, text, bytes.subarray(8 + length)]));
  return folder;
}

interface Change {
  fields?: Readonly<Record<string, unknown>>;
  rename?: (name: string) => string;
}

async function logits(t: After, folder: string, ids: number[][]): Promise<Float32Array> {
  const base: BaseModel = await loadBaseModel(folder);
  t.after(() => base.session.dispose());
  return base.session.with({ order: "" }, async (session) => {
    assert("start" in session);
    const state = session.start(base.session.inputs([]), ids.length);
    return (await session.forward(state, ids)).data;
  });
}

const prompt = [[3, 9, 17, 4, 30]];

const nameCases: readonly [string, (name: string) => string][] = [
  ["gpt2-scaled", (name) => name.replace(/^transformer\./, "")],
  ["bloom", (name) => name.replace(/^transformer\./, "")],
  ["opt-350m", (name) => name.replace(/^model\./, "")],
  ["gpt_neox", (name) => name.replace(/^embed_out\./, "lm_head.")],
];

for (const [name, rename] of nameCases) {
  void test(`${name} is read under its files' other names`, async (t) => {
    const own = await logits(t, path.join(fixtures, "models", name), prompt);
    const other = await logits(t, await changed(t, name, { rename }), prompt);
    assert.equal(difference(own, other), 0);
  });
}

const refusals: readonly [string, Readonly<Record<string, unknown>>, string][] = [
  ["gpt2-scaled", { add_cross_attention: true }, "add_cross_attention"],
  ["gpt2-scaled", { activation_function: "mish" }, 'activation "mish"'],
  ["bloom", { slow_but_exact: true, pretraining_tp: 2 }, "slow_but_exact"],
  ["falcon-7b", { num_ln_in_parallel_attn: 2 }, "num_ln_in_parallel_attn"],
  ["falcon-11b", { parallel_attn: false }, "parallel_attn"],
];

for (const [name, fields, says] of refusals) {
  void test(`${name} with ${JSON.stringify(fields)} is refused by name`, async (t) => {
    const folder = await changed(t, name, { fields });
    await assert.rejects(loadBaseModel(folder), failure("unsupported", says));
  });
}

void test("slopes of ALiBi: a geometric series, filled up from the next finer one", () => {
  const eight = [1, 2, 3, 4, 5, 6, 7, 8].map((power) => 2 ** -power);
  assert.deepEqual([...alibiSlopes(8)], eight);
  const six = [2 ** -2, 2 ** -4, 2 ** -6, 2 ** -8, 2 ** -1, 2 ** -3];
  assert.deepEqual([...alibiSlopes(6)], six);
});

void test("16-bit arithmetic is refused for ALiBi, by name", async () => {
  const loading = loadBaseModel(path.join(fixtures, "models/bloom"), { dtype: "bfloat16" });
  await assert.rejects(loading, failure("unsupported", "ALiBi"));
});

void test("ALiBi has no last position; learned positions end", async (t) => {
  const long = [Array<number>(80).fill(5)];
  const all = await logits(t, path.join(fixtures, "models/falcon-rw"), long);
  assert(all.every(Number.isFinite));
  const learned = logits(t, path.join(fixtures, "models/opt-350m"), long);
  await assert.rejects(learned, failure("bad-request", "64 tokens"));
});

void test("what PEFT learns on OPT's positions is refused: it is handed the mask for them", async (t) => {
  const adapter = await temporaryFolder(t);
  const config = { peft_type: "LORA", r: 1, lora_alpha: 1, target_modules: ["embed_positions"] };
  await writeFile(path.join(adapter, "adapter_config.json"), JSON.stringify(config));
  const prefix = "base_model.model.model.decoder.embed_positions.lora_embedding_";
  const shapes = { A: [1, 66], B: [16, 1] } as const;
  const tensors = (["A", "B"] as const).map((factor) => ({
    name: prefix + factor,
    dtype: "F32" as const,
    shape: shapes[factor],
    bytes: new Uint8Array(new Float32Array(shapes[factor][0] * shapes[factor][1]).fill(0.1).buffer),
  }));
  await writeSafetensors(path.join(adapter, "adapter_model.safetensors"), tensors);
  const base = await loadBaseModel(path.join(fixtures, "models/opt-350m"));
  t.after(() => base.session.dispose());
  const loading = new PeftModel(base).loadAdapter(adapter);
  await assert.rejects(loading, failure("unsupported", "embed_positions", "attention mask"));
});
