import { t } from "@vscode/l10n";
import { readdir, realpath } from "node:fs/promises";
import * as path from "node:path";
import type { Dtype } from "../base/dtype.ts";
import { badFile, notFound, throwIfAborted } from "../base/errors.ts";
import { elementCount, type Shape } from "../base/shape.ts";
import type { TensorEntry } from "../safetensors/header.ts";
import type { SafetensorsFile } from "../safetensors/read.ts";
import { repoIdOf } from "../hub/cache.ts";
import { type ModelConfig, readModelConfig } from "./modelConfig.ts";
import { openWeightFile } from "./openWeightFile.ts";
import type { PackedWeight } from "./packedWeight.ts";
import { findWeightFiles, type WeightFiles } from "./weightFiles.ts";
import { attachScales, type WeightScale } from "./weightScale.ts";

/** A tensor and the file that holds it. */
export interface WeightRef extends TensorEntry {
  /** Real path, symbolic links of the Hugging Face cache resolved. */
  readonly file: string;
  /** What 8-bit floating-point values are multiplied by; absent where they are values themselves. */
  readonly scale?: WeightScale;
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
  /** The numbers [out, in] of those, by the same names. */
  readonly unpacked?: ReadonlyMap<string, (signal?: AbortSignal) => Promise<Float32Array>>;
  /** Tensors of a head that the files lack, with their shapes: zeros until an adapter brings its own. */
  readonly empty?: ReadonlyMap<string, Shape>;
  /** The .onnx file of an export, whose weights are its graph's constants; absent for a checkpoint. */
  readonly onnx?: string;
  readonly files: readonly SafetensorsFile[];
  /** Names of the weight files as the folder has them, in the order of `files`. */
  readonly shardNames: readonly string[];
  readonly parameters: number;
  readonly bytes: number;
  /** The element type that holds most parameters. */
  readonly dtype: Dtype;
}

/**
 * Opens a Hugging Face checkpoint folder: config.json with one or several files of weights,
 * safetensors or those of torch.save.
 * @throws not-found, unsupported or bad-file, saying which file and what to do
 */
export async function openBaseCheckpoint(
  folder: string,
  signal?: AbortSignal,
): Promise<BaseCheckpoint> {
  const dir = await realpath(folder).catch(() => {
    throw notFound(
      t("Base model"),
      folder,
      t("Choose a folder that holds config.json and *.safetensors."),
    );
  });
  await refuseEmpty(dir);
  const config = await readModelConfig(dir, signal);
  const found = await findWeightFiles(dir);
  const files: SafetensorsFile[] = [];
  for (const name of found.names) {
    throwIfAborted(signal);
    files.push(await openWeightFile(await realpath(path.join(dir, name)), found.format));
  }
  const stored = weightsOf(files);
  checkIndex(found, files);
  const weights = attachScales(stored, config);
  return {
    dir,
    name: displayName(dir, config),
    config,
    weights,
    files,
    shardNames: found.names,
    ...totals(weights),
  };
}

async function refuseEmpty(dir: string): Promise<void> {
  const names = await readdir(dir);
  if (names.length > 0) return;
  throw notFound(t("Base model"), dir, t("The folder is empty: it needs config.json and weights."));
}

function weightsOf(files: readonly SafetensorsFile[]): Map<string, WeightRef> {
  const weights = new Map<string, WeightRef>();
  for (const { file, tensors } of files) {
    for (const tensor of tensors) {
      const twin = weights.get(tensor.name);
      if (twin) throw badFile(file, t('tensor "{0}" is also in {1}', tensor.name, twin.file));
      weights.set(tensor.name, { ...tensor, file });
    }
  }
  return weights;
}

/** Every tensor that the index lists is in the shard that it names: shards of two downloads differ. */
function checkIndex({ index, names }: WeightFiles, files: readonly SafetensorsFile[]): void {
  if (index === null) return;
  const inShard = new Map(
    files.map(({ tensors }, i) => [names[i] as string, new Set(tensors.map(({ name }) => name))]),
  );
  for (const [tensor, shard] of index.shards) {
    if (inShard.get(shard)?.has(tensor)) continue;
    throw badFile(
      index.file,
      t('lists tensor "{0}" in {1}, which does not have it', tensor, shard),
      t("Index and shards are of two versions or a shard is not whole: download them again."),
    );
  }
}

const genericNames = new Set(["base", "model", "checkpoint", "pytorch", "hf"]);

/** The repository's name, the folder's, or what a folder with a generic name says of itself. */
export function displayName(dir: string, { raw }: ModelConfig): string {
  const folder = path.basename(dir);
  const own = raw["_name_or_path"];
  const isGeneric = genericNames.has(folder) && typeof own === "string" && own !== "";
  const name = repoIdOf(dir) ?? (isGeneric ? own : folder);
  return name.split("/").at(-1) as string;
}

function totals(weights: ReadonlyMap<string, WeightRef>): {
  parameters: number;
  bytes: number;
  dtype: Dtype;
} {
  const perDtype = new Map<Dtype, number>();
  // Tied tensors of a .bin file are one range of bytes under two names.
  const ranges = new Map<string, number>();
  for (const { dtype, shape, byteLength, file, offset, scale } of weights.values()) {
    ranges.set(`${offset} ${file}`, byteLength + (scale?.values.byteLength ?? 0));
    if (!buffers.has(dtype)) perDtype.set(dtype, (perDtype.get(dtype) ?? 0) + elementCount(shape));
  }
  const ranked = [...perDtype].sort((a, b) => b[1] - a[1]);
  const parameters = ranked.reduce((sum, [, count]) => sum + count, 0);
  const bytes = [...ranges.values()].reduce((sum, length) => sum + length, 0);
  return { parameters, bytes, dtype: ranked[0]?.[0] ?? "F32" };
}

/** Element types of what a model remembers beside its parameters: masks, positions, counters. */
const buffers: ReadonlySet<Dtype> = new Set(["BOOL", "I64"]);
