// One process of bench:scan: looks through a folder as the engine does, and prints what that took.
import { monitorEventLoopDelay } from "node:perf_hooks";
import { AdapterSummaries } from "../../extension/engine/adapterSummaries.ts";
import { discover, readAdapters } from "../../extension/engine/discover.ts";
import type { DiscoverParams } from "../../extension/protocol/engineContract.ts";
import { emptyState } from "../../extension/state.ts";
import { arrange, usualArrangement } from "../../extension/views/arrangement.ts";
import type { ScanResult, Took } from "./scanResult.ts";

const folder = process.argv[2] ?? "";
const context = { emit: () => undefined, signal: new AbortController().signal };
const summaries = new AdapterSummaries();
const look = (roots: DiscoverParams["roots"]): ReturnType<typeof discover> =>
  discover({ roots, huggingFaceCache: false }, context, summaries);
const all: DiscoverParams["roots"] = [{ path: folder, source: "folder" }];

/** Lets the monitor take a sample. */
function pause(): Promise<void> {
  return new Promise((done) => setTimeout(done, 5));
}

/** Time on the clock, time of the processor, and the longest that nothing else could happen. */
async function measure<T>(work: () => Promise<T>): Promise<[T, Took]> {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  await pause();
  const [cpu, started] = [process.cpuUsage(), performance.now()];
  const result = await work();
  const milliseconds = performance.now() - started;
  const { user, system } = process.cpuUsage(cpu);
  // The monitor counts its own period of a millisecond.
  await pause();
  delay.disable();
  return [result, { milliseconds, cpu: (user + system) / 1000, block: delay.max / 1e6 - 1 }];
}

const [found, list] = await measure(() => look(all));
const [, weights] = await measure(() => readAdapters(found, context, summaries));
const [whole, again] = await measure(() => look(all));
const [one] = whole.adapters;
const [, changed] = await measure(() =>
  look([{ path: one?.path ?? "", source: "folder", isOne: true }]),
);
const state = { ...emptyState, adapters: whole.adapters };
const [, sorted] = await measure(() => Promise.resolve(arrange(state, usualArrangement)));
const result: ScanResult = {
  ...{ adapters: whole.adapters.length, list, weights, again, changed, arrange: sorted },
};
console.log(JSON.stringify(result));
