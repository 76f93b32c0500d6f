/** Host ⇄ the page that shows runs. Types only. */
import type { PicturesHostContract } from "./picturesContract.ts";
import type { RunConfig } from "./trainingContract.ts";
import type { RunEvent, RunSummary } from "./runsContract.ts";

/** A run as the page shows it; of its steps perhaps a part, evenly thinned. */
export interface ShownRun {
  summary: RunSummary;
  config: RunConfig | null;
  events: RunEvent[];
}

export interface RunPageState {
  /** The page's own run first, then those that it is compared with. */
  runs: ShownRun[];
  /** Runs that it could be compared with. */
  others: { folder: string; name: string }[];
  /** Why the run cannot be shown; a sentence. */
  problem: string | null;
}

/** What the host offers to the page. */
export type RunPageHostContract = PicturesHostContract & {
  ready: { params: null; result: RunPageState };
  pause: { params: null; result: null };
  resume: { params: null; result: null };
  /** The host asks first. */
  stop: { params: null; result: null };
  saveCheckpoint: { params: null; result: null };
  /** Goes on with a run whose process is gone, from its last good checkpoint. */
  goOn: { params: null; result: null };
  /** Adds a run to the curves, or takes it away. */
  compareWith: { params: { folder: string; isShown: boolean }; result: null };
  /** Loads the newest checkpoint, or the finished adapter. */
  loadAdapter: { params: null; result: null };
  inspect: { params: { path: string }; result: null };
  openFolder: { params: null; result: null };
  /** As a Python job; the host asks where to. */
  exportJob: { params: null; result: null };
};

/** What the page offers to the host. */
export type RunPageContract = {
  update: { params: RunPageState; result: null };
  /** What one of the runs has reported since. */
  append: { params: { summary: RunSummary; events: RunEvent[] }; result: null };
};
