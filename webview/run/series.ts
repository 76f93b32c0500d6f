/** What runs have reported, as numbers to be drawn. */
import { joined, mostSteps, thinned } from "../../extension/protocol/runSteps.ts";
import type { ShownRun } from "../../extension/protocol/runPageContract.ts";
import type { RunEvent, RunSummary } from "../../extension/protocol/runsContract.ts";
import type { Curve } from "../shared/curve.ts";

export type EventOf<K extends RunEvent["kind"]> = Extract<RunEvent, { kind: K }>;

export function eventsOf<K extends RunEvent["kind"]>(
  events: readonly RunEvent[],
  kind: K,
): EventOf<K>[] {
  return events.filter((event): event is EventOf<K> => event.kind === kind);
}

export function lastOf<K extends RunEvent["kind"]>(
  events: readonly RunEvent[],
  kind: K,
): EventOf<K> | undefined {
  return events.findLast((event): event is EventOf<K> => event.kind === kind);
}

/** What the run has noted since it was started last, each once. */
export function notesOf(events: readonly RunEvent[]): string[] {
  const begun = events.findLastIndex(
    (event) => event.kind === "state" && event.state === "preparing",
  );
  return [...new Set(eventsOf(events.slice(begun + 1), "note").map((note) => note.text))];
}

/** Adds what a run has reported since to what is shown; of many steps a part is left. */
export function append(
  runs: readonly ShownRun[],
  { summary, events }: { summary: RunSummary; events: readonly RunEvent[] },
): ShownRun[] {
  return runs.map((run) =>
    run.summary.folder === summary.folder
      ? { ...run, summary, events: bounded(joined(run.events, events)) }
      : run,
  );
}

/** Thinned now and then, not at every step. */
function bounded(events: RunEvent[]): RunEvent[] {
  return events.length > 2 * mostSteps ? thinned(events, mostSteps) : events;
}

/** A run that went on from a checkpoint takes steps again: what was reported of them last counts. */
export function latestSteps<E extends { step: number }>(events: readonly E[]): E[] {
  const byStep = new Map(events.map((event) => [event.step, event]));
  return [...byStep.values()].sort((a, b) => a.step - b.step);
}

type Point = { x: number; y: number };

/** Exponential mean with the memory of `window` points, free of a bias to its beginning. */
export function smoothed(points: readonly Point[], window: number): Point[] {
  const keep = 1 - 1 / window;
  let sum = 0;
  let weight = 0;
  return points.map(({ x, y }) => {
    sum = sum * keep + y;
    weight = weight * keep + 1;
    return { x, y: sum / weight };
  });
}

const colours = ["blue", "orange", "green", "purple", "red", "yellow"].map(
  (name) => `var(--vscode-charts-${name})`,
);

export function colourOf(index: number): string {
  return colours[index % colours.length] as string;
}

/** Of each run its losses as they were, smoothed, and those of evaluations. */
export function lossCurves(
  runs: readonly ShownRun[],
  names: { trained: string; smoothed: string; evaluated: string },
): Curve[] {
  return runs.flatMap((run, index) => {
    const colour = colourOf(index);
    const prefix = runs.length > 1 ? `${run.summary.name} · ` : "";
    const steps = latestSteps(eventsOf(run.events, "step")).map(({ step, loss }) => ({
      x: step,
      y: loss,
    }));
    const evaluations = latestSteps(eventsOf(run.events, "evaluation"));
    const isShort = steps.length < 20;
    const curves: Curve[] = [
      {
        name: prefix + names.trained,
        points: steps,
        colour,
        stroke: isShort ? "thick" : "thin",
      },
    ];
    if (!isShort) {
      const points = smoothed(steps, Math.max(5, steps.length / 20));
      curves.push({ name: prefix + names.smoothed, points, colour, stroke: "thick" });
    }
    if (evaluations.length > 0) {
      const points = evaluations.map(({ step, loss }) => ({ x: step, y: loss }));
      curves.push({ name: prefix + names.evaluated, points, colour, stroke: "dashed" });
    }
    return curves;
  });
}

/** One number of every step, a curve for each run. */
export function stepCurves(
  runs: readonly ShownRun[],
  value: (event: EventOf<"step">) => number | null,
): Curve[] {
  return runs.map((run, index) => ({
    name: run.summary.name,
    colour: colourOf(index),
    stroke: "thick" as const,
    points: latestSteps(eventsOf(run.events, "step")).flatMap((event) => {
      const y = value(event);
      return y === null ? [] : [{ x: event.step, y }];
    }),
  }));
}
