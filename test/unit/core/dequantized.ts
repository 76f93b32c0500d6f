import assert from "node:assert/strict";
import { cp, readdir, writeFile } from "node:fs/promises";
import * as path from "node:path";
import { fromFloat32 } from "../../../extension/core/base/halfFloat.ts";
import type { BaseCheckpoint } from "../../../extension/core/checkpoint/baseCheckpoint.ts";
import { weightName } from "../../../extension/core/checkpoint/modules.ts";
import type { MethodBase } from "../../../extension/core/peft/method.ts";
import { type TensorData, writeSafetensors } from "../../../extension/core/safetensors/write.ts";
import { temporaryFolder } from "./support.ts";

/** The same model with the values that a base runs on, as a plain fp32 checkpoint of its own. */
export async function dequantized(
  t: { after(end: () => Promise<void>): void },
  checkpoint: BaseCheckpoint,
  base: MethodBase,
): Promise<string> {
  const folder = await temporaryFolder(t);
  const { dir, weights, config } = checkpoint;
  for (const name of await readdir(dir)) {
    if (!name.endsWith(".safetensors")) await cp(path.join(dir, name), path.join(folder, name));
  }
  const tensors = new Map<string, TensorData>();
  for (const [name, { shape }] of weights) {
    const values = (await base.readTensor(name)) as Float32Array;
    tensors.set(name, { name, dtype: "F32", shape, bytes: fromFloat32(values, "F32") });
  }
  for (const module of base.tree.modules) {
    const values = checkpoint.unpacked?.get(`${module.path}.weight`);
    if (module.kind !== "linear" || !values) continue;
    const name = `${module.path}.weight`;
    let own = await values();
    if (module.isTransposed) own = turned(own, module.out, module.in);
    const shape = module.isTransposed ? [module.in, module.out] : [module.out, module.in];
    tensors.set(name, { name, dtype: "F32", shape, bytes: fromFloat32(own, "F32") });
    assert(weights.has(weightName(module)));
  }
  await writeSafetensors(path.join(folder, "model.safetensors"), [...tensors.values()]);
  // A packed head has numbers of its own.
  const isApart = [...tensors.keys()].some((name) => !weights.has(name));
  const untied = isApart && { tie_word_embeddings: false };
  const text = JSON.stringify({ ...config.raw, ...untied, dtype: "float32" });
  await writeFile(path.join(folder, "config.json"), text);
  return folder;
}

function turned(values: Float32Array, rows: number, columns: number): Float32Array {
  return values.map((_, i) => values[(i % rows) * columns + Math.floor(i / rows)] as number);
}
