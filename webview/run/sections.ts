import type { ShownRun } from "../../extension/protocol/runPageContract.ts";
import type { DataStatistics } from "../../extension/protocol/trainingContract.ts";
import { element } from "../shared/element.ts";
import * as format from "../shared/format.ts";
import { fillRows, table } from "../shared/rows.ts";
import { eventsOf, lastOf, latestSteps } from "./series.ts";
import { text } from "./strings.ts";

/** What the reader chose of the samples. */
export interface SampleChoice {
  /** Step whose answers are shown; null is the latest. */
  step: number | null;
  choose(step: number | null): void;
}

/** What base and adapter answered at an evaluation, side by side. */
export function samplesSection({ events }: ShownRun, choice: SampleChoice): HTMLElement | null {
  const samples = eventsOf(events, "sample");
  const steps = [...new Set(samples.map(({ step }) => step))].sort((a, b) => a - b);
  const latest = steps.at(-1);
  if (latest === undefined) return null;
  const step = choice.step !== null && steps.includes(choice.step) ? choice.step : latest;
  const chooser = element("select", {
    class: "select",
    attributes: { id: "sample-step", "aria-label": text.samplesAt },
    on: {
      change: () => {
        const chosen = Number(chooser.value);
        choice.choose(chosen === latest ? null : chosen);
      },
    },
  });
  for (const each of steps.toReversed()) {
    const label = text.step(format.exactCount(each));
    chooser.append(element("option", { attributes: { value: each } }, label));
  }
  chooser.value = String(step);
  const { root, body } = table(text.samples, [
    { text: text.prompt },
    { text: text.base },
    { text: text.adapter },
  ]);
  // A run that went on answers again: the last answer counts.
  const shown = new Map(
    samples.filter((sample) => sample.step === step).map((sample) => [sample.prompt, sample]),
  );
  fillRows(body, [...shown.values()], {
    columns: 3,
    showAll: text.showAll,
    row: ({ prompt, base, adapter }) =>
      element(
        "tr",
        {},
        element("th", { attributes: { scope: "row" } }, prompt),
        element("td", {}, base),
        element("td", {}, adapter),
      ),
  });
  return section("samples", text.samples, [chooser], scrolled(text.samples, root));
}

/** What evaluations measured beside the loss, of models with labels. */
export function metricsSection({ events }: ShownRun): HTMLElement | null {
  const evaluations = latestSteps(eventsOf(events, "evaluation"));
  const names = [...new Set(evaluations.flatMap(({ metrics = {} }) => Object.keys(metrics)))];
  if (names.length === 0) return null;
  const { root, body } = table(text.metrics, [
    { text: text.samplesAt, class: "number" },
    { text: text.curves, class: "number" },
    ...names.map((name) => ({ text: text.metricNames[name] ?? name, class: "number" })),
  ]);
  const cell = (value: number | undefined): HTMLElement =>
    element("td", { class: "number" }, value === undefined ? "–" : format.plain(value));
  fillRows(body, evaluations.toReversed(), {
    columns: 2 + names.length,
    showAll: text.showAll,
    row: ({ step, loss, metrics = {} }) =>
      element(
        "tr",
        {},
        element("td", { class: "number" }, format.exactCount(step)),
        cell(loss),
        ...names.map((name) => cell(metrics[name])),
      ),
  });
  return section("metrics", text.metrics, [], scrolled(text.metrics, root));
}

