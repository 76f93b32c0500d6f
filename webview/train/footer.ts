import type { TrainingEstimate } from "../../extension/protocol/trainingContract.ts";
import { duration } from "../shared/duration.ts";
import { element } from "../shared/element.ts";
import * as format from "../shared/format.ts";
import { icon } from "../shared/icon.ts";
import type { Progress } from "../shared/computing.ts";
import { progressLine } from "../shared/progressLine.ts";
import { text } from "./strings.ts";

export type EstimateState =
  | { kind: "none" | "starting" }
  | { kind: "measuring"; progress: Progress | null }
  | { kind: "failed"; message: string; isTooLarge: boolean }
  | { kind: "measured"; estimate: TrainingEstimate };

/** What a run would cost, and the button that starts it. */
export function footerView(
  state: EstimateState,
  problem: string | null,
  on: {
    estimate(): void;
    cancel(): void;
    start(): void;
    exportJob(): void;
    advice: readonly FooterAdvice[];
  },
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
    element(
      "vscode-button",
      {
        attributes: { id: "export-job", appearance: "secondary" },
        on: { click: () => on.exportJob() },
      },
      text.exportJob,
    ),
  );
  const failure = problem ?? (state.kind === "failed" ? state.message : null);
  return [
    element(
      "div",
      { attributes: { id: "estimated", role: "status" } },
      ...estimateView(state, on.cancel),
    ),
    ...(isTooLarge(state) ? [notice("warning", text.tooLarge, adviceView(on.advice))] : []),
    ...(failure === null
      ? []
      : [
          notice(
            "error",
            failure,
            state.kind === "failed" && state.isTooLarge && adviceView(on.advice),
          ),
        ]),
    buttons,
  ];
}

export interface FooterAdvice {
  readonly id: string;
  readonly label: string;
  take(): void;
}

function isTooLarge(state: EstimateState): boolean {
  return state.kind === "measured" && state.estimate.memory > state.estimate.freeMemory;
}

/** What would make the run fit, each a click away. */
function adviceView(advice: readonly FooterAdvice[]): HTMLElement {
  const rows = advice.map(({ id, label, take }) =>
    element(
      "li",
      {},
      element(
        "button",
        {
          class: "link-button",
          attributes: { type: "button", id: `advice-${id}` },
          on: { click: take },
        },
        label,
      ),
    ),
  );
  return element("ul", { class: "advice" }, ...rows);
}

function estimateView(state: EstimateState, cancel: () => void): HTMLElement[] {
  if (state.kind === "measuring") {
    const { progress } = state;
    const again = (): void => undefined;
    const texts = { cancel: text.cancel, cancelled: "", failed: "", again: "" };
    const running = { kind: "running", progress } as const;
    const title = text.estimating;
    return [progressLine({ id: "measuring", state: running, title, texts, cancel, again })];
  }
  if (state.kind !== "measured") return [];
  const { estimate } = state;
  const { steps, seconds, secondsPerStep, memory, freeMemory } = estimate;
  const facts = format.factLine(
    text.steps(format.exactCount(steps)),
    text.takes(duration(seconds)),
    text.perStep(format.plain(Number(secondsPerStep.toPrecision(2)))),
    text.memory(format.bytes(memory), format.bytes(freeMemory)),
    memory <= freeMemory && text.fits,
  );
  const line = element("p", { class: "facts" }, facts);
  return [line, ...estimate.warnings.map((sentence) => notice("warning", sentence))];
}

function notice(
  kind: "error" | "warning",
  sentence: string,
  more: HTMLElement | false = false,
): HTMLElement {
  return element(
    "div",
    { class: `notice ${kind}`, attributes: { role: "alert" } },
    icon(kind),
    element("div", { class: "notice-text" }, element("p", {}, sentence), more),
  );
}
