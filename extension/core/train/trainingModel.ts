/** A base with an adapter around it, ready to be trained: graphs, sessions and numbers. */
import { headOf, type Model } from "../models/model.ts";
import type { BaseCheckpoint } from "../checkpoint/baseCheckpoint.ts";
import type { Graph, Value } from "../onnx/graph.ts";
import { baseDropoutSeedName } from "../peft/trainable/names.ts";
import type {
  Allocator,
  ParameterValues,
  SavedForm,
  TrainableAdapter,
} from "../peft/trainable/trainable.ts";
import { int64Tensor, type SessionOptions, type Tensor } from "../session/ortSession.ts";
import { TrainingSession } from "../session/trainingSession.ts";
import { type Batch, ignored } from "./data/batch.ts";
import { lossFeeds } from "./lossFeeds.ts";
import type { LossKind } from "./losses.ts";
import { type Scores, scoresOf } from "./metrics.ts";
import { ModelFeeds } from "./modelFeeds.ts";
import type { TrainingOptions } from "./options.ts";
import { parameterGroups, type ParameterGroup } from "./parameterGroups.ts";
import { ParameterState } from "./parameterState.ts";
import { evaluationGraph, hasMetrics, stepGraph } from "./stepGraph.ts";
import { taskFeeds } from "./taskFeeds.ts";
import { updateGraph } from "./updateGraph.ts";

/** An adapter and the graphs that its hook was put into. */
export interface ModelParts {
  readonly adapter: TrainableAdapter;
  /** The model with the adapter as it is in training. */
  readonly model: Model;
  /** The same without dropout. */
  readonly evaluation: Model;
  /** What the parameters begin with. */
  readonly values: ParameterValues;
  /** What PEFT decides in silence as it reads an adapter to train on. */
  readonly warnings?: readonly string[];
  readonly loss: LossKind;
  /** Borders of blocks, for gradient checkpointing. */
  readonly checkpoints: readonly Value[];
  /** The base that the adapter is around, where it is not the one that was given (LoftQ). */
  readonly rounded?: RoundedBase;
  /** The largest vocabulary whose logits are made at once; 8,192 when absent. */
  readonly largestWidth?: number;
}

/** Weights that were made for a run. */
export interface RoundedBase {
  readonly checkpoint: BaseCheckpoint;
  /** Lets go of them; sessions are closed before. */
  dispose(): Promise<void>;
}

export class TrainingModel {
  /** After how many updates parameters were settled. */
  private settledAt = -1;
  /** What acts between steps, with what it remembers of them; null for most methods. */
  readonly allocator: Allocator | null;

  private constructor(
    readonly parts: ModelParts,
    readonly groups: readonly ParameterGroup[],
    readonly parameters: ParameterState,
    readonly session: TrainingSession,
    private readonly graphs: { readonly step: Graph; readonly evaluation: Graph },
    private readonly feeds: ModelFeeds,
  ) {
    this.allocator = parts.adapter.allocator?.() ?? null;
  }

  /** The adapter as its files have it now. */
  saved(): SavedForm {
    const values = this.parameters.values();
    const { parameters } = this.parts.adapter;
    return this.allocator?.saved(values) ?? { parameters, values, fields: {} };
  }

  static async create(
    parts: ModelParts,
    options: TrainingOptions,
    session: SessionOptions = {},
  ): Promise<TrainingModel> {
    const { adapter, model, loss } = parts;
    const trained = adapter.parameters.filter(({ isTrained }) => isTrained);
    const groups = parameterGroups(trained, {
      rate: options.learningRate,
      weightDecay: options.weightDecay,
      decayAll: options.weightDecayOn === "all",
      loraPlus: options.loraPlus,
    });
    const checkpoints = options.gradientCheckpointing ? parts.checkpoints : [];
    const { largestWidth } = parts;
    const form = { loss, ...(largestWidth !== undefined && { largestWidth }) };
    const { penalty } = adapter;
    const step = stepGraph(model, { ...form, groups, checkpoints, penalty });
    const evaluation = evaluationGraph(parts.evaluation, form);
    const update = updateGraph(groups.length, options.optimizer);
    const state = new ParameterState(adapter.parameters, groups, {
      optimizer: options.optimizer,
      values: parts.values,
    });
    const opened = await TrainingSession.create({ step, evaluation, update }, session);
    const feeds = new ModelFeeds(model, adapter);
    return new TrainingModel(parts, groups, state, opened, { step, evaluation }, feeds);
  }

