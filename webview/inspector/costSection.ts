import type { AdapterCost } from "../../extension/protocol/analysisContract.ts";
import { barChart } from "../shared/charts/barChart.ts";
import { element } from "../shared/element.ts";
import { figure } from "../shared/figure.ts";
import * as format from "../shared/format.ts";
import { costWords } from "./costWords.ts";
import { type Page } from "./page.ts";
import { text } from "./strings.ts";
import { setTable } from "./ui.ts";

/** The section "At run time": where memory and time go while the adapter is active. */
export function costSection(cost: AdapterCost, page: Page, name: string): HTMLElement {
  const heading = element("h2", { attributes: { id: "cost-title" } }, text.cost);
  const section = element("section", {
    class: "cost",
    attributes: { "aria-labelledby": "cost-title" },
  });
  if (cost.parts.length === 0) {
    section.append(heading, element("p", {}, text.costNothing));
    return section;
  }
  const chart = figure({
    id: "cost",
    title: text.cost,
    fileName: `${name}-run-time`,
    picture: (width) => partsChart(cost, width),
    columns: [
      { text: text.costPart },
      { text: text.costModules, show: format.exactCount },
      { text: text.costBytes, show: format.bytes },
      { text: text.costFlops, show: operations },
      { text: text.costNeeds },
    ],
    rows: () =>
      cost.parts.map((part) => [
        text.parts[part.kind],
        part.modules,
        part.bytes,
        part.flops,
        text.needs[part.needs],
      ]),
    isTable: page.ui.tables.includes("cost"),
    onView: (isTable) => {
      setTable(page.ui, "cost", isTable);
      page.save();
    },
    save: page.saveFile,
  });
  section.append(
    element("div", { class: "section-head" }, heading, chart.controls),
    element("p", { class: "facts" }, costWords(cost).join(" ")),
    chart.root,
  );
  return section;
}

/** Memory and operations of each part; what has none of one is left out of its half. */
function partsChart({ parts }: AdapterCost, width: number): HTMLElement {
  const half = (title: string, of: "bytes" | "flops", show: (value: number) => string) => {
    const items = parts
      .filter((part) => part[of] > 0)
      .map((part) => ({ label: text.parts[part.kind], value: part[of], shown: show(part[of]) }));
    if (items.length === 0) return null;
    const label = items.map((item) => `${item.label} ${item.shown}`).join(", ");
    const chartWidth = Math.min(520, width < 700 ? width : Math.floor(width / 2) - 12);
    return element(
      "div",
      { class: "half" },
      element("h3", {}, title),
      barChart(items, { width: chartWidth, label: `${title}: ${label}` }),
    );
  };
  return element(
    "div",
    { class: "halves" },
    half(text.costBytes, "bytes", format.bytes),
    half(text.costFlops, "flops", operations),
  );
}

function operations(flops: number): string {
  return text.operations(format.count(flops));
}
