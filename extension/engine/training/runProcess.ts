/** A run in a process of its own: it trains, whoever watches, and writes down what happens. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { t } from "@vscode/l10n";
import { asGraftError, badRequest } from "../../core/base/errors.ts";
import { TrainingRun } from "../../core/trainAdapter.ts";
import { lastWhole } from "../../core/train/checkpointFolder.ts";
import type { TrainingEnd, TrainingEvent } from "../../core/train/events.ts";
import type { Trainer } from "../../core/train/trainer.ts";
import { type RunConfig, type RunState, runVersion } from "../../protocol/trainingContract.ts";
import { openRun } from "./openRun.ts";
import { logEnd } from "./logEnd.ts";
import { readRunConfig } from "./runConfig.ts";
import { previewOf } from "./runData.ts";
import { readProcess, removeProcess, writeProcess } from "./runFolder.ts";
import { type NewRunEvent, RunLog } from "./runLog.ts";
import { Samples } from "./samples.ts";
import { type RunControls, RunServer } from "./runServer.ts";

/** Trains the run of a folder to its end. @returns the process' exit code */
export async function trainIn(folder: string): Promise<number> {
  const config = await readRunConfig(folder);
  const other = await readProcess(folder);
  if (other && other.pid !== process.pid) {
    throw badRequest(
      t("Process {0} trains in {1} already. Wait for it, or stop it.", other.pid, folder),
    );
  }
  const run = new RunProcess(folder, config);
  return run.live();
}

class RunProcess implements RunControls {
  state: RunState = "preparing";
  private readonly log: RunLog;
  private readonly ending = new AbortController();
  private server: RunServer | undefined;
  private run: TrainingRun | undefined;
  private samples: Samples | undefined;

  constructor(
    private readonly folder: string,
    private readonly config: RunConfig,
  ) {
    this.log = new RunLog(folder);
  }

  private get trainer(): Trainer | undefined {
    return this.run?.trainer;
  }

  get step(): number {
    return this.trainer?.history.step ?? 0;
  }

  async live(): Promise<number> {
    this.server = await RunServer.listen(this);
    const { path: socket } = this.server;
    const startedAt = new Date().toISOString();
    await writeProcess(this.folder, { version: runVersion, pid: process.pid, socket, startedAt });
    // As a system that shuts down asks for it: what is learned so far is kept.
    process.once("SIGTERM", () => this.stop("keep"));
    try {
      const end = await this.train();
      this.become(end.finish === "stopped" ? "stopped" : "finished", messageOf(end));
      return 0;
    } catch (thrown) {
      const { code, message } = asGraftError(thrown);
      if (this.ending.signal.aborted) {
        this.become("stopped", t("What the last checkpoint holds is kept."));
        return 0;
      }
      this.tell({ kind: "state", state: "failed", message, code });
      this.state = "failed";
      return 1;
    } finally {
      await removeProcess(this.folder);
      await this.server.close();
    }
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
    const opened = await openRun(config, { onProgress: (event) => this.progress(event), signal });
    const scratch = await mkdtemp(path.join(tmpdir(), "graft-samples-"));
    try {
      const { base, adapter, data, options, loss } = opened;
      const { examples: _, problems: __, ...preview } = previewOf(data);
      this.tell({ kind: "data", preview });
      this.progress({ step: t("Building the graph of training") });
      this.samples = new Samples(config, { scratch, signal });
      const hasEvaluation = config.settings.evaluateEvery > 0 && data.evaluation.count > 0;
      const run = await TrainingRun.open({
        ...{ base, adapter, options, folder, signal },
        data: { train: data.training, evaluation: hasEvaluation ? data.evaluation : null },
        resume: (await lastWhole(folder)) !== null,
        ...(loss !== undefined && { loss }),
        dataNote: config.data.files.map((file) => path.basename(file)).join(", "),
        onEvent: (event) => this.hear(event),
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
        });
      }
      case "samples":
        return;
      case "note":
        return this.tell({ kind: "state", state: this.state, message: event.text });
      case "paused":
        return this.become("paused");
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
    for (const sample of await samples.answer(run)) {
      this.tell({ kind: "sample", step: this.step, ...sample });
    }
    if (this.state === "evaluating") this.become(before);
    return [];
  }

  private become(state: RunState, message?: string): void {
    this.state = state;
    this.tell({ kind: "state", state, ...(message !== undefined && { message }) });
  }

  private progress({ step, done, total }: { step: string; done?: number; total?: number }): void {
    this.server?.tell({
      at: new Date().toISOString(),
      kind: "progress",
      ...{ step, ...(done !== undefined && { done }), ...(total !== undefined && { total }) },
    });
  }

  private tell(event: NewRunEvent): void {
    this.server?.tell(this.log.append(event));
  }
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
