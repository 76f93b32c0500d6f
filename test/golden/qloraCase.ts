import { existsSync } from "node:fs";
import * as path from "node:path";
import { type BaseModel, describeBase, loadBaseModel } from "../../extension/core/baseModel.ts";
import { BaseSession } from "../../extension/core/baseSession.ts";
import type { BaseCheckpoint } from "../../extension/core/checkpoint/baseCheckpoint.ts";
import { mergeInMemory } from "../../extension/core/mergeInMemory.ts";
import { PeftModel } from "../../extension/core/peftModel.ts";
import { quantizedBase } from "./quantizedBase.ts";
import type { Quantization } from "../../extension/core/quant/weightSource.ts";
import { allLogits } from "./models.ts";
import { expectClose, Skip } from "./outcome.ts";
import { integerRows, logitDifference, readJson, readTruths, type Truth } from "./truth.ts";

const tolerance = 1e-4;

interface Batch {
  readonly ids: number[][];
  readonly mask: number[][];
}

/**
 * A quantized base, with an adapter, with the adapter merged into what the base was rounded to, and
 * with that rounded again.
 */
export async function checkQlora(
  file: string,
  { root, quantization }: { root: string; quantization: Quantization },
): Promise<string> {
  const truths = await readTruths(file);
  const { adapter, model: folder } = sourceOf(root, path.basename(file, ".safetensors"));
  if (!existsSync(adapter)) throw new Skip(`${adapter} is not there`);
  const batch = {
    ids: integerRows(truths.get("input_ids") as Truth),
    mask: integerRows(truths.get("attention_mask") as Truth),
  };
  const close = (what: string, actual: Float32Array): string => {
    const truth = truths.get(`${what}_logits`);
    if (!truth) throw new Skip(`has no ${what} logits`);
    return expectClose(what, logitDifference(actual, truth, batch.mask), tolerance);
  };
  const base = await loadBaseModel(folder, {
    quantization: quantization.type,
    doubleQuant: quantization.doubleQuant,
  });
  const model = new PeftModel(base);
  try {
    const notes = [close("quantised_base", await allLogits(model, model.inputsOf([]), batch))];
    const { name, weights } = await model.loadAdapter(adapter);
    const active = model.inputsOf([{ name, weight: 1 }]);
    notes.push(close("adapter", await allLogits(model, active, batch)));
    const merged = await mergeInMemory(base, [{ effects: weights.effects, weight: 1 }], {});
    try {
      notes.push(close("merged", await logitsOf(base, merged.checkpoint, batch)));
      const { tree } = base.adaptable;
      // As PEFT does: only what was merged is rounded again.
      const only = new Set(weights.effects.linear.keys());
      const again = await quantizedBase(merged.checkpoint, tree, { quantization, only });
      const logits = await logitsOf(base, again.checkpoint, batch).finally(again.dispose);
      notes.push(close("merged_requantised", logits));
    } finally {
      await merged.dispose();
    }
    return notes.join(", ");
  } finally {
    await model.dispose();
  }
}

/** The adapter and the base of a case, as the data's manifest says. */
function sourceOf(root: string, name: string): { adapter: string; model: string } {
  const manifest = path.join(root, "manifest.json");
  const cases = existsSync(manifest)
    ? readJson<Record<string, { note?: string } | undefined>>(manifest)
    : {};
  const note = cases[`quant/${name}`]?.note ?? "";
  const match = /adapter (adapters\/\S+) on (models\/\S+)/.exec(note);
  return {
    adapter: path.join(root, match?.[1] ?? "adapters/llama/lora_default"),
    model: path.join(root, match?.[2] ?? "models/llama"),
  };
}

async function logitsOf(
  base: BaseModel,
  checkpoint: BaseCheckpoint,
  batch: Batch,
): Promise<Float32Array> {
  const adaptable = describeBase(checkpoint);
  const session = await BaseSession.create(checkpoint, adaptable, {});
  const model = new PeftModel({ ...base, checkpoint, adaptable, session });
  try {
    return await allLogits(model, model.inputsOf([]), batch);
  } finally {
    await model.dispose();
  }
}
