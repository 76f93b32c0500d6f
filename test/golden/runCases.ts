import { existsSync, readdirSync, statSync } from "node:fs";
import * as path from "node:path";
import { methodLabels } from "../../extension/core/checkpoint/adapterConfig.ts";
import { checkAdapterCase, expectedOf } from "./adapterCase.ts";
import { checkBadCase } from "./badCase.ts";
import { exportCases } from "./exportCase.ts";
import { Bases } from "./models.ts";
import { checkMultiCase } from "./multiCase.ts";
import { type Outcome, outcomeOf } from "./outcome.ts";
import { checkQuantCase } from "./quantCase.ts";
import { checkSample } from "./sampleCase.ts";
import { checkStatus } from "./statusCheck.ts";
import { checkTrainingCase, trainedMethod } from "./trainingCase.ts";

/**
 * Every case of a folder that is laid out like the golden data; found by looking, never by list.
 * @param only the ids to run ("adapters/llama/dora", "status", "sample"); all when absent
 */
export async function runCases(
  root: string,
  {
    sampleModels,
    only = /./,
    onOutcome,
  }: { sampleModels?: string; only?: RegExp; onOutcome?: (outcome: Outcome) => void } = {},
): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  const add = (outcome: Outcome): void => {
    outcomes.push(outcome);
    onOutcome?.(outcome);
  };
  const run = async (id: string, group: string, check: () => Promise<string>): Promise<void> => {
    if (only.test(id)) add(await outcomeOf(id, group, check));
  };
  const bases = new Bases(root);
  for (const architecture of folders(path.join(root, "adapters"))) {
    for (const name of folders(path.join(root, "adapters", architecture))) {
      const folder = path.join(root, "adapters", architecture, name);
      const { peft_type: type } = expectedOf(folder);
      const id = `adapters/${architecture}/${name}`;
      await run(id, methodLabels[type] ?? type, () => checkAdapterCase(folder, bases));
    }
  }
  for (const name of folders(path.join(root, "multi"))) {
    const folder = path.join(root, "multi", name);
    await run(`multi/${name}`, "several at once", () => checkMultiCase(folder, bases));
  }
  for (const name of folders(path.join(root, "bad"))) {
    const folder = path.join(root, "bad", name);
    await run(`bad/${name}`, "bad input", () => checkBadCase(folder, bases));
  }
  for (const { id, check } of exportCases(root)) await run(id, "ONNX export", check);
  for (const file of quantFiles(root)) {
    const id = `quant/${path.basename(file, ".safetensors")}`;
    await run(id, "quantization", () => checkQuantCase(file, root));
  }
  for (const name of folders(path.join(root, "training"))) {
    const folder = path.join(root, "training", name);
    const type = trainedMethod(folder);
    const group = `training ${methodLabels[type] ?? type}`;
    await run(`training/${name}`, group, () => checkTrainingCase(folder, root));
  }
  if (only.test("status")) for (const outcome of await checkStatus(root, bases)) add(outcome);
  await bases.dispose();
  const sample = path.join(root, "sample");
  if (only.test("sample") && existsSync(path.join(sample, "outputs.json"))) {
    const models = existsSync(path.join(sample, "base")) ? sample : (sampleModels ?? sample);
    for (const outcome of await checkSample(sample, models)) add(outcome);
  }
  return outcomes;
}

function quantFiles(root: string): string[] {
  const folder = path.join(root, "quant");
  if (!existsSync(folder)) return [];
  const names = readdirSync(folder).filter((name) => name.endsWith(".safetensors"));
  return names.sort().map((name) => path.join(folder, name));
}

function folders(parent: string): string[] {
  if (!existsSync(parent)) return [];
  // Links count as what they lead to.
  return readdirSync(parent)
    .filter((name) => statSync(path.join(parent, name)).isDirectory())
    .sort();
}
