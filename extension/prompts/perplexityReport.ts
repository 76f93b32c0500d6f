import { t } from "@vscode/l10n";
import type { PerplexityColumn, PerplexityResult } from "../protocol/promptsContract.ts";
import { markdownTable } from "./bulkExport.ts";

/** Perplexity of a text as a page: a table of the columns, and where each was surprised most. */
export function perplexityReport(
  { tokens, counted, window, stride, columns }: PerplexityResult,
  { title, base, labels }: { title: string; base: string; labels: readonly string[] },
): string {
  const first = columns[0];
  const change = ({ perplexity }: PerplexityColumn): string => {
    const share = first ? perplexity / first.perplexity - 1 : 0;
    return `${share > 0 ? "+" : ""}${(share * 100).toFixed(1)} %`;
  };
  const table = markdownTable(
    [t("Model"), t("Perplexity"), t("Against the first"), t("Nats per token"), t("Bits per token")],
    columns.map((column, i) => [
      labels[i] ?? "",
      figure(column.perplexity),
      i === 0 ? "" : change(column),
      column.nll.toFixed(4),
      (column.nll / Math.LN2).toFixed(4),
    ]),
  );
  const facts = t(
    "{0}: {1} tokens, {2} of them counted, in windows of {3} that begin {4} apart. Lower is less surprised.",
    base,
    tokens,
    counted,
    window,
    stride,
  );
  const surprises = columns.flatMap((column, i) => [
    `## ${t("What surprised {0} most", labels[i] ?? "")}`,
    markdownTable(
      [t("After"), t("Token"), t("Probability")],
      column.surprises.map(({ before, token, nll }) => [
        before,
        token,
        Math.exp(-nll).toPrecision(2),
      ]),
    ),
  ]);
  return [`# ${t("Perplexity of {0}", title)}`, facts, table, ...surprises].join("\n\n");
}

function figure(value: number): string {
  return value < 1000 ? value.toFixed(4) : value.toPrecision(6);
}