export function checkpointsSection(
  { events }: ShownRun,
  inspect: (path: string) => void,
): HTMLElement | null {
  const checkpoints = latestSteps(eventsOf(events, "checkpoint"));
  if (checkpoints.length === 0) return null;
  const losses = new Map(eventsOf(events, "evaluation").map(({ step, loss }) => [step, loss]));
  const best = checkpoints.findLast(({ isBest }) => isBest);
  const { root, body } = table(text.checkpoints, [
    { text: text.samplesAt, class: "number" },
    { text: text.forEvaluation, class: "number" },
    { text: text.saved },
    { text: text.folder },
  ]);
  fillRows(body, checkpoints.toReversed(), {
    columns: 4,
    showAll: text.showAll,
    row: (checkpoint) => {
      const loss = losses.get(checkpoint.step);
      const isBest = checkpoint === best ? ` (${text.best})` : "";
      return element(
        "tr",
        {},
        element("td", { class: "number" }, format.exactCount(checkpoint.step)),
        element("td", { class: "number" }, loss === undefined ? "–" : format.plain(loss) + isBest),
        element("td", {}, new Date(checkpoint.at).toLocaleString()),
        element(
          "td",
          {},
          element(
            "button",
            {
              class: "link-button path",
              attributes: { type: "button" },
              on: { click: () => inspect(checkpoint.path) },
            },
            checkpoint.path,
          ),
        ),
      );
    },
  });
  return section("checkpoints", text.checkpoints, [], scrolled(text.checkpoints, root));
}

/** What was read, in numbers. */
export function dataSection({ events }: ShownRun): HTMLElement | null {
  const data = lastOf(events, "data")?.preview;
  if (!data) return null;
  const rows: [string, (of: DataStatistics) => number][] = [
    [text.examples, (of) => of.examples],
    [text.tokens, (of) => of.tokens],
    [text.learned, (of) => of.learnedTokens],
    [text.longest, (of) => of.longest],
    [text.cut, (of) => of.cut],
  ];
  const { root, body } = table(text.data, [
    { text: text.what },
    { text: text.forTraining, class: "number" },
    { text: text.forEvaluation, class: "number" },
  ]);
  fillRows(body, rows, {
    columns: 3,
    showAll: text.showAll,
    row: ([name, value]) =>
      element(
        "tr",
        {},
        element("th", { attributes: { scope: "row" } }, name),
        element("td", { class: "number" }, format.exactCount(value(data.training))),
        element("td", { class: "number" }, format.exactCount(value(data.evaluation))),
      ),
  });
  const notes = [...data.notes];
  if (data.broken > 0) notes.push(text.broken(format.exactCount(data.broken)));
  const list = element("ul", {}, ...notes.map((note) => element("li", {}, note)));
  return section("data", text.data, [], scrolled(text.data, root), list);
}

/** The run's config as it stands in its folder. */
export function settingsSection({ config }: ShownRun): HTMLElement | null {
  if (!config) return null;
  const { settings, data, adapter, dtype } = config;
  const rows: [string, unknown][] = [
    ...(dtype === undefined ? [] : ([["dtype", dtype]] as [string, unknown][])),
    ...Object.entries(adapter.kind === "new" ? adapter.config : { continue: adapter.path }),
    ...Object.entries(data),
    ...Object.entries(settings),
  ];
  const { root, body } = table(text.settings, [{ text: text.setting }, { text: text.value }]);
  fillRows(body, rows, {
    columns: 2,
    showAll: text.showAll,
    row: ([name, value]) =>
      element(
        "tr",
        {},
        element("th", { class: "path", attributes: { scope: "row" } }, name),
        element("td", { class: "path" }, typeof value === "string" ? value : JSON.stringify(value)),
      ),
  });
  return element(
    "details",
    { attributes: { id: "settings" } },
    element("summary", {}, element("h2", {}, text.settings)),
    scrolled(text.settings, root),
  );
}

function section(
  id: string,
  title: string,
  controls: HTMLElement[],
  ...content: HTMLElement[]
): HTMLElement {
  return element(
    "section",
    { attributes: { id } },
    element("div", { class: "section-head" }, element("h2", {}, title), ...controls),
    ...content,
  );
}

function scrolled(label: string, root: HTMLElement): HTMLElement {
  return element(
    "div",
    {
      class: "table-scroller",
      attributes: { tabindex: 0, role: "region", "aria-label": label },
    },
    root,
  );
}
