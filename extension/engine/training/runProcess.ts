/** A run in a process of its own: it trains, whoever watches, and writes down what happens. */
import { readdirSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { t } from "@vscode/l10n";
import { asGraftError, badRequest } from "../../core/base/errors.ts";
import { TrainingRun } from "../../core/trainAdapter.ts";
import {
  checkpointsIn,
  lastWhole,
  stepOf,
  tidyCheckpoints,
} from "../../core/train/checkpointFolder.ts";
import type { TrainingEnd, TrainingEvent } from "../../core/train/events.ts";
import type { Trainer } from "../../core/train/trainer.ts";
import { type RunConfig, runVersion } from "../../protocol/trainingContract.ts";
import type { RunEvent, RunState } from "../../protocol/runsContract.ts";
import { openRun } from "./openRun.ts";
import { logEnd } from "./logEnd.ts";
import { readRunConfig } from "./runConfig.ts";
import { previewOf } from "./runData.ts";
import { claimFolder, releaseFolder } from "./processFile.ts";
import { type NewRunEvent, RunLog } from "./runLog.ts";
import { Samples } from "./samples.ts";
import { type RunControls, RunServer } from "./runServer.ts";

/** Who follows a run in its own process. */
export interface RunFollower {
  readonly onEvent?: (event: RunEvent) => void;
  /** Ends the run after its step; what is learned so far is kept. */
  readonly signal?: AbortSignal;
}

export interface RunPlaces {
  /** Where rounded weights are kept for the next time; nowhere when absent. */
  readonly quantCacheDir?: string | undefined;
}

/** Trains the run of a folder to its end. @returns the process' exit code */
export async function trainIn(
  folder: string,
  follower: RunFollower & RunPlaces = {},
): Promise<number> {
  const run = new RunProcess(folder, await readRunConfig(folder), follower);
  const server = await RunServer.listen(run);
  const startedAt = new Date().toISOString();
  const own = { version: runVersion, pid: process.pid, socket: server.path, startedAt } as const;
  try {
    await claimFolder(folder, own);
    try {
      return await run.live(server);
    } finally {
      await releaseFolder(folder);
    }
  } finally {
    await server.close();
  }
}

class RunProcess implements RunControls {
  state: RunState = "preparing";
  private log: RunLog | undefined;
  private readonly ending = new AbortController();
  private server: RunServer | undefined;
  private run: TrainingRun | undefined;
  private samples: Samples | undefined;

  constructor(
    private readonly folder: string,
    private readonly config: RunConfig,
    private readonly follower: RunFollower & RunPlaces,
  ) {}

  private get trainer(): Trainer | undefined {
    return this.run?.trainer;
  }

  get step(): number {
    return this.trainer?.history.step ?? 0;
  }

  /** @returns the process' exit code */
  async live(server: RunServer): Promise<number> {
    this.server = server;
    this.log = new RunLog(this.folder);
    // As a system that shuts down asks for it: what is learned so far is kept.
    process.once("SIGTERM", this.onTerminated);
    this.follower.signal?.addEventListener("abort", this.onTerminated, { once: true });
    try {
      const end = await this.train();
      this.become(end.finish === "stopped" ? "stopped" : "finished", messageOf(end));
      return 0;
    } catch (thrown) {
      if (this.ending.signal.aborted) {
        this.become("stopped", await this.whatIsKept());
        return 0;
      }
      const { code, message } = asGraftError(thrown);
      this.state = "failed";
      this.tell({ kind: "state", state: "failed", message, code });
      return 1;
    } finally {
      process.off("SIGTERM", this.onTerminated);
      this.log.close();
    }
  }

  private readonly onTerminated = (): void => this.stop("keep");

  private async whatIsKept(): Promise<string> {
    return (await checkpointsIn(this.folder)).length > 0
      ? t("What the last checkpoint holds is kept.")
      : t("There was no checkpoint yet: nothing is kept.");
  }

  pause(): void {
    if (!this.trainer) throw tooEarly();
    this.become("pausing");
    this.trainer.pause();
  }

  resume(): void {
    this.trainer?.resume();
  }

  stop(what: "keep" | "discard"): void {
    if (what === "keep" && this.trainer) {
      this.become("stopping");
      this.trainer.stop();
    } else this.ending.abort();
  }

  saveCheckpoint(): void {
    if (!this.trainer) throw tooEarly();
    this.trainer.saveSoon();
  }

  private async train(): Promise<TrainingEnd> {
    const { folder, config } = this;
    const { signal } = this.ending;
    const before = await logEnd(folder, 0);
    this.become("preparing");
    const { quantCacheDir } = this.follower;
    const work = { onProgress: (event: RunProgress) => this.progress(event), signal };
    const opened = await openRun(config, { ...work, quantCacheDir });
    const scratch = await mkdtemp(path.join(tmpdir(), "graft-samples-"));
    try {
      const { base, adapter, data, options } = opened;
      const { examples: _, problems: __, ...preview } = previewOf(data);
      this.tell({ kind: "data", preview });
      this.progress({ step: t("Building the graph of training") });
      this.samples = new Samples(config, { scratch, signal, quantCacheDir });
      const hasEvaluation = config.settings.evaluateEvery > 0 && data.evaluation.count > 0;
      const { training: train, evaluation, fingerprint } = data;
      const run = await TrainingRun.open({
        ...{ base, adapter, options, folder, signal, waitsForRoom: true },
        data: { train, evaluation: hasEvaluation ? evaluation : null, fingerprint },
        resume: await this.lastCheckpoint(),
        dataNote: config.data.files.map((file) => path.basename(file)).join(", "),
        onEvent: (event) => this.hear(event),
        onProgress: work.onProgress,
        ...(config.samplePrompts.length > 0 && {
          samples: () => this.answer(),
        }),
      });
      try {
        this.run = run;
        this.goOn(before.step !== undefined);
        return await run.train();
      } finally {
        this.run = undefined;
        await run.dispose();
      }
    } finally {
      await this.samples?.dispose();
      await opened.dispose();
      await rm(scratch, { recursive: true, force: true });
    }
  }

  /** Where the run goes on; what is not whole is named. */
  private async lastCheckpoint(): Promise<string | false> {
    await tidyCheckpoints(this.folder);
    const { folder, skipped } = await lastWhole(this.folder);
    for (const text of skipped) this.note(text);
    if (folder === null && skipped.length > 0)
      this.note(t("No checkpoint is whole: the run begins anew."));
    return folder ?? false;
  }

  private note(text: string): void {
    this.tell({ kind: "note", step: this.step, text });
  }

  /** The core's events as the contract has them. */
  private hear(event: TrainingEvent): void {
    switch (event.kind) {
      case "step": {
        const { step, steps: totalSteps, epoch, loss, learningRate, tokensPerSecond } = event;
        const { gradNorm: gradientNorm, secondsLeft } = event;
        const memory = process.memoryUsage.rss();
        return this.tell({
          ...{ kind: "step", step, totalSteps, epoch, loss, learningRate, gradientNorm },
          ...{ tokensPerSecond, secondsLeft, memory },
        });
      }
      case "evaluation":
        return this.tell(event);
      case "checkpoint": {
        const { step, folder } = event;
        return this.tell({
          kind: "checkpoint",
          step,
          path: folder,
          isBest: step === this.trainer?.history.bestStep,
          kept: checkpointSteps(this.folder),
        });
      }
      case "samples":
        return;
      case "note":
        return this.tell(event);
      case "paused":
        return this.become("paused", event.reason);
      case "resumed":
        return this.become("running");
    }
  }

  /** @param hasSteps whether steps were reported before, by a process that is gone */
  private goOn(hasSteps: boolean): void {
    this.state = "running";
    this.tell({ kind: "state", state: "running", ...(hasSteps && { from: this.step }) });
  }

  private async answer(): Promise<[]> {
    const { run, samples, state: before } = this;
    if (!run || !samples) return [];
    this.become("evaluating");
    try {
      for (const sample of await samples.answer(run)) {
        this.tell({ kind: "sample", step: this.step, ...sample });
      }
    } catch (thrown) {
      this.ending.signal.throwIfAborted();
      // Answers are there to be looked at: a run is not ended for the want of them.
      this.note(t("Sample prompts could not be answered: {0}", asGraftError(thrown).message));
    }
    if (this.state === "evaluating") this.become(before);
    return [];
  }

  private become(state: RunState, message?: string): void {
    this.state = state;
    this.tell({ kind: "state", state, ...(message !== undefined && { message }) });
  }

  private progress({ step, done, total }: RunProgress): void {
    this.server?.tell({
      at: new Date().toISOString(),
      kind: "progress",
      ...{ step, ...(done !== undefined && { done }), ...(total !== undefined && { total }) },
    });
  }

  private tell(event: NewRunEvent): void {
    if (!this.log) return;
    const told = this.log.append(event);
    this.server?.tell(told);
    this.follower.onEvent?.(told);
  }
}

interface RunProgress {
  readonly step: string;
  readonly done?: number;
  readonly total?: number;
}

function checkpointSteps(folder: string): number[] {
  return readdirSync(folder).flatMap((name) => stepOf(name) ?? []);
}

function tooEarly(): Error {
  return badRequest(t("The run is still being prepared. Try again when its first step is taken."));
}

function messageOf({ finish, bestStep, bestLoss }: TrainingEnd): string | undefined {
  if (finish === "early") {
    return t(
      "Evaluations got no better: the best was at step {0}, with {1}.",
      bestStep ?? 0,
      (bestLoss ?? 0).toPrecision(4),
    );
  }
  return undefined;
}
