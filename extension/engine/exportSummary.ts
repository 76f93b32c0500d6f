import type { ExportReport } from "../core/onnxExport/openExport.ts";
import type { ExportSummary } from "../protocol/engineContract.ts";

/** As many layers that were not found are named; the rest are counted. */
const mostNamed = 5;

/** What an editor shows of how an ONNX export was read. */
export function exportSummary(report: ExportReport): ExportSummary {
  const { variant, variants, producer, mapped, total, missing, warnings } = report;
  return {
    variant,
    variants: [...variants],
    producer,
    mapped: mapped.length,
    total,
    missing: missing.length,
    examples: missing.slice(0, mostNamed).map(({ path, reason }) => ({ path, reason })),
    warnings: [...warnings],
  };
}
