import { t } from "@vscode/l10n";
import { GraftError, throwIfAborted } from "./base/errors.ts";
import type { BaseModel } from "./baseModel.ts";
import type { OnProgress } from "./base/progress.ts";
import type { ActiveEffects } from "./peft/activeEffects.ts";
import { type MergedTensor, type MergePlan, planMerge } from "./peft/merge.ts";
import { type MergeDrift, roundMerged, summarizeDrift } from "./peft/mergeRounding.ts";

/**
 * From this share on a merge counts as lossy. Rounding to steps of u leaves an error of u/√12, so
 * half of a change is gone once its typical size is 0.58 u: most weights then keep the value that
 * they had, and the merged model answers like the base rather than like the adapter.
 */
export const lossyShare = 0.5;

/** What rounding to the base's type would do, found without writing anything. */
export interface MergePreview {
  /** The tensors that were computed. */
  readonly drift: readonly MergeDrift[];
  /** How many tensors the merge changes. */
  readonly total: number;
  /** Predicted share of the change that rounding swallows, 0 to 1. */
  readonly swallowed: number;
  /** Largest difference that rounding makes to a weight. */
  readonly largest: number;
  /** `swallowed` is at least `threshold`: merging asks first. */
  readonly isLossy: boolean;
  readonly threshold: number;
}

export interface PreviewOptions {
  /** Compute only so many tensors, spread evenly over the model; all when absent. */
  readonly samples?: number;
  /** Accept NaN and infinite values. */
  readonly safeMerge?: boolean;
  readonly onProgress?: OnProgress;
  readonly signal?: AbortSignal;
}

/** Predicts what a merge would lose, tensor by tensor. */
export async function previewMerge(
  { checkpoint, adaptable }: Pick<BaseModel, "checkpoint" | "adaptable">,
  active: readonly ActiveEffects[],
  options: PreviewOptions = {},
): Promise<MergePreview> {
  return previewPlan(checkpoint, planMerge(checkpoint, adaptable, active), options);
}

async function previewPlan(
  { weights, packed }: BaseModel["checkpoint"],
  plan: MergePlan,
  { samples, safeMerge, onProgress, signal }: PreviewOptions,
): Promise<MergePreview> {
  const changed = plan.tensors.filter(({ name }) => weights.has(name) && !packed?.has(name));
  const picked = spread(changed, samples ?? changed.length);
  const drift: MergeDrift[] = [];
  for (const tensor of picked) {
    throwIfAborted(signal);
    const progress = { done: drift.length, total: picked.length, unit: "items" } as const;
    onProgress?.({ step: t("Measuring what rounding takes"), ...progress });
    const before = weights.get(tensor.name);
    drift.push((await roundMerged(tensor, before, { safe: safeMerge })).drift);
  }
  const { swallowed, largest } = summarizeDrift(drift);
  const total = plan.tensors.length;
  const isLossy = swallowed >= lossyShare;
  return { drift, total, swallowed, largest, isLossy, threshold: lossyShare };
}

/** Tensors that a quick look computes before anything is written; the rest is measured while writing. */
const quickLook = 16;

/**
 * Looks at some tensors before a merge is written.
 * @throws lossy-merge when rounding would take too much and nobody has agreed to that
 */
export async function refuseLossy(
  { checkpoint }: Pick<BaseModel, "checkpoint">,
  plan: MergePlan,
  options: PreviewOptions & { allowLossy?: boolean },
): Promise<void> {
  const isExact = plan.tensors.every(({ dtype }) => dtype === "F32" || dtype === "F64");
  if (options.allowLossy || isExact) return;
  checkLoss(await previewPlan(checkpoint, plan, { ...options, samples: quickLook }), options);
}

/** @throws lossy-merge unless that was agreed to */
export function checkLoss(
  { swallowed, drift }: { swallowed: number; drift: readonly MergeDrift[] },
  { allowLossy = false }: { allowLossy?: boolean },
): void {
  if (allowLossy || swallowed < lossyShare) return;
  const percent = Math.round(100 * swallowed);
  const worst = drift.toSorted((a, b) => b.swallowed - a.swallowed).slice(0, 5);
  throw new GraftError(
    "lossy-merge",
    t(
      "Rounding to the base's type would swallow {0} % of what the adapter changes: the merged model would answer much like the base. Use the adapter unmerged, or allow a lossy merge.",
      percent,
    ),
    {
      swallowed,
      threshold: lossyShare,
      worst: worst.map(({ name, swallowed: own }) => ({ name, swallowed: own })),
    },
  );
}

/** `count` entries of a list at even distances, first and last included. */
function spread(tensors: readonly MergedTensor[], count: number): readonly MergedTensor[] {
  if (count >= tensors.length) return tensors;
  const last = tensors.length - 1;
  const places = Array.from({ length: Math.max(1, count) }, (_, i) =>
    Math.round((i * last) / Math.max(1, count - 1)),
  );
  return places.map((place) => tensors[place] as MergedTensor);
}
