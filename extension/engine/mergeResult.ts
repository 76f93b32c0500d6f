import { realpath } from "node:fs/promises";
import type { MergeReport } from "../core/mergeModel.ts";
import type { MergeResult } from "../protocol/engineContract.ts";

/** What a merge did, without a line for each of hundreds of tensors. */
export async function mergeResult(report: MergeReport): Promise<MergeResult> {
  const { changed, drift, swallowed, untied } = report;
  const worst = drift
    .toSorted((a, b) => b.swallowed - a.swallowed)
    .slice(0, 5)
    .map((tensor) => ({ name: tensor.name, swallowed: tensor.swallowed }));
  const folder = await realpath(report.folder);
  return { folder, changedTensors: changed.length, swallowed, worst, untied };
}
