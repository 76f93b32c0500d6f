import { t } from "@vscode/l10n";
import { copyFile, mkdir, readdir, rename, rm } from "node:fs/promises";
import * as path from "node:path";
import { badRequest, throwIfAborted } from "./base/errors.ts";
import { isFile, writeAtomically } from "./base/files.ts";
import type { BaseModel, OnProgress } from "./baseModel.ts";
import type { BaseCheckpoint, WeightRef } from "./checkpoint/baseCheckpoint.ts";
import { checkLoss, refuseLossy } from "./mergePreview.ts";
import {
  type MergedTensor,
  type MergeDrift,
  type MergePlan,
  planMerge,
  roundMerged,
  summarizeDrift,
  mergedConfig,
} from "./peft/merge.ts";
import type { ActiveEffects } from "./peft/slots.ts";
import type { TensorEntry } from "./safetensors/header.ts";
import { readTensors } from "./safetensors/read.ts";
import { type TensorData, writeSafetensors } from "./safetensors/write.ts";

export interface MergeOptions {
  /** Where the merged model is written: a folder that does not exist yet. */
  readonly folder: string;
  /** Write although rounding swallows much of the change; without it such a merge throws lossy-merge. */
  readonly allowLossy?: boolean;
  /** False writes NaN and infinite values, as PEFT does unless it is told not to; true when absent. */
  readonly safeMerge?: boolean;
  readonly onProgress?: OnProgress;
  readonly signal?: AbortSignal;
}

export interface MergeReport {
  readonly folder: string;
  /** Names of the tensors that changed. */
  readonly changed: readonly string[];
  readonly drift: readonly MergeDrift[];
  /** Root mean square of `swallowed` over all changed tensors. */
  readonly swallowed: number;
  /** Largest absolute difference that rounding made to a weight. */
  readonly largest: number;
  /** True when a tied head became a tensor of its own. */
  readonly untied: boolean;
}

/**
 * Writes a base with adapters merged in: same shards, same index, same types; only what changed is
 * other. Tensor by tensor, so that memory stays bounded; a failure leaves no folder behind.
 */
export async function mergeModel(
  { checkpoint, adaptable }: Pick<BaseModel, "checkpoint" | "adaptable">,
  active: readonly ActiveEffects[],
  options: MergeOptions,
): Promise<MergeReport> {
  const folder = path.resolve(options.folder);
  if (active.length === 0) throw badRequest(t("No adapter is active: there is nothing to merge."));
  await refuseTaken(folder);
  const plan = planMerge(checkpoint, adaptable, active);
  await refuseLossy({ checkpoint }, plan, options);
  const partial = `${folder}.partial`;
  await rm(partial, { recursive: true, force: true });
  await mkdir(partial);
  try {
    const drift = await writeShards(checkpoint, plan, { ...options, folder: partial });
    await copyRest(checkpoint, plan, partial);
    const { swallowed, largest } = summarizeDrift(drift);
    checkLoss({ swallowed, drift }, options);
    throwIfAborted(options.signal);
    await rename(partial, folder);
    return {
      folder,
      drift,
      changed: plan.tensors.map(({ name }) => name),
      swallowed,
      largest,
      untied: plan.unties,
    };
  } catch (error) {
    await rm(partial, { recursive: true, force: true });
    throw error;
  }
}

