/** `log.jsonl`: what a run has reported, one event a line, only ever appended to. */
import {
  appendFileSync,
  closeSync,
  createReadStream,
  fstatSync,
  openSync,
  readSync,
} from "node:fs";
import * as path from "node:path";
import type { RunEvent } from "../../protocol/trainingContract.ts";
import { isBehind, thinned } from "../../protocol/runSteps.ts";

type Unstamped<E> = E extends { at: string } ? Omit<E, "at"> : never;
export type NewRunEvent = Unstamped<RunEvent>;

export function logFile(folder: string): string {
  return path.join(folder, "log.jsonl");
}

/** The log of a run that this process trains. */
export class RunLog {
  private readonly file: string;

  constructor(folder: string) {
    this.file = logFile(folder);
    // A process that was killed may have left half a line: what follows must not be part of it.
    if (endsInLine(this.file)) appendFileSync(this.file, "\n");
  }

  /** Appends at once: what was reported is there whatever becomes of the process. */
  append(event: NewRunEvent): RunEvent {
    const stamped = { at: new Date().toISOString(), ...event } as RunEvent;
    appendFileSync(this.file, `${JSON.stringify(stamped)}\n`);
    return stamped;
  }
}

/** Whether a file's last line is not closed. */
function endsInLine(file: string): boolean {
  let fd: number;
  try {
    fd = openSync(file, "r");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
    throw error;
  }
  try {
    const { size } = fstatSync(fd);
    const last = Buffer.alloc(1);
    return size > 0 && readSync(fd, last, 0, 1, size - 1) === 1 && last[0] !== 0x0a;
  } finally {
    closeSync(fd);
  }
}

/**
 * All events in their order. Lines that are no event (the last one of a process that was killed, a
 * disk that was full) are left out.
 */
export async function* readEvents(folder: string): AsyncGenerator<RunEvent> {
  const input = createReadStream(logFile(folder), { encoding: "utf8", highWaterMark: 1 << 18 });
  let rest = "";
  try {
    for await (const piece of input as AsyncIterable<string>) {
      const lines = (rest + piece).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        const event = parseEvent(line);
        if (event) yield event;
      }
    }
    const event = parseEvent(rest);
    if (event) yield event;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
}

export function parseEvent(line: string): RunEvent | undefined {
  try {
    const event = JSON.parse(line) as RunEvent | null;
    return typeof event === "object" && typeof event?.kind === "string" ? event : undefined;
  } catch {
    return undefined;
  }
}

/** The events that count, of steps at most `most`; never many more than that are in memory. */
export async function readThinned(folder: string, most: number): Promise<RunEvent[]> {
  let events: RunEvent[] = [];
  let steps = 0;
  for await (const event of readEvents(folder)) {
    const from = event.kind === "state" ? event.from : undefined;
    if (from !== undefined) events = events.filter((each) => !isBehind(each, from));
    events.push(event);
    if (event.kind !== "step" || ++steps <= 4 * Math.max(64, most)) continue;
    events = thinned(events, most);
    steps = most;
  }
  return thinned(events, most);
}
