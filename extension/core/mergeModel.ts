import { t } from "@vscode/l10n";
import * as path from "node:path";
import { badRequest, throwIfAborted, unsupported } from "./base/errors.ts";
import { isFile, writeAtomically } from "./base/files.ts";
import { refuseTaken, createFolder } from "./base/folders.ts";
import type { BaseModel } from "./baseModel.ts";
import type { OnProgress } from "./base/progress.ts";
import type { BaseCheckpoint, WeightRef } from "./checkpoint/baseCheckpoint.ts";
import { copyModelFiles } from "./copyModelFiles.ts";
import { checkLoss, refuseLossy } from "./mergePreview.ts";
import type { ActiveEffects } from "./peft/activeEffects.ts";
import { mergedConfig, type MergedTensor, type MergePlan, planMerge } from "./peft/merge.ts";
import { type MergeDrift, roundMerged, summarizeDrift } from "./peft/mergeRounding.ts";
import type { PrecisionReport } from "./precision.ts";
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
 * @throws unsupported for a quantized base, or when an adapter cannot be merged, saying why; lossy-merge
 */
export async function mergeModel(
  { checkpoint, adaptable, precision }: Pick<BaseModel, "checkpoint" | "adaptable" | "precision">,
  active: readonly ActiveEffects[],
  options: MergeOptions,
): Promise<MergeReport> {
  refuseQuantized(precision);
  const folder = path.resolve(options.folder);
  if (active.length === 0) throw badRequest(t("No adapter is active: there is nothing to merge."));
  await refuseTaken(folder);
  const plan = planMerge(checkpoint, adaptable, active);
  await refuseLossy({ checkpoint }, plan, options);
  return createFolder(folder, async (partial) => {
    const drift = await writeShards(checkpoint, plan, { ...options, folder: partial });
    await copyRest(checkpoint, plan, partial);
    const { swallowed, largest } = summarizeDrift(drift);
    checkLoss({ swallowed, drift }, options);
    throwIfAborted(options.signal);
    return {
      folder,
      drift,
      changed: plan.tensors.map(({ name }) => name),
      swallowed,
      largest,
      untied: plan.unties,
    };
  });
}

function refuseQuantized({ stored, bytes, label }: PrecisionReport): void {
  if (stored) {
    throw unsupported(
      t("Graft does not write a merged model of a base that is stored quantized ({0})", stored),
      t("Merge into the model that it was made from."),
    );
  }
  if (bytes > 0) {
    throw unsupported(
      t(
        "Graft does not write a merged model of a base that was quantized as it was loaded ({0})",
        label,
      ),
      t('Load the base without quantization (precision "auto"), then merge.'),
    );
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
