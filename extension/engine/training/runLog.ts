/** `log.jsonl`: what a run has reported, one event a line, only ever appended to. */
import { appendFileSync, createReadStream, existsSync, readFileSync } from "node:fs";
import * as path from "node:path";
import { createInterface } from "node:readline";
import type { RunEvent } from "../../protocol/trainingContract.ts";

type Unstamped<E> = E extends { at: string } ? Omit<E, "at"> : never;
export type NewRunEvent = Unstamped<RunEvent>;

function logFile(folder: string): string {
  return path.join(folder, "log.jsonl");
}

/** The log of a run that this process trains. */
export class RunLog {
  private readonly file: string;

  constructor(folder: string) {
    this.file = logFile(folder);
    // A process that was killed may have left half a line: what follows must not be part of it.
    if (existsSync(this.file) && !readFileSync(this.file, "utf8").endsWith("\n")) {
      appendFileSync(this.file, "\n");
    }
  }

  /** Appends at once: what was reported is there whatever becomes of the process. */
  append(event: NewRunEvent): RunEvent {
    const stamped = { at: new Date().toISOString(), ...event } as RunEvent;
    appendFileSync(this.file, `${JSON.stringify(stamped)}\n`);
    return stamped;
  }
}

/**
 * All events in their order. Lines that are no event (the last one of a process that was killed, a
 * disk that was full) are left out.
 */
export async function* readEvents(folder: string): AsyncGenerator<RunEvent> {
  const input = createReadStream(logFile(folder), "utf8");
  const failed = new Promise<never>((_, fail) => input.once("error", fail));
  failed.catch(() => undefined);
  try {
    for await (const line of createInterface({ input, crlfDelay: Infinity })) {
      const event = parsed(line);
      if (event) yield event;
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  } finally {
    input.destroy();
  }
}

function parsed(line: string): RunEvent | undefined {
  try {
    const event = JSON.parse(line) as RunEvent;
    return typeof event === "object" && typeof event.kind === "string" ? event : undefined;
  } catch {
    return undefined;
  }
}

/** At most so many steps, evenly thinned, the last one always; everything else as it is. */
export function thinned(events: readonly RunEvent[], most: number): RunEvent[] {
  const steps = events.filter(({ kind }) => kind === "step").length;
  if (steps <= most) return [...events];
  const every = steps / Math.max(1, most);
  let seen = 0;
  return events.filter(({ kind }) => {
    if (kind !== "step") return true;
    const [before, now] = [Math.floor(seen / every), Math.floor((seen + 1) / every)];
    seen++;
    return now > before || seen === steps;
  });
}
