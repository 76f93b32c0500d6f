import { copyFile, readdir } from "node:fs/promises";
import * as path from "node:path";
import type { BaseCheckpoint } from "./checkpoint/baseCheckpoint.ts";

/** Copies config, tokenizer and the like of a model into a folder that is there; never its weights. */
export async function copyModelFiles({ dir }: BaseCheckpoint, folder: string): Promise<void> {
  for (const entry of await readdir(dir, { withFileTypes: true })) {
    const isWeights = /\.(safetensors|bin|pt|pth|h5|msgpack|onnx|gguf)$/.test(entry.name);
    if (entry.isDirectory() || isWeights || entry.name.startsWith(".")) continue;
    // It leads to .bin files; what is written of those is safetensors.
    if (entry.name === "pytorch_model.bin.index.json") continue;
    await copyFile(path.join(dir, entry.name), path.join(folder, entry.name));
  }
}
