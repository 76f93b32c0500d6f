import type { TensorRef, TensorStatistics } from "../../extension/protocol/tensorContract.ts";
import { histogramChart } from "../shared/charts/histogramChart.ts";
import { element } from "../shared/element.ts";
import { figure } from "../shared/figure.ts";
import * as format from "../shared/format.ts";
import type { DetailsActions, DetailsUi } from "./details.ts";
import { problemNotice } from "./notice.ts";
import { text } from "./strings.ts";

/** Smaller tensors are read at once: well below a second. */
const readWithoutAsking = 64e6;

interface Context {
  actions: DetailsActions;
  ui: DetailsUi;
  signal: AbortSignal;
}

/** Figures and histogram; of a large tensor only once the reader asks, and they can be stopped. */
export function statisticsSection(tensor: TensorRef, context: Context): HTMLElement {
  const body = element("div", { class: "statistics-body", attributes: { "aria-live": "polite" } });
  const controls = element("div", { class: "section-controls" });
  const start = (): void => void compute(tensor, { ...context, body, controls, offer });
  const offer = (note?: string): void => {
    const label = text.compute(format.bytes(tensor.bytes));
    body.replaceChildren(
      ...(note === undefined ? [] : [element("p", { class: "muted" }, note)]),
      element("vscode-button", { attributes: { id: "compute" }, on: { click: start } }, label),
    );
  };
  if (tensor.bytes <= readWithoutAsking) start();
  else offer();
  return element(
    "section",
    { class: "statistics", attributes: { "aria-labelledby": "statistics-title" } },
    element(
      "div",
      { class: "section-head" },
      element("h3", { attributes: { id: "statistics-title" } }, text.statistics),
      controls,
    ),
    body,
  );
}

async function compute(
  tensor: TensorRef,
  context: Context & { body: HTMLElement; controls: HTMLElement; offer(note?: string): void },
): Promise<void> {
  const { actions, body, controls, offer, signal } = context;
  const stop = new AbortController();
  signal.addEventListener("abort", () => stop.abort(), { once: true });
  const progress = element("progress", { attributes: { max: 1, "aria-label": text.computing } });
  const amount = element("span", { class: "muted" });
  const cancel = element(
    "vscode-button",
    { attributes: { appearance: "secondary", id: "cancel" }, on: { click: () => stop.abort() } },
    text.cancel,
  );
  const bar = element("div", { class: "reading" }, progress, amount, cancel);
  // Work that is over before this shows nothing: nothing flickers.
  const late = setTimeout(() => body.replaceChildren(bar), 150);
  try {
    const found = await actions.statistics(tensor, {
      signal: stop.signal,
      onEvent: ({ done = 0, total = 0 }) => {
        if (total > 0) progress.value = done / total;
        amount.textContent = text.readOf(format.bytes(done), format.bytes(total));
      },
    });
    showStatistics(found, tensor, { ...context, body, controls });
  } catch (thrown) {
    if (signal.aborted) return;
    if (stop.signal.aborted) offer(text.cancelled);
    else body.replaceChildren(problemNotice(thrown));
  } finally {
    clearTimeout(late);
  }
}

function showStatistics(
  found: TensorStatistics,
  tensor: TensorRef,
  { actions, ui, body, controls }: Context & { body: HTMLElement; controls: HTMLElement },
): void {
  const { histogram } = found;
  const note =
    tensor.dtype === "C64" ? text.ofComplex : found.nan + found.infinite > 0 ? text.ofFinite : null;
  const parts: HTMLElement[] = [figuresView(found)];
  if (note !== null) parts.push(element("p", { class: "muted note" }, note));
  if (!histogram) {
    if (found.count > 0) parts.push(element("p", { class: "muted" }, text.nothingFinite));
    return body.replaceChildren(...parts);
  }
  const bins = histogram.counts.map((count, at) => ({
    from: histogram.edges[at] ?? 0,
    to: histogram.edges[at + 1] ?? 0,
    count,
  }));
  const drawn = figure({
    id: "histogram",
    title: text.histogram,
    fileName: `${tensor.name}-histogram`,
    picture: (width) =>
      histogramChart(bins, {
        width,
        label: `${text.histogram}: ${tensor.name}`,
        axes: { value: text.value, count: text.amount },
      }),
    columns: [
      { text: text.from, show: shortNumber },
      { text: text.to, show: shortNumber },
      { text: text.amount, show: format.exactCount },
    ],
    rows: () => bins.map(({ from, to, count }) => [from, to, count]),
    isTable: ui.isHistogramTable,
    onView: (isTable) => {
      ui.isHistogramTable = isTable;
      actions.keep();
    },
    save: (file) => actions.save(file),
  });
  controls.replaceChildren(drawn.controls);
  body.replaceChildren(...parts, drawn.root);
}

function figuresView(found: TensorStatistics): HTMLElement {
  const { min, max, mean, std, norm } = found;
  const shown: [string, string, boolean][] = [
    ...Object.entries({ min, max, mean, std, norm }).map(
      ([key, value]): [string, string, boolean] => [
        text.figures[key as "min"],
        value === null ? "–" : shortNumber(value),
        false,
      ],
    ),
    [text.figures.zeros, shareOf(found.zeros, found.count), false],
    [text.figures.nan, format.exactCount(found.nan), found.nan > 0],
    [text.figures.infinite, format.exactCount(found.infinite), found.infinite > 0],
  ];
  return element(
    "dl",
    { class: "figures" },
    ...shown.map(([label, value, isOdd]) =>
      element(
        "div",
        { class: isOdd ? "odd" : "" },
        element("dt", {}, label),
        element("dd", {}, value),
      ),
    ),
  );
}

function shareOf(part: number, all: number): string {
  if (part === 0 || all === 0) return format.exactCount(part);
  return `${format.exactCount(part)} (${format.percent(part / all)})`;
}

/** Six digits; very large and very small ones with a power of ten. */
function shortNumber(value: number): string {
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 1e9) return format.exactCount(value).replace("-", "−");
  const rounded = Number(value.toPrecision(6));
  const isPlain = size >= 1e-4 && size < 1e7;
  return (isPlain ? String(rounded) : rounded.toExponential()).replace(/-/g, "−");
}
