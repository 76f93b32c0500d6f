/** `log.jsonl`: what a run has reported, one event a line, only ever appended to. */
import {
  appendFileSync,
  closeSync,
  createReadStream,
  fstatSync,
  ftruncateSync,
  openSync,
  readSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import * as path from "node:path";
import { isNoRoom } from "../../core/base/errors.ts";
import type { RunEvent } from "../../protocol/runsContract.ts";
import { revokedBy, thinned } from "../../protocol/runSteps.ts";

type Unstamped<E> = E extends { at: string } ? Omit<E, "at"> : never;
export type NewRunEvent = Unstamped<RunEvent>;

export function logFile(folder: string): string {
  return path.join(folder, "log.jsonl");
}

/** Held free for the last lines of a run whose disk is full, in bytes. */
const reserved = 16 * 1024;
/** Of lines that wait for room; the oldest steps go first. */
const mostWaiting = 10_000;

/** The log of a run that this process trains. */
export class RunLog {
  private readonly file: string;
  private readonly reserve: string;
  /** Lines that found no room: they are written, in their order, as soon as there is some. */
  private waiting: { event: RunEvent; line: string }[] = [];

  constructor(folder: string) {
    this.file = logFile(folder);
    this.reserve = path.join(folder, ".log-reserve");
    // A process that was killed may have left half a line: what follows must not be part of it.
    if (endsInLine(this.file)) this.write("\n");
    this.keepRoom();
  }

  /**
   * Appends at once: what was reported is there whatever becomes of the process. A disk that is full
   * ends no run: lines wait in memory.
   */
  append(event: NewRunEvent): RunEvent {
    const stamped = { at: new Date().toISOString(), ...event } as RunEvent;
    this.waiting.push({ event: stamped, line: `${JSON.stringify(stamped)}\n` });
    if (this.write(this.waiting.map(({ line }) => line).join(""))) this.waiting = [];
    else if (this.waiting.length > mostWaiting) {
      const oldest = this.waiting.findIndex((each) => each.event.kind === "step");
      this.waiting.splice(Math.max(0, oldest), 1);
    }
    return stamped;
  }

  /** What a run says last finds room: first with all that waits, else without the steps among it. */
  close(): void {
    rmSync(this.reserve, { force: true });
    if (this.waiting.length === 0) return;
    const rest = this.waiting.filter(({ event }) => event.kind !== "step");
    const [all, most] = [this.waiting, rest].map((lines) => lines.map(({ line }) => line).join(""));
    if (!this.write(all ?? "") && !this.write(most ?? "")) this.write(rest.at(-1)?.line ?? "");
  }

  /** @returns false where there is no room; then the file is as it was */
  private write(text: string): boolean {
    const file = openSync(this.file, "a");
    const { size } = fstatSync(file);
    try {
      appendFileSync(file, text);
      return true;
    } catch (error) {
      if (!isNoRoom(error)) throw error;
      ftruncateSync(file, size);
      return false;
    } finally {
      closeSync(file);
    }
  }

  private keepRoom(): void {
    try {
      writeFileSync(this.reserve, Buffer.alloc(reserved, 1));
    } catch (error) {
      rmSync(this.reserve, { force: true });
      if (!isNoRoom(error)) throw error;
    }
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
    const isRevoked = revokedBy(event);
    if (isRevoked) events = events.filter((each) => !isRevoked(each));
    events.push(event);
    if (event.kind !== "step" || ++steps <= 4 * Math.max(64, most)) continue;
    events = thinned(events, most);
    steps = most;
  }
  return thinned(events, most);
}
