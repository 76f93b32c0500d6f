import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { after, test } from "node:test";
import { loadBaseModel } from "../../../extension/core/baseModel.ts";
import { PeftModel } from "../../../extension/core/peftModel.ts";
import { readOrtAdapter } from "../../../extension/core/ortAdapter/read.ts";
import {
  float32Tensor,
  int64Tensor,
  OrtSession,
  type Tensor,
} from "../../../extension/core/session/ortSession.ts";

const root = path.join(import.meta.dirname, "../../..");
const fixtures = path.join(root, "test/golden/fixtures");
const scratch = await mkdtemp(path.join(tmpdir(), "graft-export-"));
after(() => rm(scratch, { recursive: true, force: true }));

async function modelOf(name: string, adapters: string[] = []): Promise<PeftModel> {
  const model = new PeftModel(await loadBaseModel(path.join(fixtures, "models", name)));
  for (const adapter of adapters) {
    const folder = path.join(fixtures, "adapters", name, adapter);
    await model.loadAdapter(folder, { adapterName: adapter });
  }
  model.setAdapter(adapters);
  return model;
}

const ids = [
  [5, 9, 14, 3, 22, 7, 8],
  [11, 2, 30, 4, 0, 0, 0],
];
const mask = [
  [1, 1, 1, 1, 1, 1, 1],
  [1, 1, 1, 1, 0, 0, 0],
];

/** All logits of a right-padded batch, read in two parts through the written model's cache. */
async function exported(
  file: string,
  adapter: Record<string, Tensor> = {},
): Promise<{ data: Float32Array; vocabulary: number }> {
  const session = await OrtSession.open(file);
  const config = JSON.parse(
    readFileSync(path.join(path.dirname(file), "genai_config.json"), "utf8"),
  ) as { model: { decoder: { num_key_value_heads: number; head_size: number } } };
  const { num_key_value_heads: heads, head_size: dim } = config.model.decoder;
  const feeds: Record<string, Tensor> = { ...adapter };
  for (const name of session.inputNames) {
    if (!name.startsWith("past")) continue;
    feeds[name] = float32Tensor(new Float32Array(0), [2, heads, 0, dim]);
  }
  const parts: Tensor[] = [];
  for (const [start, end] of [
    [0, 5],
    [5, 7],
  ] as const) {
    const positions = Array.from({ length: end - start }, (_, i) => start + i);
    const shape = [2, end - start];
    const results = await session.run({
      ...feeds,
      input_ids: int64Tensor(
        ids.flatMap((row) => row.slice(start, end)),
        shape,
      ),
      attention_mask: int64Tensor(
        mask.flatMap((row) => row.slice(0, end)),
        [2, end],
      ),
      position_ids: int64Tensor([...positions, ...positions], shape),
    });
    parts.push(results["logits"] as Tensor);
    for (const [name, value] of Object.entries(results)) {
      feeds[name.replace("present", "past_key_values")] = value;
    }
  }
  await session.dispose();
  const [first, second] = parts as [Tensor, Tensor];
  const vocabulary = first.dims[2] as number;
  const rows = [0, 1].flatMap((row) =>
    [first, second].map((part) => {
      const size = (part.dims[1] as number) * vocabulary;
      return (part.data as Float32Array).slice(row * size, (row + 1) * size);
    }),
  );
  return { data: Float32Array.of(...rows.flatMap((row) => [...row])), vocabulary };
}

async function sessionLogits(model: PeftModel): Promise<Float32Array> {
  const inputs = model.currentInputs;
  return model.base.session.with(inputs, async (session) => {
    const { data } = await session.forward(session.start(inputs, 2), ids, {
      attentionMask: mask.map((row) => Uint8Array.from(row)),
      logitsRows: ids[0]?.map((_, i) => i),
    });
    return data;
  });
}

