/** The loop of a run: batches to gradients, gradients to updates, and what happens in between. */
import { t } from "@vscode/l10n";
import { asGraftError, type GraftError } from "../base/errors.ts";
import { pause } from "../base/pause.ts";
import type { Batch, DataPosition, EpochPlan, Split } from "./data/batch.ts";
import type { Sample, TrainingEnd, TrainingEvent } from "./events.ts";
import { Gate, passed } from "./gate.ts";
import { notFinite } from "./notFinite.ts";
import type { TrainingOptions } from "./options.ts";
import type { Metrics } from "./metrics.ts";
import { epochPlan, runLength, type RunLength } from "./plan.ts";
import { type Schedule, scheduleOf } from "./schedule.ts";
import { logEvaluation, logStep, newHistory, type RunHistory } from "./trainerState.ts";
import type { TrainingModel } from "./trainingModel.ts";

/** What is done at the edges of a run: kept apart so that the loop knows no files. */
export interface TrainerHooks {
  readonly onEvent?: (event: TrainingEvent) => void;
  /** Saves a checkpoint and says where; called at the steps that the options name. */
  readonly save?: (trainer: Trainer) => Promise<string>;
  /** Answers of the model as it is, after an evaluation. */
  readonly samples?: (trainer: Trainer) => Promise<readonly Sample[]>;
  /** Where a checkpoint finds no room: the run pauses, and saves when it is resumed, instead of ending. */
  readonly waitsForRoom?: boolean;
}

interface StepSums {
  readonly loss: number;
  readonly norm: number;
  readonly tokens: number;
}

/** One run. Pausing and stopping are heard between steps, a signal between batches too. */
export class Trainer {
  readonly length: RunLength;
  history: RunHistory = newHistory();
  position: DataPosition = { epoch: 0, batch: 0 };
  /** Evaluations since the loss last fell. */
  patience = 0;
  private readonly schedule: Schedule;
  private plan: { readonly epoch: number; readonly plan: EpochPlan } | null = null;
  private isStopping = false;
  private isAskedToSave = false;
  /** The step whose state is on the disk, or need not be. */
  private saved = 0;
  private readonly gate = new Gate();

  constructor(
    readonly model: TrainingModel,
    readonly data: { readonly train: Split; readonly evaluation?: Split | null },
    readonly options: TrainingOptions,
    private readonly hooks: TrainerHooks = {},
  ) {
    this.length = runLength(this.planOf(0).batches, options);
    const { steps } = this.length;
    this.schedule = scheduleOf(options.schedule, { steps, rate: options.learningRate });
  }

  /** The schedule's factor on learning rates for the step that comes next. */
  get factor(): number {
    return this.schedule(this.history.step);
  }

  /** Waits before the next step until `resume`; what was learned so far is saved. */
  pause(): void {
    this.gate.close();
  }

  resume(): void {
    this.gate.open();
  }

  /** Saves a checkpoint after the step that is under way. */
  saveSoon(): void {
    this.isAskedToSave = true;
  }

  /** Ends the run after the step that is under way, which is saved. */
  stop(): void {
    this.isStopping = true;
    this.resume();
  }

  /**
   * Goes on from where the run stands to its end.
   * @throws cancelled when the signal fires; what was saved stays
   */
  async train(signal?: AbortSignal): Promise<TrainingEnd> {
    const started = performance.now();
    const sums = { loss: 0, steps: 0, tokens: 0 };
    let finish: TrainingEnd["finish"] | null = null;
    this.saved = this.history.step;
    while (finish === null) {
      await this.held(signal);
      if (this.isStopping) finish = "stopped";
      else if (this.history.step >= this.length.steps) finish = "done";
      else {
        const step = await this.step(signal);
        sums.loss += step.loss;
        sums.tokens += step.tokens;
        sums.steps++;
        const seconds = (performance.now() - started) / 1000;
        this.tellStep(step, { perSecond: sums.tokens / seconds, perStep: seconds / sums.steps });
        if (await this.afterStep(signal)) finish = "early";
      }
    }
    if (this.saved !== this.history.step) await this.save(signal);
    const { bestStep, bestLoss, step } = this.history;
    const loss = sums.steps === 0 ? 0 : sums.loss / sums.steps;
    const seconds = (performance.now() - started) / 1000;
    return { finish, step, loss, bestStep, bestLoss, seconds, tokens: sums.tokens };
  }

