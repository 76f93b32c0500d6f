import { mkdtemp, readdir, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { badRequest, unsupported } from "./base/errors.ts";
import type { BaseModel, OnProgress } from "./baseModel.ts";
import type { BaseCheckpoint } from "./checkpoint/baseCheckpoint.ts";
import { type MergeDrift, planMerge, roundMerged, summarizeDrift } from "./peft/merge.ts";
import type { ActiveEffects } from "./peft/slots.ts";
import { openSafetensors } from "./safetensors/read.ts";
import { writeSafetensors } from "./safetensors/write.ts";

/** Folders of merged weights are named by the process that uses them. */
const folderPrefix = "graft-merged-";

export interface MergeInMemoryOptions {
  /** False accepts NaN and infinite values; true when absent. */
  readonly safeMerge?: boolean;
  readonly onProgress?: OnProgress;
  readonly signal?: AbortSignal;
}

/** A base whose changed weights stand in a temporary file; the rest is the checkpoint's own. */
export interface MergedWeights {
  readonly checkpoint: BaseCheckpoint;
  readonly drift: readonly MergeDrift[];
  /** Share of the change that rounding to the base's type swallowed, 0 to 1. */
  readonly swallowed: number;
  /** Removes the file; sessions that map it are closed before. */
  dispose(): Promise<void>;
}

/**
 * Merges active adapters for a session of this process: what changes goes tensor by tensor into a
 * temporary file that ONNX Runtime maps like the checkpoint's, so that memory stays bounded and the
 * base is not touched. What a killed process left behind is removed by the next merge.
 */
export async function mergeInMemory(
  { checkpoint, adaptable }: Pick<BaseModel, "checkpoint" | "adaptable">,
  active: readonly ActiveEffects[],
  { safeMerge: safe, onProgress, signal }: MergeInMemoryOptions,
): Promise<MergedWeights> {
  if (active.length === 0) throw badRequest("No adapter is active: there is nothing to merge.");
  const plan = planMerge(checkpoint, adaptable, active);
  const parent = await realpath(tmpdir());
  checkDrive(parent, checkpoint.dir);
  await removeAbandoned(parent);
  const folder = await mkdtemp(path.join(parent, `${folderPrefix}${process.pid}-`));
  const dispose = (): Promise<void> => rm(folder, { recursive: true, force: true });
  try {
    const drift: MergeDrift[] = [];
    const tensors = plan.tensors.map((tensor, done) => ({
      ...tensor,
      bytes: async (): Promise<Uint8Array> => {
        onProgress?.({ step: "Merging", done, total: plan.tensors.length, unit: "items" });
        const before = checkpoint.weights.get(tensor.name);
        const rounded = await roundMerged(tensor, before, { safe });
        if (before) drift.push(rounded.drift);
        return rounded.bytes;
      },
    }));
    const file = path.join(folder, "merged.safetensors");
    await writeSafetensors(file, tensors, { ...(signal && { signal }) });
    const { tensors: written } = await openSafetensors(file);
    const merged = written.map((entry) => [entry.name, { ...entry, file }] as const);
    return {
      checkpoint: {
        ...checkpoint,
        config: { ...checkpoint.config, raw: configOf(checkpoint, plan) },
        weights: new Map([...checkpoint.weights, ...merged]),
      },
      drift,
      swallowed: summarizeDrift(drift).swallowed,
      dispose,
    };
  } catch (error) {
    await dispose();
    throw error;
  }
}

function configOf(
  { config }: BaseCheckpoint,
  { unties, vocabulary }: { unties: boolean; vocabulary: number | null },
): BaseCheckpoint["config"]["raw"] {
  return {
    ...config.raw,
    ...(unties && { tie_word_embeddings: false }),
    ...(vocabulary !== null && { vocab_size: vocabulary }),
  };
}

/** ONNX Runtime maps files below one folder, which two drives do not have. */
function checkDrive(temporary: string, base: string): void {
  const [own, other] = [temporary, base].map((each) => path.parse(each).root.toLowerCase());
  if (own === other) return;
  throw unsupported(
    `Merged weights would go to ${temporary}, which is on another drive than the base ${base}`,
    "Set the environment variable TMP to a folder on the base's drive.",
  );
}

/** Removes what processes that are gone have left. */
async function removeAbandoned(parent: string): Promise<void> {
  for (const name of await readdir(parent)) {
    const id = new RegExp(`^${folderPrefix}(\\d+)-`).exec(name)?.[1];
    if (id === undefined || isRunning(Number(id))) continue;
    // It may be another user's, or be removed by another process at the same time.
    await rm(path.join(parent, name), { recursive: true, force: true }).catch(() => undefined);
  }
}

function isRunning(id: number): boolean {
  try {
    process.kill(id, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
