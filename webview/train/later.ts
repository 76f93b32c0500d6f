/** Typing is over when nothing was typed for this long, in milliseconds. */
const quiet = 400;

const waiting = new Set<() => Promise<void>>();
let timer = 0;

/** Asks once typing is over, however often it was to be asked meanwhile. */
export function later(ask: () => Promise<void>): void {
  waiting.add(ask);
  clearTimeout(timer);
  timer = window.setTimeout(() => {
    const now = [...waiting];
    waiting.clear();
    for (const each of now) void each();
  }, quiet);
}
