import { t } from "@vscode/l10n";
import { isExport } from "../core/onnxExport/findExport.ts";
import { unsupported } from "../core/base/errors.ts";
import { dtypeLabel } from "../core/base/dtype.ts";
import { freeMemory } from "../core/base/machine.ts";
import { describeBase } from "../core/baseModel.ts";
import { neededMemory } from "../core/memoryCheck.ts";
import { estimateMemory } from "../core/memoryEstimate.ts";
import { openModel, type OpenModel, packedLayers } from "../core/precision.ts";
import { clearQuantCache, listQuantCache } from "../core/quantCache.ts";
import { resolveModel } from "../core/resolveModel.ts";
import type { EngineContract, LoadEstimate, Precision } from "../protocol/engineContract.ts";
import type { Handlers } from "../protocol/connection.ts";

/** What is offered, the most exact first. */
const precisions: readonly Precision[] = ["auto", "fp32", "bf16", "fp16", "int8", "int4", "nf4"];

/** Calls about how bases are loaded and what is kept of that. */
export const loadingHandlers: Pick<
  Handlers<EngineContract>,
  "estimateLoad" | "listQuantCache" | "clearQuantCache"
> = {
  estimateLoad: async ({ path }) => estimateLoad((await resolveModel(path)).base),
  listQuantCache: async ({ folder }) =>
    (await listQuantCache(folder)).map(({ key, model, precision, bytes, lastUsed, isInUse }) => ({
      ...{ key, model, precision, bytes, isInUse },
      lastUsed: lastUsed.getTime(),
    })),
  clearQuantCache: async ({ folder, keys }) => {
    const { removed } = await clearQuantCache(folder, { keys });
    return { bytes: removed.reduce((sum, { bytes }) => sum + bytes, 0) };
  },
};

async function estimateLoad(folder: string): Promise<LoadEstimate> {
  if (await isExport(folder)) {
    throw unsupported(
      t("{0} is an ONNX export, which runs in the precision that it was exported in", folder),
      t("Load it as it is."),
    );
  }
  const opened = await openModel(folder);
  const { free, total } = await freeMemory();
  const base = describeBase(opened.checkpoint);
  const model = { checkpoint: opened.checkpoint, base };
  const choices = offered(opened).map((precision) => {
    const packed = packedLayers(opened, base, { precision });
    const bytes = neededMemory(estimateMemory(model, { packed }));
    return { precision, bytes, fits: bytes <= free };
  });
  return { free, total, stored: storedLabel(opened), choices };
}

/** What is quantized already is not rounded to 16 bits once more. */
function offered(opened: OpenModel): readonly Precision[] {
  const all = opened.stored ? (["auto", "fp32", "int8", "int4"] as const) : precisions;
  // What the checkpoint has is offered once, as it is stored.
  return all.filter((precision) => precision !== storedLabel(opened));
}

function storedLabel({ checkpoint, stored }: OpenModel): string {
  return stored?.kind ?? dtypeLabel(checkpoint.dtype);
}
