/**
 * Runs. Types only. Two ends answer:
 *
 * - the *engine* (`RunsContract`): runs as their folders tell of them;
 * - the *run's own process* (`RunContract`): lives as long as its run, listens on a socket whose path stands
 *   in `process.json` of the run's folder, and does not care who watches. Any window may attach, several
 *   at once; closing all of them changes nothing.
 *
 * A run's folder: `run.json` (RunConfig), `process.json` (RunProcess, while a process lives), `log.jsonl`
 * (RunEvent, one a line, appended), `checkpoint-N/`, and the adapter itself at the end.
 */
import type { DataPreview, RunConfig, runVersion } from "./trainingContract.ts";

/** `process.json`: the process that trains, while it lives. */
export interface RunProcess {
  version: typeof runVersion;
  pid: number;
  /** Path of a socket, or of a named pipe on Windows. */
  socket: string;
  startedAt: string;
}

export type RunState =
  | "preparing"
  | "running"
  | "pausing"
  | "paused"
  | "evaluating"
  | "stopping"
  /** The adapter is written. */
  | "finished"
  /** Ended by the user: kept up to there. */
  | "stopped"
  | "failed"
  /** Its process is gone without having said so: it can be gone on with from the last checkpoint. */
  | "interrupted";

/** What a run reports; each line of `log.jsonl` is one. `at` is an ISO time. */
export type RunEvent = { at: string } & (
  | {
      kind: "state";
      state: RunState;
      /** A sentence, of "failed" and where there is something to say. */
      message?: string;
      code?: string;
      /** The run goes on from this step: what it reported of later ones before counts no more. */
      from?: number;
    }
  /** What is unusual, in a sentence: a checkpoint that was passed over. */
  | { kind: "note"; step: number; text: string }
  | { kind: "progress"; step: string; done?: number; total?: number }
  | { kind: "data"; preview: Omit<DataPreview, "examples" | "problems"> }
  | {
      kind: "step";
      step: number;
      totalSteps: number;
      epoch: number;
      loss: number;
      learningRate: number;
      gradientNorm: number | null;
      tokensPerSecond: number;
      secondsLeft: number | null;
      /** Bytes that the process holds. */
      memory: number;
    }
  | {
      kind: "evaluation";
      step: number;
      epoch: number;
      loss: number;
      /** How good the answers are, by names: "accuracy", "f1", "mse", "pearson"; of models with labels. */
      metrics?: Record<string, number>;
      isBest: boolean;
      seconds: number;
    }
  | { kind: "sample"; step: number; prompt: string; base: string; adapter: string }
  /** `kept`: steps of all checkpoints that there are now. */
  | { kind: "checkpoint"; step: number; path: string; isBest: boolean; kept?: number[] }
);

/** A run at a glance, as its folder tells. */
export interface RunSummary {
  folder: string;
  name: string;
  /** As it is called in lists; its path stands in the config. */
  base: string;
  /** "LoRA", "DoRA" */
  method: string;
  state: RunState;
  step: number;
  totalSteps: number | null;
  loss: number | null;
  evaluationLoss: number | null;
  startedAt: string | null;
  endedAt: string | null;
  /** The last checkpoint, or the finished adapter. */
  adapter: string | null;
  /** Folder of the base that the run made for itself (LoftQ), which its adapter runs on. */
  ownBase?: string;
  /** Set while its process lives. */
  process: RunProcess | null;
  /** What the run said when it came into its state; a sentence. */
  message?: string;
  /** Why the folder cannot be read; a sentence. */
  problem?: string;
}

/** What the engine tells of runs, from their folders. */
export type RunsContract = {
  /** Writes run.json into a new folder of `parent`, named after the run. */
  createRun: { params: { parent: string; config: RunConfig }; result: { folder: string } };
  /** Runs below these folders, newest first. */
  listRuns: { params: { parents: string[] }; result: RunSummary[] };
  /** Everything that was logged; of steps at most `steps`, evenly thinned. */
  readRun: {
    params: { folder: string; steps?: number };
    result: { summary: RunSummary; config: RunConfig; events: RunEvent[] };
  };
};

/** What a run's process answers to whoever attaches. */
export type RunContract = {
  hello: { params: { version: number }; result: { pid: number; state: RunState; step: number } };
  /** Every event from now on; ends with the run, or when the caller cancels, which leaves the run alone. */
  watch: { params: null; result: { state: RunState }; event: RunEvent };
  /** After the step that runs; writes a checkpoint, and gives the processor back. */
  pause: { params: null; result: null };
  resume: { params: null; result: null };
  /** "keep" writes the adapter as it is now, "discard" leaves the last checkpoint as it is. */
  stop: { params: { what: "keep" | "discard" }; result: null };
  /** After the step that runs. */
  saveCheckpoint: { params: null; result: null };
};

/** What attaches offers nothing. */
export type RunHostContract = Record<never, never>;
