import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import * as path from "node:path";
import { test } from "node:test";
import { createService } from "../../../extension/engine/service.ts";
import type { ProgressEvent } from "../../../extension/protocol/engineContract.ts";
import type { Conversion, ConvertResult } from "../../../extension/protocol/writeContract.ts";
import { failure, fixtures, temporaryFolder } from "../core/support.ts";

const service = createService();
const signal = new AbortController().signal;
const source = path.join(fixtures, "adapters/llama/loha_all");
const base = path.join(fixtures, "models/llama");

async function convert(
  to: Conversion,
  target: string,
  { from = source, overwrite }: { from?: string; overwrite?: boolean } = {},
): Promise<{ result: ConvertResult; events: ProgressEvent[] }> {
  const events: ProgressEvent[] = [];
  const context = { signal, emit: (event: ProgressEvent) => void events.push(event) };
  const params = { path: from, base, to, target, ...(overwrite && { overwrite }) };
  const result = await service.convertAdapter(params, context as never);
  return { result, events };
}

void test("a conversion tells what it made, what was lost, and how far it is", async (t) => {
  const target = path.join(await temporaryFolder(t), "made");
  const to: Conversion = { kind: "lora", size: { kind: "rank", rank: 4 } };
  const { result, events } = await convert(to, target);
  assert.equal(result.target, target);
  assert.deepEqual(
    result.files.map((file) => path.relative(target, file)),
    ["adapter_config.json", "adapter_model.safetensors", "README.md"],
  );
  assert.deepEqual([result.modules, result.ranks, result.warnings], [14, [4, 4], []]);
  assert(result.lost > 0.3 && result.lost < 1);
  assert.equal(result.worst.length, 5);
  result.worst.forEach((each, i) => assert(each.lost <= (result.worst[i - 1] ?? each).lost));
  const counted = events.filter(({ unit }) => unit === "items").map(({ done }) => done);
  assert.deepEqual(counted, [...counted.keys()]);
  assert.equal(events.at(-1)?.step, "Writing");
});

void test("files go through the engine too, and stay unless they may go", async (t) => {
  const folder = await temporaryFolder(t);
  const from = path.join(fixtures, "adapters/llama/lora_default");
  const file = path.join(folder, "x.gguf");
  const { result } = await convert({ kind: "gguf" }, file, { from });
  assert.deepEqual([result.files, result.lost, result.worst], [[file], 0, []]);
  const again = convert({ kind: "gguf" }, file, { from });
  await assert.rejects(again, failure("bad-request", "exists already"));
  await convert({ kind: "gguf", dtype: "bf16" }, file, { from, overwrite: true });
  const back = await convert({ kind: "peft" }, path.join(folder, "back"), { from: file });
  assert.deepEqual(back.result.ranks, [8, 8]);
  assert.deepEqual((await readdir(folder)).sort(), ["back", "x.gguf"]);
});
