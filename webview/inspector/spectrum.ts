import type { AdapterAnalysis, Spectrum } from "../../extension/protocol/analysisContract.ts";
import type { AdapterReport } from "../../extension/protocol/reportContract.ts";
import { spectrumChart } from "../shared/charts/spectrumChart.ts";
import { element } from "../shared/element.ts";
import { figure } from "../shared/figure.ts";
import * as format from "../shared/format.ts";
import { type GridLayout, layOutGrid, placeOf } from "./grid.ts";
import { figures } from "./metrics.ts";
import { type Page } from "./page.ts";
import { text } from "./strings.ts";
import { setTable } from "./ui.ts";
import { type ShownSpectrum, wholeSpectrum } from "./wholeSpectrum.ts";

/** Singular values and energy of the chosen module, or of the adapter as a whole. */
export function spectrumSection(report: AdapterReport, page: Page): HTMLElement {
  const section = element("section", {
    class: "spectrum",
    attributes: { "aria-labelledby": "spectrum-title", id: "spectrum" },
  });
  const { analysis } = page.numbers;
  if (!analysis) return section;
  const layout = layOutGrid(report, page.numbers);
  const module = layout.modules.find((each) => each.module === page.ui.module) ?? null;
  const shown = module ? ofModule(module.analysis?.spectrum ?? null) : wholeSpectrum(analysis);
  if (!module && !shown) return section;
  const title = module ? text.spectrumOf(module.module) : text.spectrumOfAll;
  const heading = element("h2", { attributes: { id: "spectrum-title" } }, title);
  const controls = element("div", { class: "section-controls" });
  section.append(element("div", { class: "section-head" }, heading, controls));
  if (module) controls.append(...moduleControls(layout, module.module, page));
  if (!shown) {
    const why = module?.analysis?.reason ?? text.noSpectrum;
    section.append(element("p", { class: "muted" }, why));
    if (module?.analysis?.norm) section.append(measureButton(module.module, page));
    return section;
  }
  section.append(
    element("p", { class: "facts" }, spectrumFacts(shown)),
    module ? "" : element("p", { class: "muted" }, text.spectrumOfAllHelp),
  );
  const chart = spectrumFigure(shown, { title, page, name: report.summary.name, analysis });
  controls.append(chart.controls);
  section.append(chart.root);
  return section;
}

/** A large update that is not of low rank is decomposed when it is asked for, one at a time. */
function measureButton(module: string, { numbers }: Page): HTMLElement {
  const button = element(
    "vscode-button",
    {
      attributes: { id: "measure-module", appearance: "secondary" },
      on: { click: () => void numbers.measureModule(module) },
    },
    text.measureModule,
  );
  button.disabled = numbers.computing.kind === "running";
  return element("div", { class: "buttons" }, button);
}

function ofModule(spectrum: Spectrum | null): ShownSpectrum | null {
  if (!spectrum || spectrum.values.length === 0) return null;
  return { ...spectrum, of: spectrum.count };
}

function spectrumFigure(
  shown: ShownSpectrum,
  {
    title,
    page,
    name,
    analysis,
  }: { title: string; page: Page; name: string; analysis: AdapterAnalysis },
): ReturnType<typeof figure> {
  const facts = spectrumFacts(shown);
  const file = page.ui.module ?? "spectrum";
  return figure({
    id: "spectrum-figure",
    title,
    fileName: `${name}-${file.replaceAll(/[^\w.-]/g, "-")}`,
    picture: (width) =>
      spectrumChart(shown, {
        width: Math.min(width, 860),
        label: text.spectrumLabel(`${analysis.method}, ${title}`, facts),
        axes: {
          direction: text.direction,
          value: text.singularValue,
          energy: text.energyShare,
          mark:
            shown.effectiveRank === null ? "" : text.effectiveRank(shown.effectiveRank.toFixed(1)),
        },
      }),
    columns: [
      { text: text.directionHeading },
      { text: text.singularValue, show: figures },
      { text: text.energyUpTo, show: (share) => format.percent(share) },
    ],
    rows: () => shown.values.map((value, at) => [at + 1, value, shown.energy[at] ?? null]),
    isTable: page.ui.tables.includes("spectrum"),
    onView: (isTable) => {
      setTable(page.ui, "spectrum", isTable);
      page.save();
    },
    save: page.saveFile,
  });
}

function spectrumFacts({
  values,
  energy,
  effectiveRank,
  stableRank,
  of,
  isWhole,
}: ShownSpectrum): string {
  const enough = energy.findIndex((share) => share >= 0.9) + 1;
  return format.factLine(
    effectiveRank !== null && text.effectiveRankOf(effectiveRank.toFixed(1), String(of)),
    enough > 0 && text.energyIn(format.percent(energy[enough - 1] ?? 0), enough, of),
    text.largest(figures(values[0] ?? 0)),
    stableRank !== null && text.stableRank(stableRank.toFixed(1)),
    !isWhole && text.leadingOnly(values.length),
  );
}

/** Back to the whole adapter, and which module of a cell that holds several. */
function moduleControls(layout: GridLayout, module: string, page: Page): HTMLElement[] {
  const position = placeOf(layout, module);
  const place = position && layout.places[position.row]?.[position.column];
  const made = [
    element(
      "button",
      {
        class: "link-button",
        attributes: { type: "button", id: "whole-adapter" },
        on: { click: () => page.choose(null) },
      },
      text.wholeAdapter,
    ),
  ];
  if (!place || place.modules.length < 2) return made;
  const select = element(
    "select",
    { class: "select", attributes: { id: "module-choice", "aria-label": text.moduleChoice } },
    ...place.modules.map((each) =>
      element(
        "option",
        { attributes: { value: each.module, selected: each.module === module } },
        each.module,
      ),
    ),
  );
  select.addEventListener("change", () => page.choose(select.value));
  return [select, ...made];
}
