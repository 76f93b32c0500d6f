import type { VirtualTokenAnalysis } from "../../extension/protocol/analysisContract.ts";
import { columnChart } from "../shared/charts/columnChart.ts";
import { element } from "../shared/element.ts";
import { figure } from "../shared/figure.ts";
import { figures } from "./metrics.ts";
import { computingLine } from "./changes.ts";
import { type Page } from "./page.ts";
import { text } from "./strings.ts";
import { setTable } from "./ui.ts";

/** In place of the grid, of adapters that change no weight: what they put before the prompt. */
export function tokensSection(tokens: VirtualTokenAnalysis, page: Page, name: string): HTMLElement {
  const { what, count, norms, baseMean } = tokens;
  const help = what === "embeddings" ? text.virtualTokensHelp : text.cachePrefixHelp;
  const mean = baseMean === null ? null : text.baseMean(figures(baseMean));
  const chart = figure({
    id: "tokens",
    title: text.virtualTokens,
    fileName: `${name}-virtual-tokens`,
    picture: (width) =>
      columnChart(norms, {
        width: Math.min(width, 860),
        label: [help(count), mean].filter(Boolean).join(" "),
        axes: { position: text.position, value: text.normHeading },
        reference: baseMean === null ? null : { value: baseMean, label: mean ?? "" },
      }),
    columns: [{ text: text.positionHeading }, { text: text.normHeading, show: figures }],
    rows: () => norms.map((norm, at) => [at + 1, norm]),
    isTable: page.ui.tables.includes("tokens"),
    onView: (isTable) => {
      setTable(page.ui, "tokens", isTable);
      page.save();
    },
    save: page.saveFile,
  });
  return element(
    "section",
    { class: "changes", attributes: { "aria-labelledby": "tokens-title" } },
    element(
      "div",
      { class: "section-head" },
      element("h2", { attributes: { id: "tokens-title" } }, text.virtualTokens),
      chart.controls,
    ),
    element("p", { class: "facts" }, help(count)),
    computingLine(page.numbers),
    chart.root,
  );
}