  /** Terms of a batch's loss. */
  termsOf(batch: Batch): number {
    if (this.parts.loss !== "choice") return batch.rows;
    const { rows, length, labels, learnedTokens, answerLength } = batch;
    const { predictsFirst, virtualLabels = [] } = this.parts.adapter;
    const isNext =
      answerLength === undefined && headOf(this.parts.model).task === "language-modeling";
    if (!isNext) return learnedTokens;
    const own = virtualLabels.slice(1).filter(({ label }) => label !== ignored).length * rows;
    if (predictsFirst !== true) return learnedTokens + own;
    const firsts = Array.from({ length: rows }, (_, row) => labels[row * length] ?? ignored);
    return learnedTokens + own + firsts.filter((label) => label !== ignored).length;
  }

  /**
   * Adds a batch's gradients to those of the step.
   * @param at.share what each term counts
   * @returns the loss, weighted so
   */
  async step(batch: Batch, at: { share: number; seed: number }): Promise<number> {
    const { dropoutSeed } = this.parts.adapter;
    this.settle();
    const number = int64Tensor([at.seed], [1]);
    const seed = { [baseDropoutSeedName]: number, ...(dropoutSeed && { [dropoutSeed]: number }) };
    const feeds = this.feedsOf(batch, { graph: this.graphs.step, share: at.share, seed });
    const { loss, gradients } = await this.session.step(feeds);
    if (Number.isFinite(loss)) this.parameters.accumulate(gradients);
    return loss;
  }

  /**
   * One update by the gradients summed so far, and what the method does after it.
   * @returns the norm of all gradients before clipping
   */
  async update(at: { factor: number; limit: number }): Promise<number> {
    const { allocator, parameters, session } = this;
    const gradients = allocator && parameters.gradients();
    if (gradients) allocator.beforeUpdate?.(gradients);
    const norm = await parameters.update(session, at);
    if (!allocator || !gradients || !Number.isFinite(norm)) return norm;
    const clip = Math.min(1, at.limit / (norm + 1e-6));
    if (clip < 1) {
      for (const own of gradients.values())
        for (let i = 0; i < own.length; i++) own[i] = (own[i] as number) * clip;
    }
    const values = parameters.values();
    allocator.afterUpdate({ step: parameters.updates - 1, values, gradients });
    return norm;
  }

  /** What PEFT's forward writes into parameters, once after every update. */
  private settle(): void {
    const { settle } = this.parts.adapter;
    const { parameters } = this;
    if (!settle || this.settledAt === parameters.updates) return;
    this.settledAt = parameters.updates;
    for (const [name, own] of settle(parameters.values())) parameters.values().get(name)?.set(own);
  }

  /** Sum of a batch's terms. @param scores takes the model's answers, where it has labels */
  async evaluate(batch: Batch, scores: Scores | null = null): Promise<number> {
    this.settle();
    const graph = this.graphs.evaluation;
    const feeds = this.feedsOf(batch, { graph, share: 1, seed: {} });
    const { loss, logits } = await this.session.evaluate(feeds);
    const [labels, weights] = [feeds["labels"]?.data, feeds["weights"]?.data];
    if (logits && labels && weights) {
      scores?.add({ logits, labels: numbersIn(labels), weights: numbersIn(weights) });
    }
    return loss;
  }

  /** Counts answers of a model with labels; null for others. */
  scores(): Scores | null {
    const { model, loss } = this.parts;
    return hasMetrics(model) ? scoresOf(loss, headOf(model).width) : null;
  }

  private feedsOf(
    batch: Batch,
    at: { graph: Graph; share: number; seed: Record<string, Tensor> },
  ): Record<string, Tensor> {
    const { adapter, model, loss: kind, largestWidth } = this.parts;
    const labels = at.graph.inputs.find(({ name }) => name === "labels");
    const isChunked = kind === "choice" && labels?.shape.length === 2;
    const { virtualTokens = 0, answerTokens, virtualLabels, predictsFirst = false } = adapter;
    const virtual = { virtualTokens, answerTokens, virtualLabels, predictsFirst };
    const place = { model, kind, ...virtual, isChunked, largestWidth };
    const own = lossFeeds(batch, at.share, place);
    const others = { ...this.parameters.feeds(), ...own, ...taskFeeds(adapter, batch), ...at.seed };
    return this.feeds.feedsOf(batch, at.graph, others);
  }

  async dispose(): Promise<void> {
    await this.session.dispose();
    await this.parts.rounded?.dispose();
  }
}

function numbersIn(data: Tensor["data"]): Float64Array {
  return Float64Array.from(data as ArrayLike<number | bigint>, Number);
}
