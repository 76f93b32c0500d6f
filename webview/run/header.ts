import type { ShownRun } from "../../extension/protocol/runPageContract.ts";
import type { RunState } from "../../extension/protocol/runsContract.ts";
import { duration } from "../shared/duration.ts";
import { element } from "../shared/element.ts";
import * as format from "../shared/format.ts";
import { icon } from "../shared/icon.ts";
import { lastOf, notesOf } from "./series.ts";
import { text } from "./strings.ts";

export type RunAction =
  | "pause"
  | "resume"
  | "goOn"
  | "stop"
  | "saveCheckpoint"
  | "loadAdapter"
  | "openFolder"
  | "exportJob";

/** How far the run is, and what it says of itself. */
export function headerView(run: ShownRun): HTMLElement {
  const { summary, events } = run;
  const { state } = summary;
  const message = summary.problem ?? lastOf(events, "state")?.message;
  const kind = kindOf(summary);
  const said = state === "interrupted" ? [meaningOf(summary), message] : [message];
  const notes = notesOf(events).map((note) => notice(note, "info"));
  return element(
    "header",
    {},
    element(
      "div",
      { class: "title-line" },
      element("h1", {}, summary.name),
      element(
        "span",
        { class: `state ${state}`, attributes: { id: "state", role: "status" } },
        text.states[state],
      ),
    ),
    element("p", { class: "facts" }, text.onBase(summary.method, summary.base)),
    progressView(run),
    element("p", { class: "facts", attributes: { id: "facts" } }, factsOf(run)),
    ...said.flatMap((sentence) => (sentence ? [notice(sentence, kind)] : [])),
    ...notes,
  );
}

type NoticeKind = "error" | "warning" | "info";

function notice(sentence: string, kind: NoticeKind): HTMLElement {
  return element(
    "div",
    { class: `notice ${kind}`, attributes: { role: kind === "error" ? "alert" : "note" } },
    icon(kind),
    element("div", { class: "notice-text" }, element("p", {}, sentence)),
  );
}

function meaningOf({ adapter, startedAt }: ShownRun["summary"]): string {
  if (startedAt === null) return text.notStarted;
  return adapter === null ? text.interruptedEarly : text.interruptedMeaning;
}

/** What needs its reader to act stands out. */
function kindOf({ state, problem, process }: ShownRun["summary"]): NoticeKind {
  if (state === "failed" || problem !== undefined) return "error";
  return state === "interrupted" || (state === "paused" && process) ? "warning" : "info";
}

function progressView({ summary, events }: ShownRun): HTMLElement {
  const { step, totalSteps, state } = summary;
  const doing = lastOf(events, "progress");
  const share = totalSteps ? Math.min(1, step / totalSteps) : 0;
  const shown =
    state === "preparing" && doing
      ? doing.step
      : totalSteps === null
        ? text.step(format.exactCount(step))
        : text.stepOf(format.exactCount(step), format.exactCount(totalSteps));
  return element(
    "div",
    { class: "progress" },
    element("span", {
      class: "progress-track",
      attributes: {
        role: "progressbar",
        "aria-label": shown,
        "aria-valuemin": 0,
        "aria-valuemax": 100,
        "aria-valuenow": Math.round(share * 100),
      },
      variables: { share: `${share * 100}%` },
    }),
    element("span", { class: "muted", attributes: { id: "progress" } }, shown),
  );
}

const ended: readonly RunState[] = ["finished", "stopped", "failed"];

const working: readonly RunState[] = ["preparing", "running", "evaluating", "pausing", "stopping"];

function factsOf({ summary, events }: ShownRun): string {
  const step = lastOf(events, "step");
  const isWorking = working.includes(summary.state);
  const took =
    summary.startedAt !== null && summary.endedAt !== null
      ? (Date.parse(summary.endedAt) - Date.parse(summary.startedAt)) / 1000
      : null;
  return format.factLine(
    summary.loss !== null && text.loss(format.plain(summary.loss)),
    summary.evaluationLoss !== null && text.evaluationLoss(format.plain(summary.evaluationLoss)),
    ...Object.entries(lastOf(events, "evaluation")?.metrics ?? {}).map(
      ([name, value]) => `${text.metricNames[name] ?? name} ${format.plain(value)}`,
    ),
    step && isWorking && format.speed(step.tokensPerSecond),
    step !== undefined &&
      step.secondsLeft !== null &&
      isWorking &&
      text.left(duration(step.secondsLeft)),
    took !== null && !isWorking && text.took(duration(took)),
    step && isWorking && text.memory(format.bytes(step.memory)),
  );
}

/** What can be done with the run. */
export function buttonsView(
  { summary }: ShownRun,
  act: (action: RunAction) => void,
  inspect: () => void,
): HTMLElement {
  const { state, adapter, process } = summary;
  const button = (id: RunAction, label: string, appearance = "secondary"): HTMLElement =>
    element(
      "vscode-button",
      { attributes: { id, appearance }, on: { click: () => act(id) } },
      label,
    );
  // A process that has done its work may be there a moment longer.
  const isLive = process !== null && !ended.includes(state);
  return element(
    "div",
    { class: "buttons" },
    isLive && (state === "running" || state === "evaluating") && button("pause", text.pause),
    isLive && state === "paused" && button("resume", text.resume, "primary"),
    !isLive && state !== "finished" && button("goOn", text.goOn, "primary"),
    isLive && state !== "stopping" && button("stop", text.stop),
    isLive && state === "running" && button("saveCheckpoint", text.saveNow),
    adapter !== null &&
      button("loadAdapter", text.load, state === "finished" ? "primary" : "secondary"),
    adapter !== null &&
      element(
        "vscode-button",
        {
          attributes: { id: "inspect", appearance: "secondary" },
          on: { click: inspect },
        },
        text.inspect,
      ),
    button("exportJob", text.exportJob),
    button("openFolder", text.openFolder),
  );
}
