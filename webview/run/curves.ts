import type { PageFile } from "../../extension/protocol/picturesContract.ts";
import type { RunPageState } from "../../extension/protocol/runPageContract.ts";
import { curvesChart } from "../shared/charts/curvesChart.ts";
import type { Curve } from "../shared/curve.ts";
import { element } from "../shared/element.ts";
import { type Figure, figure } from "../shared/figure.ts";
import { colourOf, lossCurves, stepCurves } from "./series.ts";
import { text } from "./strings.ts";

export interface CurvesPage {
  state: RunPageState;
  tables: string[];
  setTable(id: string, isTable: boolean): void;
  saveFile(file: PageFile): void;
  compareWith(folder: string, isShown: boolean): void;
}

/** The curves of a page: made once, so that they are drawn anew without being laid out anew. */
export interface Curves {
  root: HTMLElement;
  update(): void;
}

interface CurveFigure {
  id: string;
  title: string;
  label: (runs: number) => string;
  axis: string;
  height: number;
  curves: (runs: RunPageState["runs"]) => Curve[];
}

const figures: readonly CurveFigure[] = [
  {
    id: "loss",
    title: text.curves,
    label: text.curvesLabel,
    axis: text.curves,
    height: 300,
    curves: (runs) => lossCurves(runs, text),
  },
  {
    id: "rate",
    title: text.rate,
    label: () => text.rateLabel,
    axis: text.rate,
    height: 180,
    curves: (runs) => stepCurves(runs, (event) => event.learningRate),
  },
  {
    id: "gradient",
    title: text.gradient,
    label: () => text.gradientLabel,
    axis: text.gradient,
    height: 180,
    curves: (runs) => stepCurves(runs, (event) => event.gradientNorm),
  },
];

export function curvesView(page: CurvesPage): Curves {
  const compared = element("div", { class: "compared" });
  const made = figures.map((shown) => curveFigure(shown, page));
  const [loss, ...small] = made.map(({ title, own }) => section(title, own));
  let drawnFor = "";
  const update = (): void => {
    // Not at each step: a box that is made anew has no label at first, and loses its click.
    const { runs, others } = page.state;
    const names = [...runs.map(({ summary }) => summary), ...others].map((each) => each.folder);
    const boxes = JSON.stringify([runs.length, names]);
    if (boxes !== drawnFor) compared.replaceChildren(...comparedView(page));
    drawnFor = boxes;
    for (const { own } of made) own.update();
  };
  update();
  return {
    root: element(
      "div",
      { class: "sections" },
      loss,
      compared,
      element("div", { class: "small-figures" }, ...small),
    ),
    update,
  };
}

function curveFigure(shown: CurveFigure, page: CurvesPage): { title: string; own: Figure } {
  const curves = (): Curve[] => shown.curves(page.state.runs);
  const picture = (width: number): HTMLElement | SVGSVGElement => {
    const drawn = curves();
    if (drawn.every(({ points }) => points.length === 0)) {
      return element("p", { class: "muted" }, text.noSteps);
    }
    return curvesChart(drawn, {
      width,
      height: shown.height,
      label: shown.label(page.state.runs.length),
      axes: { x: text.stepAxis, y: shown.axis },
    });
  };
  const own = figure({
    id: shown.id,
    title: shown.title,
    fileName: `${page.state.runs[0]?.summary.name ?? "run"}-${shown.id}`,
    picture,
    columns: [{ text: text.what }, { text: text.stepAxis }, { text: shown.axis }],
    rows: () =>
      curves().flatMap(({ name, points }) => points.map(({ x, y }) => [name, x, y] as const)),
    isTable: page.tables.includes(shown.id),
    onView: (isTable) => page.setTable(shown.id, isTable),
    save: page.saveFile,
  });
  return { title: shown.title, own };
}

function section(title: string, own: Figure): HTMLElement {
  return element(
    "section",
    {},
    element("div", { class: "section-head" }, element("h2", {}, title), own.controls),
    own.root,
  );
}

/** Which other runs are drawn; their colours are the curves'. */
function comparedView({ state, compareWith }: CurvesPage): HTMLElement[] {
  const shown = state.runs.slice(1).map(({ summary }) => summary);
  const left = state.others.filter(({ folder }) => !shown.some((run) => run.folder === folder));
  const all = [...shown, ...left];
  const label = element("span", { class: "choice-label" }, text.compareWith);
  if (all.length === 0) return [label, element("span", { class: "muted" }, text.noOthers)];
  return [
    label,
    ...all.map(({ folder, name }) => {
      const index = shown.findIndex((run) => run.folder === folder);
      const box = element("vscode-checkbox", {
        ...(index >= 0 && { variables: { curve: colourOf(index + 1) } }),
        class: index >= 0 ? "drawn" : "",
      });
      box.textContent = name;
      box.checked = index >= 0;
      box.addEventListener("change", () => {
        if (box.checked !== index >= 0) compareWith(folder, box.checked);
      });
      return box;
    }),
  ];
}
