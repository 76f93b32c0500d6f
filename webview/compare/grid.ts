import type { CompareState } from "../../extension/protocol/picturesContract.ts";
import { choice } from "../shared/choice.ts";
import { overlapChart } from "../shared/overlapChart.ts";
import { element } from "../shared/element.ts";
import { type Figure, figure } from "../shared/figure.ts";
import * as format from "../shared/format.ts";
import { heatMap } from "../shared/heatMap.ts";
import { heatSvg } from "../shared/heatSvg.ts";
import { progressLine } from "../shared/progressLine.ts";
import {
  cosineText,
  figures,
  knownPairMetrics,
  layOutPair,
  overlapOf,
  pairFacts,
  pairHeat,
  type PairLayout,
  type PairMetric,
  pairMetrics,
} from "./modules.ts";
import { type Page, setTable } from "./page.ts";
import { text } from "./strings.ts";

/** Module by module: one metric as a heat map, or all of them as a table. */
export function modulesSection(state: CompareState, page: Page): HTMLElement {
  const { ui } = page;
  const layout = layOutPair(state, page.comparison);
  const heading = element("h2", { attributes: { id: "modules-title" } }, text.modulesTitle);
  const section = element("section", {
    class: "changes",
    attributes: { "aria-labelledby": "modules-title" },
  });
  if (layout.modules.length === 0) {
    section.append(heading, computingLine(page));
    return section;
  }
  const known = knownPairMetrics(layout);
  const metric = (): PairMetric => shownMetric(ui.metric, known);
  const help = element("p", { class: "muted metric-help" }, text.metrics[metric()].help);
  const names = state.sides.map(({ name }) => name).join(" ⇄ ");
  const picture = heatFigure(layout, { page, metric, names });
  const metricChoice = choice<PairMetric>({
    id: "metric",
    label: text.show,
    items: pairMetrics.map((name) => ({
      value: name,
      label: text.metrics[name].label,
      disabled: !known.has(name),
    })),
    value: metric(),
    onChange: (value) => {
      ui.metric = value;
      help.textContent = text.metrics[value].help;
      picture.update();
      page.save();
    },
  });
  section.append(
    element("div", { class: "section-head" }, heading, picture.controls),
    element("div", { class: "metric-line" }, metricChoice, help),
    computingLine(page),
    picture.root,
  );
  return section;
}

function shownMetric(wanted: PairMetric | null, known: ReadonlySet<PairMetric>): PairMetric {
  if (wanted !== null && known.has(wanted)) return wanted;
  const order: PairMetric[] = ["cosine", "normA", "normB", "rankA", "rankB"];
  return order.find((name) => known.has(name)) ?? "rankA";
}

