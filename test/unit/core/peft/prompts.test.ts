import assert from "node:assert/strict";
import { cp, readFile, writeFile } from "node:fs/promises";
import * as path from "node:path";
import { after, test } from "node:test";
import { loadBaseModel } from "../../../../extension/core/baseModel.ts";
import { PeftModel } from "../../../../extension/core/peftModel.ts";
import { difference, failure, fixtures, temporaryFolder } from "../support.ts";

const base = await loadBaseModel(path.join(fixtures, "models/llama"));
const model = new PeftModel(base);
after(() => model.dispose());
const folder = (name: string): string => path.join(fixtures, "adapters/llama", name);
await model.loadAdapter(folder("prefix_tuning"), { adapterName: "prefix" });
await model.loadAdapter(folder("prompt_tuning_random"), { adapterName: "prompt" });
await model.loadAdapter(folder("multitask_prompt_tuning"), { adapterName: "tasks" });

const ids = [5, 9, 33, 70, 2, 18, 40];

/** Logits of the last token, read in parts of these sizes. */
async function last(names: readonly string[], parts: readonly number[]): Promise<Float32Array> {
  const inputs = model.inputsOf(names.map((name) => ({ name, weight: 1 })));
  return base.session.with(inputs, async (session) => {
    const state = session.start(inputs);
    let data = new Float32Array();
    let start = 0;
    for (const seq of parts) {
      data = (await session.forward(state, [ids.slice(start, (start += seq))])).data.slice();
    }
    return data;
  });
}

void test("a prompt read in parts gets its virtual tokens once", async () => {
  for (const names of [["prefix"], ["prompt"], ["prefix", "prompt"], ["prompt", "tasks"]]) {
    const whole = await last(names, [7]);
    assert(difference(await last(names, [3, 1, 3]), whole) < 1e-5, names.join());
    assert(difference(whole, await last([], [7])) > 0.1, `${names.join()} changes nothing`);
  }
});

void test("tokens before the prompt are there or not", () => {
  assert.throws(
    () => model.inputsOf([{ name: "prompt", weight: 0.5 }]),
    failure("bad-request", "0 or 1", "0.5"),
  );
  assert.equal(model.inputsOf([{ name: "prompt", weight: 0 }]).virtualTokens, 0);
});

void test("a task that does not exist is refused", () => {
  assert.throws(
    () => model.inputsOf([{ name: "tasks", weight: 1, task: 3 }]),
    failure("bad-request", "no task 3"),
  );
});

const misfits: [adapter: string, field: string, value: unknown][] = [
  ["prompt_tuning_random", "token_dim", 128],
  ["prompt_tuning_random", "num_virtual_tokens", 6],
  ["prefix_tuning", "num_layers", 4],
  ["prefix_tuning", "num_attention_heads", 4],
  ["adaption_prompt", "adapter_layers", 3],
];

for (const [adapter, field, value] of misfits) {
  void test(`${adapter} with ${field} ${String(value)} does not fit`, async (t) => {
    const copy = path.join(await temporaryFolder(t), adapter);
    await cp(folder(adapter), copy, { recursive: true });
    const file = path.join(copy, "adapter_config.json");
    const config = JSON.parse(await readFile(file, "utf8")) as Record<string, unknown>;
    await writeFile(file, JSON.stringify({ ...config, [field]: value }));
    await assert.rejects(
      model.loadAdapter(copy, { adapterName: "other" }),
      failure("misfit", copy),
    );
  });
}
