import type { TrainingEstimate } from "../../extension/protocol/trainingContract.ts";
import { element } from "../shared/element.ts";
import * as format from "../shared/format.ts";
import { icon } from "../shared/icon.ts";
import { text } from "./strings.ts";

export type EstimateState =
  | { kind: "none" | "starting" }
  | { kind: "measuring"; step: string }
  | { kind: "failed"; message: string }
  | { kind: "measured"; estimate: TrainingEstimate };

/** What a run would cost, and the button that starts it. */
export function footerView(
  state: EstimateState,
  problem: string | null,
  on: { estimate(): void; start(): void },
): HTMLElement[] {
  const isBusy = state.kind === "starting" || state.kind === "measuring";
  const buttons = element(
    "div",
    { class: "buttons" },
    element(
      "vscode-button",
      {
        attributes: {
          id: "start-training",
          appearance: "primary",
          disabled: state.kind === "starting",
        },
        on: { click: () => on.start() },
      },
      state.kind === "starting" ? text.starting : text.begin,
    ),
    element(
      "vscode-button",
      {
        attributes: { id: "estimate", appearance: "secondary", disabled: isBusy },
        on: { click: () => on.estimate() },
      },
      text.estimate,
    ),
  );
  const failure = problem ?? (state.kind === "failed" ? state.message : null);
  return [
    element("div", { attributes: { id: "estimated", role: "status" } }, ...estimateView(state)),
    ...(failure === null ? [] : [notice("error", failure)]),
    buttons,
  ];
}

function estimateView(state: EstimateState): HTMLElement[] {
  if (state.kind === "measuring") return [element("p", { class: "hint" }, state.step)];
  if (state.kind !== "measured") return [];
  const { estimate } = state;
  const { steps, seconds, secondsPerStep, memory, freeMemory } = estimate;
  const { trainableParameters: trained, parameters } = estimate;
  const facts = format.factLine(
    text.steps(format.exactCount(steps)),
    text.takes(duration(seconds)),
    text.perStep(format.plain(secondsPerStep)),
    text.memory(format.bytes(memory), format.bytes(freeMemory)),
    text.trained(format.count(trained), format.percent(parameters > 0 ? trained / parameters : 0)),
  );
  const line = element("p", { class: "facts" }, facts);
  return memory > freeMemory ? [line, notice("warning", text.tooLarge)] : [line];
}

function notice(kind: "error" | "warning", sentence: string): HTMLElement {
  return element(
    "div",
    { class: `notice ${kind}`, attributes: { role: "alert" } },
    icon(kind),
    element("div", { class: "notice-text" }, element("p", {}, sentence)),
  );
}

/** Seconds below two minutes, hours above two. */
export function duration(seconds: number): string {
  if (seconds < 120) return text.seconds(Math.max(1, Math.round(seconds)));
  const minutes = Math.round(seconds / 60);
  return minutes < 120 ? text.minutes(minutes) : text.hours(Math.floor(minutes / 60), minutes % 60);
}