function heatFigure(
  layout: PairLayout,
  { page, metric, names }: { page: Page; metric: () => PairMetric; names: string },
): Figure {
  const { ui } = page;
  const isPartly = layout.modules.some(({ changedBy }) => changedBy !== "both");
  return figure({
    id: "heat",
    title: text.modulesTitle,
    fileName: `${names.replace(" ⇄ ", "-")}-modules`,
    picture: () =>
      heatMap({
        id: "modules",
        data: pairHeat(layout, metric()),
        markText: isPartly ? text.onlyOne : null,
        emptyText: text.notTargeted,
        chosen: placeOf(layout, ui.module),
        detail: (position) => {
          if (!position) return [element("span", { class: "muted" }, text.gridHelp)];
          const modules = layout.places[position.row]?.[position.column] ?? [];
          const [first] = modules;
          if (!first) return [element("span", { class: "muted" }, text.notTargeted)];
          const amount = modules.length;
          const shown = amount === 1 ? first.module : text.cellModules(amount, first.module);
          return [
            element("strong", { class: "path" }, shown),
            element("span", { class: "numbers" }, pairFacts(modules)),
          ];
        },
        onChoose: (position) => {
          const modules = position && layout.places[position.row]?.[position.column];
          page.choose(modules?.[0]?.module ?? null);
        },
      }),
    svg: () => heatSvg(pairHeat(layout, metric()), `${names}: ${text.metrics[metric()].label}`),
    columns: [
      { text: text.module },
      { text: text.changedBy },
      { text: text.metrics.cosine.label, show: cosineText },
      { text: text.metrics.overlap.label, show: format.percent },
      { text: text.overlapRight, show: format.percent },
      { text: text.metrics.normA.label, show: figures },
      { text: text.metrics.normB.label, show: figures },
      { text: text.kept, show: format.percent },
      { text: text.metrics.conflicts.label, show: format.percent },
      { text: text.metrics.rankA.label },
      { text: text.metrics.rankB.label },
    ],
    rows: () =>
      layout.modules.map(({ numbers, ...own }) => [
        own.module,
        { both: text.both, a: text.sideA, b: text.sideB }[own.changedBy],
        numbers?.cosine ?? null,
        overlapOf(numbers, "left"),
        overlapOf(numbers, "right"),
        numbers?.normA ?? null,
        numbers?.normB ?? null,
        numbers?.merge?.kept ?? null,
        numbers?.merge?.signConflicts ?? null,
        own.rankA,
        own.rankB,
      ]),
    isTable: ui.tables.includes("heat"),
    onView: (isTable) => {
      setTable(ui, "heat", isTable);
      page.save();
    },
    save: page.saveFile,
  });
}

function placeOf(
  { places }: PairLayout,
  module: string | null,
): { row: number; column: number } | null {
  for (const [row, line] of places.entries()) {
    const column = line.findIndex((modules) => modules?.some((each) => each.module === module));
    if (column >= 0) return { row, column };
  }
  return null;
}

/** How much of their leading directions the two have in common in the chosen module. */
export function overlapSection(page: Page): HTMLElement {
  const section = element("section", { class: "spectrum", attributes: { id: "overlap" } });
  const module = page.comparison?.modules.find((each) => each.module === page.ui.module);
  const overlap = module?.overlap;
  if (!module || !overlap) return section;
  const title = text.spectrum(module.module);
  const [inputs, outputs] = overlap.shape;
  const chart = figure({
    id: "overlap-figure",
    title,
    fileName: `overlap-${module.module}`,
    picture: (width) =>
      overlapChart(overlap, {
        width: Math.min(width, 860),
        label: `${title}: ${pairFacts([{ ...module, rankA: null, rankB: null, numbers: module }])}`,
        names: {
          axis: text.overlapOf,
          value: text.metrics.overlap.label,
          left: text.overlapLeft,
          right: text.overlapRightOf,
          chance: text.byChance,
        },
      }),
    columns: [
      { text: text.overlapOf },
      { text: text.overlapLeft, show: format.percent },
      { text: text.overlapRightOf, show: format.percent },
      { text: text.byChance, show: format.percent },
    ],
    rows: () =>
      overlap.left.map((left, at) => [
        at + 1,
        left,
        overlap.right[at] ?? null,
        (at + 1) / Math.max(inputs, outputs),
      ]),
    isTable: page.ui.tables.includes("overlap"),
    onView: (isTable) => {
      setTable(page.ui, "overlap", isTable);
      page.save();
    },
    save: page.saveFile,
  });
  section.setAttribute("aria-labelledby", "overlap-title");
  section.append(
    element(
      "div",
      { class: "section-head" },
      element("h2", { attributes: { id: "overlap-title" } }, title),
      chart.controls,
    ),
    chart.root,
  );
  return section;
}

export function computingLine(page: Page): HTMLElement {
  const { computing } = page;
  return progressLine({
    id: "computing",
    state: computing,
    title: text.analyzing,
    texts: {
      cancel: text.cancel,
      cancelled: text.cancelled,
      failed: text.noNumbers,
      again: computing.kind === "cancelled" ? text.compute : text.again,
    },
    cancel: page.cancel,
    again: page.compute,
  });
}
