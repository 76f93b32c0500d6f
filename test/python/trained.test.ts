/** Adapters as training saves them, loaded by Python PEFT: both compute the same. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { describeBase } from "../../extension/core/baseModel.ts";
import { torchGenerator } from "../../extension/core/base/torchRandom.ts";
import { parseAdapterConfig } from "../../extension/core/checkpoint/adapterConfig.ts";
import { openCheckpoint } from "../../extension/core/models/openCheckpoint.ts";
import { withFields } from "../../extension/core/peft/trainable/completedConfig.ts";
import { trainableMethodOf } from "../../extension/core/peft/trainable/index.ts";
import { writeAdapterForm } from "../../extension/core/train/adapterFiles.ts";
import { trainedLogits } from "../unit/core/peft/trainable/support.ts";

interface Case {
  readonly id: string;
  readonly folder: string;
  readonly logits: number[];
}

type Result = { readonly id: string } & (
  { readonly to_graft: number; readonly to_base: number } | { readonly error: string }
);

const run = promisify(execFile);
const python = process.env["GRAFT_PYTHON"] ?? "python3";
const here = import.meta.dirname;
const fixtures = path.join(here, "../golden/fixtures");
const model = path.join(fixtures, "models", "llama");
const ids = [[5, 7, 8, 9, 3, 5, 2, 4]];
const { cases } = JSON.parse(readFileSync(path.join(fixtures, "trainable.json"), "utf8")) as {
  cases: Record<string, { config: Record<string, unknown> }>;
};

/** A new adapter with numbers added to what is trained, as files, and what it computes. */
async function make(id: string, fields: unknown, scratch: string): Promise<Case | null> {
  const folder = path.join(scratch, id);
  const checkpoint = await openCheckpoint(model);
  const base = describeBase(checkpoint);
  const config = parseAdapterConfig(JSON.stringify(fields), "adapter_config.json");
  const method = trainableMethodOf(config);
  await method.look?.(config, base);
  const adapter = method.prepare(config, base, { isQuiet: true });
  // What stands before a sequence is compared by the trainer's own cases.
  if (adapter.virtualTokens !== undefined) return null;
  const random = torchGenerator(3);
  const values = new Map(await method.initialize(adapter, base, { random }));
  for (const { name, isTrained } of adapter.parameters) {
    const begun = values.get(name) as Float32Array;
    const noise = random.normal(begun.length, 0, 0.05);
    if (isTrained)
      values.set(
        name,
        begun.map((value, i) => value + (noise[i] as number)),
      );
  }
  for (const [name, own] of adapter.settle?.(values) ?? []) values.set(name, own);
  const allocator = adapter.allocator?.();
  if (allocator && id.endsWith("ranks")) {
    const gradients = new Map([...values].map(([name, own]) => [name, own.map(Math.cos)]));
    for (let step = 0; step <= 3; step++) allocator.afterUpdate({ step, values, gradients });
  }
  const saved = allocator?.saved(values) ?? { parameters: adapter.parameters, values, fields: {} };
  await mkdir(folder);
  const { text } = withFields(adapter.config, { inference_mode: true });
  await writeAdapterForm(folder, { ...adapter, ...saved }, { configText: text, base });
  const batch = { kind: "tokens", ids } as const;
  return { id, folder, logits: [...(await trainedLogits(checkpoint, adapter, { values, batch }))] };
}

async function missingPeft(): Promise<string | false> {
  const imports = "import peft, torch, transformers; print(peft.__version__)";
  const found = await run(python, ["-c", imports]).catch(() => null);
  return found?.stdout.trim() === "0.21.0" ? false : `${python} has no PEFT 0.21.0`;
}

void test("Python PEFT computes what Graft trained", async (t) => {
  const skip = await missingPeft();
  if (skip !== false) return void (await t.test("PEFT loads it", { skip }, () => undefined));
  const scratch = await mkdtemp(path.join(tmpdir(), "graft-trained-"));
  t.after(() => rm(scratch, { recursive: true, force: true }));
  const made: Case[] = [];
  for (const [id, { config }] of Object.entries(cases)) {
    const own = await make(id, config, scratch);
    if (own) made.push(own);
  }
  const plan = path.join(scratch, "plan.json");
  await writeFile(plan, JSON.stringify({ model, ids, cases: made }));
  const { stdout } = await run(python, [path.join(here, "trained.py"), plan], {
    maxBuffer: 1 << 26,
  });
  const results = stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Result);
  assert.equal(results.length, made.length);
  for (const result of results) {
    await t.test(result.id, () => {
      if ("error" in result) assert.fail(result.error);
      t.diagnostic(
        `${result.id}: ${result.to_graft.toExponential(1)} of ${result.to_base.toExponential(1)}`,
      );
      assert(result.to_graft < 1e-4, `differs by ${result.to_graft}`);
      assert(result.to_base > 1e-3, "the adapter changes nothing");
    });
  }
});
