import { realpath } from "node:fs/promises";
import * as path from "node:path";
import { z } from "zod";
import type { Dtype } from "../base/dtype.ts";
import { badFile, notFound, throwIfAborted } from "../base/errors.ts";
import { isFile } from "../base/files.ts";
import { parseFields, readJsonObject } from "../base/json.ts";
import { elementCount } from "../base/shape.ts";
import type { TensorEntry } from "../safetensors/header.ts";
import { openSafetensors, type SafetensorsFile } from "../safetensors/read.ts";
import { repoIdOf } from "../hub/cache.ts";
import { type ModelConfig, readModelConfig } from "./modelConfig.ts";
import type { PackedWeight } from "./packedWeight.ts";

/** A tensor and the file that holds it. */
export interface WeightRef extends TensorEntry {
  /** Real path, symbolic links of the Hugging Face cache resolved. */
  readonly file: string;
}

/** A base model's folder: config and headers read, no weight touched. Never written. */
export interface BaseCheckpoint {
  /** Real path of the folder. */
  readonly dir: string;
  /** For people: the repository's name, the folder's, or what a folder with a generic name says of itself. */
  readonly name: string;
  readonly config: ModelConfig;
  readonly weights: ReadonlyMap<string, WeightRef>;
  /** Weights of linear layers that run packed, by the layer's own `<path>.weight`, a tied head's too. */
  readonly packed?: ReadonlyMap<string, PackedWeight>;
  readonly files: readonly SafetensorsFile[];
  /** Names of the weight files as the folder has them, in the order of `files`. */
  readonly shardNames: readonly string[];
  readonly parameters: number;
  readonly bytes: number;
  /** The element type that holds most parameters. */
  readonly dtype: Dtype;
}

/** Opens a Hugging Face checkpoint folder: config.json with one or several safetensors files. */
export async function openBaseCheckpoint(
  folder: string,
  signal?: AbortSignal,
): Promise<BaseCheckpoint> {
  const dir = await realpath(folder).catch(() => {
    throw notFound(
      "Base model",
      folder,
      "Choose a folder that holds config.json and *.safetensors.",
    );
  });
  const config = await readModelConfig(dir, signal);
  const files: SafetensorsFile[] = [];
  const shardNames = await weightFiles(dir);
  for (const name of shardNames) {
    throwIfAborted(signal);
    files.push(await openSafetensors(await realpath(path.join(dir, name))));
  }
  const weights = new Map<string, WeightRef>();
  for (const { file, tensors } of files) {
    for (const tensor of tensors) {
      const twin = weights.get(tensor.name);
      if (twin) throw badFile(file, `tensor "${tensor.name}" is also in ${twin.file}`);
      weights.set(tensor.name, { ...tensor, file });
    }
  }
  return {
    dir,
    name: displayName(dir, config),
    config,
    weights,
    files,
    shardNames,
    ...totals(weights),
  };
}

const genericNames = new Set(["base", "model", "checkpoint", "pytorch", "hf"]);

function displayName(dir: string, { raw }: ModelConfig): string {
  const folder = path.basename(dir);
  const own = raw["_name_or_path"];
  const isGeneric = genericNames.has(folder) && typeof own === "string" && own !== "";
  const name = repoIdOf(dir) ?? (isGeneric ? own : folder);
  return name.split("/").at(-1) as string;
}

const shardIndex = z.looseObject({ weight_map: z.record(z.string(), z.string()) });

/** Names of the weight files, as the index lists them or the single file. */
async function weightFiles(dir: string): Promise<string[]> {
  if (await isFile(path.join(dir, "model.safetensors"))) return ["model.safetensors"];
  const index = path.join(dir, "model.safetensors.index.json");
  if (!(await isFile(index))) {
    throw notFound(
      "Weights",
      path.join(dir, "model.safetensors"),
      "Graft reads model.safetensors or the shards that model.safetensors.index.json lists.",
    );
  }
  const { weight_map } = parseFields(shardIndex, await readJsonObject(index), index);
  const names = [...new Set(Object.values(weight_map))].sort();
  for (const name of names) {
    if (name !== path.basename(name) || name === "..") {
      throw badFile(index, `field "weight_map" names "${name}", which is outside the folder`);
    }
    if (!(await isFile(path.join(dir, name)))) {
      throw notFound("Shard", path.join(dir, name), `${path.basename(index)} lists it.`);
    }
  }
  return names;
}

function totals(weights: ReadonlyMap<string, WeightRef>): {
  parameters: number;
  bytes: number;
  dtype: Dtype;
} {
  const perDtype = new Map<Dtype, number>();
  let bytes = 0;
  for (const { dtype, shape, byteLength } of weights.values()) {
    perDtype.set(dtype, (perDtype.get(dtype) ?? 0) + elementCount(shape));
    bytes += byteLength;
  }
  const ranked = [...perDtype].sort((a, b) => b[1] - a[1]);
  const parameters = ranked.reduce((sum, [, count]) => sum + count, 0);
  return { parameters, bytes, dtype: ranked[0]?.[0] ?? "F32" };
}
