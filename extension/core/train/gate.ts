import { throwIfAborted } from "../base/errors.ts";

/** What a run waits at while it is paused. */
export class Gate {
  private waiting: { readonly promise: Promise<void>; readonly go: () => void } | null = null;

  /** Fulfilled when it is opened; null while it is open. */
  get closed(): Promise<void> | null {
    return this.waiting?.promise ?? null;
  }

  close(): void {
    if (this.waiting) return;
    let go = (): void => undefined;
    const promise = new Promise<void>((resolve) => (go = resolve));
    this.waiting = { promise, go };
  }

  open(): void {
    this.waiting?.go();
    this.waiting = null;
  }
}

/** @throws cancelled when the signal fires first */
export async function passed(
  closed: Promise<void>,
  signal: AbortSignal | undefined,
): Promise<void> {
  const aborted = new Promise<void>((resolve) => {
    if (!signal) return;
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
  await Promise.race([closed, aborted]);
  throwIfAborted(signal);
}
