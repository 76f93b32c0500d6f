import { realpath, stat } from "node:fs/promises";
import * as path from "node:path";
import { notFound } from "../base/errors.ts";
import { isFile } from "../base/files.ts";
import { openSafetensors, type SafetensorsFile } from "../safetensors/read.ts";
import { type AdapterConfig, readAdapterConfig } from "./adapterConfig.ts";
import { openTorchFile } from "./torchFile.ts";

/** An adapter's folder: config and header read, no weight touched. */
export interface AdapterCheckpoint {
  /** Real path of the folder. */
  readonly dir: string;
  readonly config: AdapterConfig;
  readonly weights: SafetensorsFile;
  /** Milliseconds since the epoch. */
  readonly modified: number;
}

export async function openAdapterCheckpoint(
  folder: string,
  signal?: AbortSignal,
): Promise<AdapterCheckpoint> {
  const dir = await realpath(folder).catch(() => {
    throw notFound("Adapter", folder, "Choose a folder that holds adapter_config.json.");
  });
  const config = await readAdapterConfig(dir, signal);
  const weights = await openWeights(dir);
  const { mtimeMs } = await stat(weights.file);
  return { dir, config, weights, modified: mtimeMs };
}

/** safetensors wins over .bin, as in PEFT. */
async function openWeights(dir: string): Promise<SafetensorsFile> {
  const file = path.join(dir, "adapter_model.safetensors");
  if (await isFile(file)) return openSafetensors(file);
  const pickle = path.join(dir, "adapter_model.bin");
  if (await isFile(pickle)) return openTorchFile(pickle);
  throw notFound("Adapter weights", file, "The folder holds a config but no weights.");
}

/**
 * Tensor names as modules know them: PEFT's `base_model.model.` in front and an adapter name that
 * some writers leave between `lora_A` and `weight` are dropped.
 */
export function plainTensorName(name: string): string {
  return name.replace(/^base_model\.model\./, "").replace(/\.default\.(weight|bias)$/, ".$1");
}
