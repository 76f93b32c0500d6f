import type { OnProgress } from "../../base/progress.ts";
import { pause } from "../../base/pause.ts";

/** What long preparations tell, and what ends them. */
export interface BeginningWork {
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Shapes are wanted, not values: an adapter is measured with. */
  readonly sizesOnly?: boolean | undefined;
}

/** Milliseconds after which there is something to say. */
const patience = 1000;

/**
 * Does something with one module after another; where it takes long it is told how far it is.
 * @param at.costOf what a module takes beside the others
 */
export async function eachModule<M>(
  modules: readonly M[],
  at: { step: string; costOf: (module: M) => number; work: BeginningWork },
  act: (module: M) => Promise<void>,
): Promise<void> {
  const { step, costOf, work } = at;
  const total = modules.reduce((sum, module) => sum + costOf(module), 0);
  const started = performance.now();
  let cost = 0;
  for (const [done, module] of modules.entries()) {
    const taken = performance.now() - started;
    if (taken > patience || (done === 0 && costOf(module) > slow)) {
      const left = done > 0 && { secondsLeft: (taken / 1000) * (total / cost - 1) };
      work.onProgress?.({ step, done, total: modules.length, unit: "items", ...left });
    }
    await pause(work.signal);
    await act(module);
    cost += costOf(module);
  }
}

/** Multiplications that take longer than `patience`. */
const slow = 2e9;
