import { existsSync } from "node:fs";
import * as path from "node:path";
import { isDeepStrictEqual } from "node:util";
import type { PeftModel } from "../../extension/core/peftModel.ts";
import type { ModelStatus } from "../../extension/core/status.ts";
import { adapterFolder, expectedOf } from "./adapterCase.ts";
import type { Bases } from "./models.ts";
import { expect, type Outcome, outcomeOf } from "./outcome.ts";
import { readJson } from "./truth.ts";

/** [trainable, all] parameters, as get_nb_trainable_parameters returns them. */
type Counts = [number, number];

/** PEFT's TunerModelStatus. */
type Status = Record<string, unknown>;

interface StatusCase {
  inference?: Counts;
  training?: Counts;
  status?: Status;
  /** "path class". */
  layers?: string[];
}

interface Step {
  step: "load" | "set" | "delete";
  adapter?: string;
  name?: string;
  names?: string[];
  inferenceMode?: boolean;
  isTrainable?: boolean;
  status: Status;
}

interface StatusTruth {
  cases: Record<string, StatusCase>;
  sequence: Step[];
}

/** Every case of <root>/status.json, which status.py writes: counts and status equal PEFT's. */
export async function checkStatus(root: string, bases: Bases): Promise<Outcome[]> {
  const file = path.join(root, "status.json");
  if (!existsSync(file)) return [];
  const { cases, sequence } = readJson<StatusTruth>(file);
  const outcomes: Outcome[] = [];
  for (const [id, truth] of Object.entries(cases)) {
    const folder = path.join(root, id);
    const check = (): Promise<string> => checkStatusCase(folder, truth, bases);
    if (existsSync(folder)) outcomes.push(await outcomeOf(`status/${id}`, "status", check));
  }
  const check = (): Promise<string> => checkSequence(root, sequence, bases);
  outcomes.push(await outcomeOf("status/several adapters", "status", check));
  return outcomes;
}

async function checkStatusCase(folder: string, truth: StatusCase, bases: Bases): Promise<string> {
  const model = await bases.model(expectedOf(folder).model);
  const source = adapterFolder(folder);
  const adapterName = path.relative(folder, source) || "default";
  // Its truth is of the name that from_pretrained gives.
  const { name } = await model.loadAdapter(source, { adapterName: "default" });
  model.setAdapter(name, { inferenceMode: true });
  equal("inference", truth.inference, counts(model));
  if (truth.status) equal("status", truth.status, statusOf(model));
  if (truth.layers) {
    const own = model.getLayerStatus().map((layer) => `${layer.name} ${layer.moduleType}`);
    // Graft lists a block's norms where they are computed, PyTorch after the rest.
    equal("layers", [...truth.layers].sort(), own.sort());
  }
  model.setAdapter(name);
  if (truth.training) equal("training", truth.training, counts(model));
  return `${adapterName}: ${counts(model).join(" of ")}`;
}

async function checkSequence(root: string, steps: readonly Step[], bases: Bases): Promise<string> {
  const model = await bases.model("models/llama");
  for (const [i, { step, adapter = "", name = "", names = [], ...options }] of steps.entries()) {
    if (step === "load") {
      const folder = path.join(root, "adapters/llama", adapter);
      const isTrainable = options.isTrainable ?? false;
      await model.loadAdapter(folder, { adapterName: name, isTrainable });
      // PEFT makes the first active.
      if (i === 0) model.setAdapter(name, { inferenceMode: true });
    } else if (step === "set") {
      model.setAdapter(names, { inferenceMode: options.inferenceMode ?? false });
    } else {
      for (const each of names) model.deleteAdapter(each);
    }
    const { num_adapter_layers: layers, ...status } = statusOf(model);
    const { num_adapter_layers: wanted, ...rest } = options.status;
    equal(`step ${i + 1}`, rest, status);
    // PEFT keeps the wrappers of a deleted adapter.
    expect(step === "delete" || layers === wanted, `step ${i + 1}: ${String(layers)} layers`);
  }
  return `${steps.length} steps`;
}

function counts(model: PeftModel): Counts {
  const { trainable, total } = model.getNbTrainableParameters();
  return [trainable, total];
}

function statusOf(model: PeftModel): Status {
  const snake = (name: string): string => name.replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`);
  const status: ModelStatus = model.getModelStatus();
  return Object.fromEntries(Object.entries(status).map(([name, value]) => [snake(name), value]));
}

function equal(what: string, wanted: unknown, own: unknown): void {
  expect(
    isDeepStrictEqual(wanted, own),
    `${what}: ${JSON.stringify(own)} instead of ${JSON.stringify(wanted)}`,
  );
}