  /** Evaluates and saves where that is due. @returns whether the loss has stopped falling */
  private async afterStep(signal: AbortSignal | undefined): Promise<boolean> {
    const { evalSteps, saveSteps, loadBestModelAtEnd } = this.options;
    const isLast = loadBestModelAtEnd && evalSteps !== 0 && this.history.step >= this.length.steps;
    if (isLast || this.isDue(evalSteps)) await this.evaluateAndTell(signal);
    const isBest = loadBestModelAtEnd && this.history.bestStep === this.history.step;
    if (isBest || this.isDue(saveSteps)) await this.save(signal);
    return this.patience >= (this.options.earlyStopping?.patience ?? Infinity);
  }

  /** Saves as soon as the step that is under way is done; at once while the run is paused. */
  private async held(signal: AbortSignal | undefined): Promise<void> {
    const { closed } = this.gate;
    if (this.isAskedToSave || (closed && this.saved !== this.history.step)) await this.save(signal);
    this.isAskedToSave = false;
    if (closed) await this.wait(closed, signal);
  }

  private async wait(
    closed: Promise<void>,
    signal: AbortSignal | undefined,
    reason?: string,
  ): Promise<void> {
    const { step } = this.history;
    this.tell({ kind: "paused", step, ...(reason !== undefined && { reason }) });
    await passed(closed, signal);
    this.tell({ kind: "resumed", step });
  }

  /** Mean loss over the evaluation texts, and metrics of a model with labels. */
  async evaluate(data: Split, signal?: AbortSignal): Promise<{ loss: number; metrics: Metrics }> {
    const { evalBatchSize, batchSize, seed } = this.options;
    const plan = data.plan({
      epoch: 0,
      batchSize: evalBatchSize ?? batchSize,
      seed,
      isShuffled: false,
    });
    const scores = this.model.scores();
    let [sum, terms] = [0, 0];
    for (let i = 0; i < plan.batches; i++) {
      await pause(signal);
      const batch = plan.batch(i);
      sum += await this.model.evaluate(batch, scores);
      terms += this.model.termsOf(batch);
    }
    return { loss: terms === 0 ? 0 : sum / terms, metrics: scores?.finish() ?? {} };
  }

  /** The steps at which something is done: every so many, else at the end of every epoch. */
  private isDue(every: number | undefined): boolean {
    const steps = every ?? this.length.stepsPerEpoch;
    return steps > 0 && this.history.step % steps === 0;
  }

  /** One update, by the batches of a step. */
  private async step(signal: AbortSignal | undefined): Promise<StepSums> {
    const batches = this.nextBatches();
    const terms = batches.map((batch) => this.model.termsOf(batch));
    const all = terms.reduce((sum, count) => sum + count, 0);
    const isByToken = this.options.lossNormalization === "tokens";
    const shares = terms.map((own) => (isByToken ? all : own * batches.length));
    const number = this.history.step + 1;
    let loss = 0;
    for (const [i, batch] of batches.entries()) {
      await pause(signal);
      const share = shares[i] as number;
      const turn = (number - 1) * this.options.gradientAccumulation + i;
      const part = await this.model.step(batch, {
        share: share === 0 ? 0 : 1 / share,
        seed: dropoutSeed(this.options.seed, turn),
      });
      if (!Number.isFinite(part)) throw this.notANumber(t("The loss"), part);
      loss += part;
    }
    await pause(signal);
    const { maxGradNorm } = this.options;
    const limit = maxGradNorm > 0 ? maxGradNorm : Infinity;
    const norm = await this.model.update({ factor: this.factor, limit });
    if (!Number.isFinite(norm)) throw this.notANumber(t("The norm of the gradients"), norm);
    const tokens = batches.reduce((sum, batch) => sum + batch.tokens, 0);
    this.advance(batches.length, tokens);
    return { loss, norm, tokens };
  }

  private nextBatches(): Batch[] {
    const { epoch, batch } = this.position;
    const plan = this.planOf(epoch);
    const end = Math.min(plan.batches, batch + this.options.gradientAccumulation);
    return Array.from({ length: end - batch }, (_, i) => plan.batch(batch + i));
  }

