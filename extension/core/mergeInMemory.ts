import { t } from "@vscode/l10n";
import { badRequest } from "./base/errors.ts";
import type { BaseModel } from "./baseModel.ts";
import type { OnProgress } from "./base/progress.ts";
import type { BaseCheckpoint } from "./checkpoint/baseCheckpoint.ts";
import type { ActiveEffects } from "./peft/activeEffects.ts";
import { mergedConfig, type MergePlan, planMerge } from "./peft/merge.ts";
import { type MergeDrift, roundMerged, summarizeDrift } from "./peft/mergeRounding.ts";
import { temporaryWeights } from "./temporaryWeights.ts";

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
 * Merges active adapters for a session of this process: what changes stands in a temporary file.
 */
export async function mergeInMemory(
  { checkpoint, adaptable }: Pick<BaseModel, "checkpoint" | "adaptable">,
  active: readonly ActiveEffects[],
  { safeMerge: safe, onProgress, signal }: MergeInMemoryOptions,
): Promise<MergedWeights> {
  if (active.length === 0) throw badRequest(t("No adapter is active: there is nothing to merge."));
  const plan = planMerge(checkpoint, adaptable, active);
  const drift: MergeDrift[] = [];
  const isPacked = (name: string): boolean => checkpoint.packed?.has(name) === true;
  const tensors = plan.tensors.map((tensor, done) => ({
    ...tensor,
    bytes: async (): Promise<Uint8Array> => {
      onProgress?.({ step: t("Merging"), done, total: plan.tensors.length, unit: "items" });
      // What merging into blocks of integers loses was lost when they were made.
      const before = isPacked(tensor.name) ? undefined : checkpoint.weights.get(tensor.name);
      const rounded = await roundMerged(tensor, before, { safe });
      if (before) drift.push(rounded.drift);
      return rounded.bytes;
    },
  }));
  const written = await temporaryWeights(checkpoint, tensors, { kind: "merged", signal });
  const config = { ...checkpoint.config, raw: mergedConfig(checkpoint, plan) };
  return {
    checkpoint: { ...withoutPacked(checkpoint, plan), config, weights: written.weights },
    drift,
    swallowed: summarizeDrift(drift).swallowed,
    dispose: written.dispose,
  };
}

/** Layers that were merged into run in a floating-point type from now on, the others as before. */
function withoutPacked(checkpoint: BaseCheckpoint, { tensors }: MergePlan): BaseCheckpoint {
  const packed = new Map(checkpoint.packed);
  const unpacked = new Map(checkpoint.unpacked);
  for (const { name } of tensors) {
    packed.delete(name);
    unpacked.delete(name);
  }
  return { ...checkpoint, packed, unpacked };
}
