import { setImmediate } from "node:timers/promises";
import { throwIfAborted } from "../core/base/errors.ts";

/** How long work that does not wait may hold the engine, in milliseconds: an answer streams meanwhile. */
const longestHold = 8;

/** Lets others in when work without waits has held the thread for long enough, and hears a cancel. */
export class Pace {
  private since = performance.now();

  /** @param onPause called whenever it pauses: the right moment to say how far it is */
  constructor(
    readonly signal: AbortSignal,
    private readonly onPause: () => void = () => undefined,
  ) {}

  /** Called between small pieces of work; mostly it returns at once. */
  async breathe(): Promise<void> {
    throwIfAborted(this.signal);
    if (performance.now() - this.since < longestHold) return;
    this.onPause();
    await setImmediate();
    this.since = performance.now();
  }
}
