import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { existsSync } from "node:fs";
import { loadBaseModel } from "../../extension/core/baseModel.ts";
import type { BaseCheckpoint } from "../../extension/core/checkpoint/baseCheckpoint.ts";
import { expertParts } from "../../extension/core/models/expertWeights.ts";
import { openCheckpoint } from "../../extension/core/models/openCheckpoint.ts";
import { PeftModel } from "../../extension/core/peftModel.ts";
import { readFloat32 } from "../../extension/core/safetensors/read.ts";
import { allLogits, type CaseBatch } from "./models.ts";
import { expectClose } from "./outcome.ts";
import { logitDifference, readTruths, type Truth } from "./truth.ts";

/**
 * Merges the active adapters into a folder, compares its tensors with those that PEFT merged, loads
 * it and compares its logits.
 */
export async function checkMerge(
  model: PeftModel,
  at: {
    folder: string;
    batch: CaseBatch;
    logits: Truth;
    /** PEFT's merge reproduces its own adapter; where it does not, its tensors are no truth. */
    compareTensors: boolean;
  },
): Promise<string> {
  const scratch = await mkdtemp(path.join(tmpdir(), "graft-merge-"));
  try {
    const { folder } = await model.mergeAndUnload({ folder: path.join(scratch, "merged") });
    const notes: string[] = [];
    const truth = path.join(at.folder, "merged_weights.safetensors");
    if (at.compareTensors && existsSync(truth)) {
      notes.push(expectClose("merged tensors", await tensorDifference(folder, truth), 1e-5));
    }
    const merged = new PeftModel(await loadBaseModel(folder));
    const actual = await allLogits(merged, merged.inputsOf([]), at.batch);
    await merged.dispose();
    const mask = at.batch.decoderIds?.map((row) => row.map(() => 1)) ?? at.batch.mask;
    notes.push(expectClose("merged logits", logitDifference(actual, at.logits, mask), 1e-4));
    return notes.join(", ");
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

async function tensorDifference(folder: string, truthFile: string): Promise<number> {
  const { weights } = await openCheckpoint(folder);
  let largest = 0;
  for (const [name, { data }] of await readTruths(truthFile)) {
    const values = await parameter(weights, name);
    if (values.length !== data.length) return Infinity;
    values.forEach((value, i) => {
      largest = Math.max(largest, Math.abs(value - Number(data[i])));
    });
  }
  return largest;
}

/** A parameter by transformers' name; experts, which PyTorch has stacked, from the parts of each. */
async function parameter(weights: BaseCheckpoint["weights"], name: string): Promise<number[]> {
  const [, path, matrix = ""] = /^(.*\.experts)\.(gate_up_proj|down_proj)$/.exec(name) ?? [];
  const names = [];
  if (path === undefined) names.push(name);
  for (let expert = 0; path && weights.has(`${path}.${expert}.down_proj.weight`); expert++) {
    const parts = expertParts[matrix as keyof typeof expertParts];
    names.push(...parts.map((part) => `${path}.${expert}.${part}.weight`));
  }
  const values: number[] = [];
  for (const each of names) {
    const ref = weights.get(each);
    if (ref) values.push(...((await readFloat32(ref.file, [ref])).get(ref.name) as Float32Array));
  }
  return values;
}