async function writeShards(
  checkpoint: BaseCheckpoint,
  plan: MergePlan,
  { folder, safeMerge: safe, onProgress, signal }: MergeOptions,
): Promise<MergeDrift[]> {
  const planned = new Map(plan.tensors.map((tensor) => [tensor.name, tensor]));
  // By the names in the files, which a family's parameters may not have.
  const merged = new Map<string, MergedPart[]>();
  for (const [name, ref] of checkpoint.weights) {
    const tensor = planned.get(name);
    if (tensor) merged.set(ref.name, [...(merged.get(ref.name) ?? []), { tensor, ref }]);
  }
  const drift: MergeDrift[] = [];
  let done = 0;
  for (const [i, shard] of checkpoint.files.entries()) {
    const isLast = i === checkpoint.files.length - 1;
    const own: TensorData[] = shard.tensors.map((entry) => ({
      ...entry,
      shape: wholePart(entry, merged.get(entry.name))?.tensor.shape ?? entry.shape,
      bytes: async () => {
        onProgress?.({ step: t("Merging"), done, total: checkpoint.bytes, unit: "bytes" });
        done += entry.byteLength;
        const changes = merged.get(entry.name) ?? [];
        const whole = wholePart(entry, changes);
        const bytes = whole
          ? new Uint8Array(0)
          : ((await readTensors(shard.file, [entry], signal))[0] as Uint8Array);
        for (const { tensor, ref } of changes) {
          const rounded = await roundMerged(tensor, ref, { safe });
          drift.push(rounded.drift);
          if (whole) return rounded.bytes;
          bytes.set(rounded.bytes, ref.offset - entry.offset);
        }
        return bytes;
      },
    }));
    // A head that was tied goes into the last shard.
    const added = isLast ? plan.tensors.filter(({ name }) => !checkpoint.weights.has(name)) : [];
    for (const tensor of added) {
      const bytes = async (): Promise<Uint8Array> =>
        (await roundMerged(tensor, undefined, { safe })).bytes;
      own.push({ ...tensor, bytes });
    }
    const stored = checkpoint.shardNames[i] as string;
    const name = savedName(stored);
    // transformers asks for the mark of PyTorch's names, which .bin files do not need.
    const mark: Record<string, string> = name === stored ? {} : { format: "pt" };
    await writeSafetensors(path.join(folder, name), own, {
      metadata: { ...mark, ...shard.metadata },
      signal,
    });
  }
  return drift;
}

/** A merged parameter and where its values lie in the checkpoint. */
interface MergedPart {
  readonly tensor: MergedTensor;
  readonly ref: WeightRef;
}

/** The change of a tensor that is one parameter; undefined where several lie in it. */
function wholePart(entry: TensorEntry, parts: readonly MergedPart[] = []): MergedPart | undefined {
  return parts.find(
    ({ ref }) => ref.byteLength === entry.byteLength && ref.shape.length === entry.shape.length,
  );
}

async function copyRest(
  checkpoint: BaseCheckpoint,
  plan: MergePlan,
  folder: string,
): Promise<void> {
  await copyModelFiles(checkpoint, folder);
  if (plan.unties || plan.vocabulary !== null) {
    const config = mergedConfig(checkpoint, plan);
    await writeText(path.join(folder, "config.json"), JSON.stringify(config, null, 2));
  }
  // Shards read from .bin files are new safetensors files.
  const isTorch = checkpoint.files.length > 1 && checkpoint.shardNames[0]?.endsWith(".bin");
  const index = path.join(folder, shardIndexName);
  if (isTorch || (plan.unties && (await isFile(index)))) {
    await writeText(index, JSON.stringify(indexOf(checkpoint, plan), null, 2));
  }
}

const shardIndexName = "model.safetensors.index.json";

/**
 * Makes the folder above a new model's.
 * @throws bad-request when something is there already
 */
export async function refuseTaken(folder: string): Promise<void> {
  const parent = path.dirname(folder);
  await mkdir(parent, { recursive: true });
  if (!(await readdir(parent)).includes(path.basename(folder))) return;
  throw badRequest(t("{0} exists already. Choose a folder that does not.", folder));
}

/** Copies config, tokenizer and the like of a model; never its weights. */
export async function copyModelFiles({ dir }: BaseCheckpoint, folder: string): Promise<void> {
  for (const entry of await readdir(dir, { withFileTypes: true })) {
    const isWeights = /\.(safetensors|bin|pt|pth|h5|msgpack|onnx|gguf)$/.test(entry.name);
    if (entry.isDirectory() || isWeights || entry.name.startsWith(".")) continue;
    if (entry.name === torchIndex) continue;
    await copyFile(path.join(dir, entry.name), path.join(folder, entry.name));
  }
}

const torchIndex = "pytorch_model.bin.index.json";

/** What is read from .bin files is saved as safetensors. */
function savedName(name: string): string {
  return name.replace(/^pytorch_model/, "model").replace(/\.bin(?=$|\.index)/, ".safetensors");
}

function indexOf(checkpoint: BaseCheckpoint, plan: MergePlan): object {
  const shards = checkpoint.files.flatMap(({ tensors }, i) =>
    tensors.map(({ name }) => [name, savedName(checkpoint.shardNames[i] as string)] as const),
  );
  const added = plan.tensors
    .filter(({ name }) => !checkpoint.weights.has(name))
    .map(({ name }) => [name, savedName(checkpoint.shardNames.at(-1) as string)] as const);
  return { metadata: {}, weight_map: Object.fromEntries([...shards, ...added]) };
}

async function writeText(file: string, text: string): Promise<void> {
  await writeAtomically(file, (handle) => handle.writeFile(`${text}\n`));
}
