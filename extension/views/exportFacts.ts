import { t } from "@vscode/l10n";
import type { ExportSummary } from "../protocol/engineContract.ts";

/** How an ONNX export was read, as rows of a tooltip: what was found in it, what was not, and why. */
export function exportFacts(report: ExportSummary | undefined): [name: string, value: string][] {
  if (!report) return [];
  const { variant, variants, producer, mapped, total, missing, examples, warnings } = report;
  const others = variants.filter((each) => each !== variant);
  const written = producer === "" ? "" : t("written by {0}", producer);
  const beside = others.length === 0 ? "" : t("beside it {0}", others.join(", "));
  const layers = t("{0} of {1} found: adapters can change these", mapped, total);
  const named = examples.map(({ path, reason }) => `${path} (${reason})`);
  const more = missing > named.length ? [t("and {0} more", missing - named.length)] : [];
  return [
    [t("ONNX export"), [variant, written, beside].filter(Boolean).join(", ")],
    [t("Layers"), layers],
    [t("Not found"), [...named, ...more].join("; ")],
    [t("Warnings"), warnings.join(" ")],
  ].filter(([, value]) => value !== "") as [string, string][];
}