/** Largest difference where tokens are real. */
function difference(a: Float32Array, b: Float32Array, vocabulary: number): number {
  assert.equal(a.length, b.length);
  const real = mask.flat();
  return a.reduce((most, value, i) => {
    if (real[Math.floor(i / vocabulary)] === 0) return most;
    return Math.max(most, Math.abs(value - (b[i] as number)));
  }, 0);
}

for (const [name, adapters] of [
  ["llama", ["lora_default"]],
  ["llama-tied", []],
  ["llama-rope3", []],
  ["llama-bf16", []],
  ["mistral", ["lora_default"]],
  ["qwen3", ["lora_default"]],
  ["gpt2", ["lora_all_linear"]],
] as const) {
  void test(`${name} runs elsewhere with adapters merged`, async () => {
    const model = await modelOf(name, [...adapters]);
    const folder = path.join(scratch, `${name}-merged`);
    const report = await model.exportOnnx({ folder });
    assert.ok(report.files.includes("model.onnx.data") && report.files.includes("config.json"));
    assert.ok(!report.files.some((file) => file.endsWith(".safetensors")));
    const { data, vocabulary } = await exported(path.join(folder, "model.onnx"));
    const apart = difference(data, await sessionLogits(model), vocabulary);
    assert.ok(apart < 1e-4, `logits differ by ${apart}`);
    await model.dispose();
  });
}

void test("adapters become inputs that .onnx_adapter files feed", async () => {
  const model = await modelOf("llama", ["lora_default", "lora_rslora"]);
  model.setAdapter("lora_default");
  const folder = path.join(scratch, "inputs");
  const active = ["lora_default", "lora_rslora"].map((name) => ({ name, weight: 1 }));
  await model.exportOnnx({ folder, adapters: "inputs", active });
  for (const { name } of active) {
    const { parameters } = await readOrtAdapter(path.join(folder, `${name}.onnx_adapter`));
    const fed = Object.fromEntries(
      parameters.map(({ name: input, shape, bytes }) => {
        const values = new Float32Array(bytes.slice().buffer);
        return [input, float32Tensor(values, shape)];
      }),
    );
    model.setAdapter(name);
    const { data, vocabulary } = await exported(path.join(folder, "model.onnx"), fed);
    const apart = difference(data, await sessionLogits(model), vocabulary);
    assert.ok(apart < 1e-4, `${name}: logits differ by ${apart}`);
  }
  await model.dispose();
});

void test("fp16 halves the weights; the other layout has the model below onnx/", async () => {
  const model = await modelOf("llama");
  const fp32 = await model.exportOnnx({ folder: path.join(scratch, "fp32") });
  const layout = "transformers.js";
  const folder = path.join(scratch, "fp16");
  const fp16 = await model.exportOnnx({ folder, dtype: "fp16", layout });
  assert.ok(fp16.bytes < 0.7 * fp32.bytes, `${fp16.bytes} of ${fp32.bytes}`);
  assert.ok(existsSync(path.join(folder, "onnx/model.onnx.data")));
  await model.dispose();
});

void test("what an export cannot hold is refused and leaves nothing", async () => {
  const model = await modelOf(
    "llama",
    ["dora_default"].filter((name) => existsSync(path.join(fixtures, "adapters/llama", name))),
  );
  await model.loadAdapter(path.join(fixtures, "adapters/llama/prompt_tuning_text"), {
    adapterName: "prompt",
  });
  const active = [{ name: "prompt", weight: 1 }];
  const folder = path.join(scratch, "refused");
  await assert.rejects(model.exportOnnx({ folder, active }), { code: "unsupported" });
  await assert.rejects(model.exportOnnx({ folder, active, adapters: "inputs" }), {
    code: "unsupported",
  });
  await assert.rejects(model.exportOnnx({ folder: fixtures }), { code: "bad-request" });
  assert.ok(!(await readdir(scratch)).some((name) => name.startsWith("refused")));
  await model.dispose();
});
