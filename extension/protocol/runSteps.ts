/** What a run has reported of its steps, so that it stays small however long the run is. */
import type { RunEvent } from "./runsContract.ts";

/** More points than a chart has pixels tell nothing. */
export const mostSteps = 2000;

/** Of so many steps that are left the highest loss is left too: one bad step is seen, means stay means. */
const peakShare = 20;

type StepEvent = Extract<RunEvent, { kind: "step" }>;

/**
 * At most so many steps, spread evenly over their numbers, the last one always; everything else as it
 * is. What was thinned before may be thinned again with what came since.
 */
export function thinned(events: readonly RunEvent[], most: number): RunEvent[] {
  const steps = events.filter((event): event is StepEvent => event.kind === "step");
  if (steps.length <= most) return [...events];
  const peaks = Math.floor(most / peakShare);
  const kept = new Set<RunEvent>([
    ...ofEachPart(steps, most - peaks, () => true),
    ...ofEachPart(steps, peaks, (event, best) => event.loss > best.loss),
  ]);
  const last = steps.at(-1);
  if (last) kept.add(last);
  return events.filter((event) => event.kind !== "step" || kept.has(event));
}

/** The steps' range in equal parts; of each the step that is better than those before it. */
function ofEachPart(
  steps: readonly StepEvent[],
  parts: number,
  isBetter: (event: StepEvent, best: StepEvent) => boolean,
): Iterable<StepEvent> {
  if (parts < 1) return [];
  let [low, high] = [Infinity, -Infinity];
  for (const { step } of steps) [low, high] = [Math.min(low, step), Math.max(high, step)];
  const width = (high - low + 1) / parts;
  const chosen = new Map<number, StepEvent>();
  for (const event of steps) {
    const part = Math.floor((event.step - low) / width);
    const best = chosen.get(part);
    if (!best || isBetter(event, best)) chosen.set(part, event);
  }
  return chosen.values();
}

/** Whether an event tells of a step behind this one. */
export function isBehind(event: RunEvent, step: number): boolean {
  return "step" in event && typeof event.step === "number" && event.step > step;
}

/** Which earlier events an event takes back: steps that are taken anew, checkpoints that were removed. */
export function revokedBy(event: RunEvent): ((earlier: RunEvent) => boolean) | null {
  if (event.kind === "state") {
    const { from } = event;
    return from === undefined ? null : (earlier) => isBehind(earlier, from);
  }
  if (event.kind !== "checkpoint" || event.kept === undefined) return null;
  const kept = new Set(event.kept);
  return (earlier) => earlier.kind === "checkpoint" && !kept.has(earlier.step);
}

/** Adds events to others, without those that they take back. */
export function joined(events: readonly RunEvent[], more: readonly RunEvent[]): RunEvent[] {
  let all = [...events];
  for (const event of more) {
    const isRevoked = revokedBy(event);
    if (isRevoked) all = all.filter((each) => !isRevoked(each));
    all.push(event);
  }
  return all;
}
