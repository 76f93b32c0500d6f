import type { AdapterReport } from "../../extension/protocol/reportContract.ts";
import { choice } from "../shared/choice.ts";
import { type Field } from "../shared/csv.ts";
import { element } from "../shared/element.ts";
import { type Column, type Figure, figure } from "../shared/figure.ts";
import * as format from "../shared/format.ts";
import { heatMap } from "../shared/heatMap.ts";
import { heatSvg } from "../shared/heatSvg.ts";
import { layerLabel, shortLabels } from "../shared/labels.ts";
import { progressLine } from "../shared/progressLine.ts";
import { type GridLayout, layOutGrid, placeOf } from "./grid.ts";
import { facts, figures, heatData, knownMetrics, type Metric, metricNames } from "./metrics.ts";
import { type AdapterNumbers } from "./numbers.ts";
import { type Page } from "./page.ts";
import { text } from "./strings.ts";
import { setTable } from "./ui.ts";

/** The section "What it changes": the heat map of one metric, or every number as a table. */
export function changesSection(report: AdapterReport, page: Page): HTMLElement {
  const { ui, numbers } = page;
  const layout = layOutGrid(report, numbers);
  const heading = element("h2", { attributes: { id: "changes-title" } }, text.whatItChanges);
  const section = element("section", {
    class: "changes",
    attributes: { "aria-labelledby": "changes-title" },
  });
  if (layout.modules.length === 0) {
    section.append(heading, element("p", { class: "muted" }, text.nothingChanged));
    return section;
  }
  const known = knownMetrics(layout);
  const help = element("p", { class: "muted metric-help" });
  const show = (): void => {
    help.textContent = text.metrics[shownMetric(ui.metric, known)].help;
  };
  const picture = heatFigure(report, layout, { page, known });
  const metricChoice = choice<Metric>({
    id: "metric",
    label: text.show,
    items: metricNames.map((name) => ({
      value: name,
      label: text.metrics[name].label,
      disabled: !known.has(name),
    })),
    value: shownMetric(ui.metric, known),
    onChange: (value) => {
      ui.metric = value;
      show();
      picture.update();
      page.save();
    },
  });
  show();
  section.append(
    element("div", { class: "section-head" }, heading, picture.controls),
    element("div", { class: "metric-line" }, metricChoice, help),
    computingLine(numbers),
    picture.root,
    intruderLine(page) ?? "",
  );
  return section;
}

/** What the reader wants to see, or the most telling that is known. */
function shownMetric(wanted: Metric | null, known: ReadonlySet<Metric>): Metric {
  const order: Metric[] = ["relative", "norm", "parameters"];
  if (wanted !== null && known.has(wanted)) return wanted;
  return order.find((name) => known.has(name)) ?? "parameters";
}

function heatFigure(
  report: AdapterReport,
  layout: GridLayout,
  { page, known }: { page: Page; known: ReadonlySet<Metric> },
): Figure {
  const { ui } = page;
  const labels = shortLabels(layout.columns);
  const metric = (): Metric => shownMetric(ui.metric, known);
  return figure({
    id: "heat",
    title: text.whatItChanges,
    fileName: `${report.summary.name}-changes`,
    picture: () =>
      heatMap({
        id: "modules",
        data: heatData(layout, metric()),
        markText: layout.hasUnbound ? text.notInBase : null,
        emptyText: text.notTargeted,
        chosen: placeOf(layout, ui.module),
        detail: (position) => {
          if (!position) return [element("span", { class: "muted" }, text.gridHelp)];
          const place = layout.places[position.row]?.[position.column];
          const row = layerLabel(layout.rows[position.row] ?? "");
          const name = `${row}, ${labels[position.column] ?? ""}`;
          const [first] = place?.modules ?? [];
          if (!place || !first) {
            return [
              element("strong", {}, name),
              element("span", { class: "muted" }, text.notTargeted),
            ];
          }
          const amount = place.modules.length;
          const shown = amount === 1 ? first.module : text.cellModules(amount, first.module);
          return [
            element("strong", { class: "path" }, shown),
            element("span", { class: "numbers" }, facts(place)),
          ];
        },
        onChoose: (position) => {
          const place = position && layout.places[position.row]?.[position.column];
          page.choose(place?.modules[0]?.module ?? null, "map");
        },
      }),
    svg: () =>
      heatSvg(
        heatData(layout, metric()),
        `${report.summary.name}: ${text.metrics[metric()].label}`,
      ),
    columns: tableColumns(),
    rows: () => tableRows(layout),
    isTable: ui.tables.includes("heat"),
    onView: (isTable) => {
      setTable(ui, "heat", isTable);
      page.save();
    },
    save: page.saveFile,
  });
}

function tableColumns(): Column[] {
  const { metrics } = text;
  return [
    { text: text.module },
    { text: metrics.rank.label },
    { text: text.alphaHeading, show: format.plain },
    { text: text.scaleHeading, show: format.scale },
    { text: text.inOut },
    { text: metrics.parameters.label, show: format.exactCount },
    { text: text.dtype },
    { text: metrics.norm.label, show: figures },
    { text: metrics.relative.label, show: format.percent },
    { text: metrics.effectiveRank.label, show: (value) => value.toFixed(2) },
    { text: metrics.largest.label, show: figures },
    { text: metrics.intruders.label },
  ];
}

function tableRows({ modules }: GridLayout): Field[][] {
  return modules.map(({ analysis, intruders, ...own }) => [
    own.module,
    own.rank,
    own.alpha,
    own.scaling,
    own.shape ? format.shape(own.shape) : null,
    own.parameters,
    own.dtype,
    analysis?.norm ?? null,
    analysis?.relative ?? null,
    analysis?.spectrum?.effectiveRank ?? null,
    analysis?.spectrum?.values[0] ?? null,
    intruders?.intruders ?? null,
  ]);
}

/** What is being computed, with a way to stop it; or why numbers are missing. */
export function computingLine(numbers: AdapterNumbers): HTMLElement {
  const { computing } = numbers;
  const isIntruders = computing.kind === "running" && computing.what === "intruders";
  return progressLine({
    id: "computing",
    state: computing,
    title: isIntruders ? text.findingIntruders : text.analyzing,
    texts: {
      cancel: text.cancel,
      cancelled: text.cancelled,
      failed: text.noAnalysis,
      again: computing.kind === "cancelled" ? text.compute : text.again,
    },
    cancel: () => numbers.cancel(),
    again: () => (computing.kind === "failed" ? computing.again() : void numbers.refresh()),
  });
}

function intruderLine({ numbers, act }: Page): HTMLElement | null {
  const { analysis, intruders, computing } = numbers;
  if (analysis === null || analysis.base === null) return null;
  if (computing.kind === "running") return null;
  if (intruders) {
    const { topK, threshold } = intruders;
    const found = text.intrudersFound(intruders.intruders, topK, format.scale(threshold));
    return element(
      "p",
      { class: "intruder-line", attributes: { role: "status" } },
      element("span", { class: "muted" }, found),
      intruders.intruders > 0 &&
        linkButton("reduce-intruders", text.reduceIntruders, () => act("reduceIntruders", {})),
    );
  }
  return element(
    "p",
    { class: "intruder-line", attributes: { id: "intruder-line" } },
    linkButton("find-intruders", text.findIntruders, () => void numbers.findIntruders()),
    element("span", { class: "muted" }, text.intrudersCost),
  );
}

function linkButton(id: string, label: string, click: () => void): HTMLElement {
  const attributes = { type: "button", id };
  return element("button", { class: "link-button", attributes, on: { click } }, label);
}
