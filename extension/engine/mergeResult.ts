import { realpath } from "node:fs/promises";
import type { MergeReport } from "../core/mergeModel.ts";
import type { MergePreview } from "../core/mergePreview.ts";
import type { MergePreviewResult, MergeResult } from "../protocol/writeContract.ts";

/** What a merge did, without a line for each of hundreds of tensors. */
export async function mergeResult(report: MergeReport): Promise<MergeResult> {
  const { changed, swallowed, untied } = report;
  const folder = await realpath(report.folder);
  return { folder, changedTensors: changed.length, swallowed, worst: worstOf(report), untied };
}

/** The same of a merge that is only looked at. */
export function previewResult(preview: MergePreview): MergePreviewResult {
  const { total, drift, swallowed, largest, isLossy, threshold } = preview;
  return {
    changedTensors: total,
    computed: drift.length,
    swallowed,
    largest,
    lossy: isLossy,
    threshold,
    worst: worstOf(preview),
  };
}

function worstOf({ drift }: Pick<MergeReport, "drift">): MergeResult["worst"] {
  return drift
    .toSorted((a, b) => b.swallowed - a.swallowed)
    .slice(0, 5)
    .map(({ name, swallowed }) => ({ name, swallowed }));
}