  private planOf(epoch: number): EpochPlan {
    if (this.plan?.epoch !== epoch) {
      this.plan = { epoch, plan: epochPlan(this.data.train, epoch, this.options) };
    }
    return this.plan.plan;
  }

  private advance(batches: number, tokens: number): void {
    const { epoch, batch } = this.position;
    const next = batch + batches;
    const isOver = next >= this.planOf(epoch).batches;
    this.position = isOver ? { epoch: epoch + 1, batch: 0 } : { epoch, batch: next };
    this.history.step++;
    this.history.tokens += tokens;
  }

  private tellStep({ loss, norm }: StepSums, speed: { perSecond: number; perStep: number }): void {
    const { step, tokens } = this.history;
    const { steps, stepsPerEpoch } = this.length;
    const event = {
      kind: "step",
      step,
      steps,
      epoch: step / stepsPerEpoch,
      loss,
      learningRate: this.options.learningRate * this.schedule(step - 1),
      gradNorm: norm,
      tokens,
      tokensPerSecond: speed.perSecond,
      secondsLeft: (steps - step) * speed.perStep,
    } as const;
    logStep(this.history, event);
    this.tell(event);
  }

  private async evaluateAndTell(signal: AbortSignal | undefined): Promise<void> {
    const { evaluation } = this.data;
    if (!evaluation || evaluation.count === 0) return;
    const started = performance.now();
    const { loss, metrics } = await this.evaluate(evaluation, signal);
    if (!Number.isFinite(loss)) throw this.notANumber(t("The evaluation's loss"), loss);
    const { history } = this;
    const threshold = this.options.earlyStopping?.threshold ?? 0;
    const isBetter = history.bestLoss === null || loss < history.bestLoss - threshold;
    this.patience = isBetter ? 0 : this.patience + 1;
    const isBest = history.bestLoss === null || loss < history.bestLoss;
    if (isBest) {
      history.bestLoss = loss;
      history.bestStep = history.step;
    }
    const event = {
      kind: "evaluation",
      step: history.step,
      epoch: history.step / this.length.stepsPerEpoch,
      loss,
      ...(Object.keys(metrics).length > 0 && { metrics }),
      seconds: (performance.now() - started) / 1000,
      isBest,
    } as const;
    logEvaluation(history, event);
    this.tell(event);
    const samples = await this.hooks.samples?.(this);
    if (samples) this.tell({ kind: "samples", step: history.step, samples });
  }

  private async save(signal: AbortSignal | undefined): Promise<void> {
    if (!this.hooks.save) {
      this.saved = this.history.step;
      return;
    }
    const strange = this.model.parameters.notFinite();
    if (strange !== null) throw this.notANumber(strange, NaN);
    const folder = await this.saveOrWait(signal, this.hooks.save);
    this.saved = this.history.step;
    this.tell({ kind: "checkpoint", step: this.history.step, folder });
  }

  /** A run that may wait for room pauses where there is none, and tries again when it is resumed. */
  private async saveOrWait(
    signal: AbortSignal | undefined,
    save: (trainer: Trainer) => Promise<string>,
  ): Promise<string> {
    for (;;) {
      try {
        return await save(this);
      } catch (error) {
        const { code, message } = asGraftError(error);
        const mayWait = this.hooks.waitsForRoom === true && !this.isStopping;
        if (code !== "disk-full" || !mayWait) throw error;
        this.gate.close();
        await this.wait(this.gate.closed ?? Promise.resolve(), signal, message);
      }
    }
  }

  private tell(event: TrainingEvent): void {
    this.hooks.onEvent?.(event);
  }

  private notANumber(what: string, value: number): GraftError {
    const { history, position, options } = this;
    const { learningRate } = options;
    return notFinite({ what, value, step: history.step + 1, position, learningRate });
  }
}

/** Another number for every batch of a run, the same in every run of the same seed. */
function dropoutSeed(seed: number, turn: number): number {
  return (Math.imul(seed ^ 0x9e37_79b9, 0x85eb_ca6b) + Math.imul(turn + 1, 0xc2b2_ae35)) >>> 0;
}
