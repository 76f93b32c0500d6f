/** What the end of a log says, without reading what stands before. */
import { type FileHandle, open } from "node:fs/promises";
import type { RunEvent, RunState } from "../../protocol/runsContract.ts";
import { isBehind } from "../../protocol/runSteps.ts";
import { logFile, parseEvent } from "./runLog.ts";

type EventOf<K extends RunEvent["kind"]> = Extract<RunEvent, { kind: K }>;

export interface LogEnd {
  readonly first: RunEvent | undefined;
  readonly last: RunEvent | undefined;
  readonly state: RunState | undefined;
  /** What was said of the state. */
  readonly message: string | undefined;
  readonly step: EventOf<"step"> | undefined;
  readonly evaluation: EventOf<"evaluation"> | undefined;
}

const nothing: LogEnd = {
  ...{ first: undefined, last: undefined, state: undefined, message: undefined },
  ...{ step: undefined, evaluation: undefined },
};

/** One piece has the end of a usual run. */
const pieceBytes = 64 * 1024;

/** @param evaluateEvery steps from one evaluation to the next: one further back is not looked for; 0 for none */
export async function logEnd(folder: string, evaluateEvery: number): Promise<LogEnd> {
  let handle: FileHandle;
  try {
    handle = await open(logFile(folder));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return nothing;
    throw error;
  }
  try {
    const found = new Backwards(evaluateEvery);
    for await (const line of linesFromEnd(handle)) {
      const event = parseEvent(line);
      if (event && found.take(event)) break;
    }
    const { last, state, message, step, evaluation } = found;
    return { first: await firstEvent(handle), last, state, message, step, evaluation };
  } finally {
    await handle.close();
  }
}

/** Gathers, from the last event to the first, what a summary needs. */
class Backwards implements Omit<LogEnd, "first"> {
  last: RunEvent | undefined;
  state: RunState | undefined;
  message: string | undefined;
  step: EventOf<"step"> | undefined;
  evaluation: EventOf<"evaluation"> | undefined;
  /** What was reported behind it was taken back later. */
  private from = Infinity;

  constructor(private readonly evaluateEvery: number) {}

  /** @returns whether there is no more to be known */
  take(event: RunEvent): boolean {
    this.last ??= event;
    if (isBehind(event, this.from)) return false;
    if (event.kind === "state") {
      if (this.state === undefined) ({ state: this.state, message: this.message } = event);
      this.from = Math.min(this.from, event.from ?? Infinity);
    } else if (event.kind === "step") {
      this.step ??= event;
      // Nothing is said of states while a run takes its steps.
      this.state ??= "running";
    } else if (event.kind === "evaluation") this.evaluation ??= event;
    return this.step !== undefined && (this.evaluation !== undefined || !this.mayEvaluate(event));
  }

  /** Whether an evaluation may stand before this event. */
  private mayEvaluate(event: RunEvent): boolean {
    if (this.evaluateEvery === 0) return false;
    return event.kind !== "step" || event.step >= (this.step?.step ?? 0) - this.evaluateEvery;
  }
}

async function* linesFromEnd(handle: FileHandle): AsyncGenerator<string> {
  let { size: end } = await handle.stat();
  let rest = Buffer.alloc(0);
  while (end > 0) {
    const start = Math.max(0, end - pieceBytes);
    const piece = Buffer.alloc(end - start);
    await handle.read(piece, 0, piece.length, start);
    const all = Buffer.concat([piece, rest]);
    // What stands before the first break belongs to a line that begins further up.
    const cut = start === 0 ? 0 : all.indexOf(0x0a) + 1;
    rest = cut === 0 && start > 0 ? all : all.subarray(0, cut);
    if (cut > 0 || start === 0) yield* all.toString("utf8", cut).split("\n").reverse();
    end = start;
  }
}

async function firstEvent(handle: FileHandle): Promise<RunEvent | undefined> {
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(4096), 0, 4096, 0);
  const text = buffer.toString("utf8", 0, bytesRead);
  for (const line of text.split("\n")) {
    const event = parseEvent(line);
    if (event) return event;
  }
  return undefined;
}
