/** The loss's mean derivative by weights of the base (PEFT tuners/lora/loraga.py, estimate_gradients). */
import { t } from "@vscode/l10n";
import { badRequest } from "../../base/errors.ts";
import { pause } from "../../base/pause.ts";
import type { OnProgress } from "../../base/progress.ts";
import { elementCount, type Shape } from "../../base/shape.ts";
import type { CausalModel } from "../../models/causalModel.ts";
import type { EncoderModel } from "../../models/encoderModel.ts";
import type { Value } from "../../onnx/graph.ts";
import { bareLayers, oneByOne } from "../../onnx/layerHook.ts";
import {
  float32Tensor,
  OrtSession,
  type SessionOptions,
  type Tensor,
} from "../../session/ortSession.ts";
import type { EpochPlan } from "../data/batch.ts";
import { lossFeeds } from "../lossFeeds.ts";
import type { LossKind } from "../losses.ts";
import { ModelFeeds } from "../modelFeeds.ts";
import { stepGraph } from "../stepGraph.ts";
import { addFinite } from "./addFinite.ts";
import { inParts } from "./inParts.ts";
import type { ModelMaker } from "./layerInputs.ts";

/** Texts whose gradients are averaged: as many as a few usual batches have. */
const gradientTexts = 64;

/** A targeted layer, [out, in]. */
export interface WeightedLayer {
  readonly path: string;
  readonly shape: Shape;
}

export interface GradientOptions {
  readonly build: ModelMaker;
  readonly loss: LossKind;
  readonly plan: EpochPlan;
  readonly batchSize: number;
  readonly session?: SessionOptions | undefined;
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Gradients of a few layers at a time: as many as there is room for beside a step. */
export class WeightGradients {
  private readonly parts: readonly (readonly WeightedLayer[])[];
  private made = new Map<string, Float32Array>();
  private done = 0;

  constructor(
    private readonly layers: readonly WeightedLayer[],
    private readonly options: GradientOptions,
  ) {
    // What is fed, what the run gives back, and the sum.
    this.parts = inParts(layers, ({ shape }) => 12 * elementCount(shape));
  }

  /** [out, in] */
  async of(path: string): Promise<Float32Array> {
    const known = this.made.get(path);
    if (known) return known;
    const part = this.parts.find((each) => each.some((own) => own.path === path));
    if (!part) throw new Error(`${path} is not among the layers whose gradients are asked for`);
    this.made = await this.measure(part);
    return this.made.get(path) as Float32Array;
  }

  private async measure(part: readonly WeightedLayer[]): Promise<Map<string, Float32Array>> {
    const { plan, batchSize, session, onProgress, signal } = this.options;
    const batches = Math.min(plan.batches, Math.max(1, Math.ceil(gradientTexts / batchSize)));
    const step = this.stepOf(part);
    const opened = await OrtSession.create(step.graph, {
      ...session,
      ...{ prepack: false, plansMemory: false },
    });
    const sums = part.map(({ shape }) => new Float32Array(elementCount(shape)));
    try {
      for (let i = 0; i < batches; i++) {
        await pause(signal);
        const share = Math.floor(this.done + (part.length * i) / batches);
        onProgress?.({
          step: t("Preparing {0}: {1} of {2}", "LoRA-GA", share, this.layers.length),
        });
        const results = await opened.run(step.feeds(plan.batch(i)));
        sums.forEach((sum, at) => {
          addTo(sum, results[`gradients.${at}`]?.data as Float32Array, part[at]?.path ?? "");
        });
      }
    } finally {
      await opened.dispose();
    }
    this.done += part.length;
    for (const sum of sums)
      for (let i = 0; i < sum.length; i++) sum[i] = (sum[i] as number) / batches;
    return new Map(part.map(({ path }, i) => [path, sums[i] as Float32Array]));
  }

  /** A step in which W + D stands in the place of W, D being 0: what D's derivative is, W's is. */
  private stepOf(part: readonly WeightedLayer[]): {
    graph: ReturnType<typeof stepGraph>;
    feeds: (batch: ReturnType<EpochPlan["batch"]>) => Record<string, Tensor>;
  } {
    const { build, loss: kind } = this.options;
    const own = new Map(part.map((layer) => [layer.path, layer]));
    const model = build({
      ...bareLayers,
      linears: (g, group, layers) => {
        if (!group.modules.some(({ path }) => own.has(path))) return layers.base(layers.x);
        const outputs = oneByOne(g, group, layers.base(layers.x));
        return group.modules.map(({ path }, i) => {
          const layer = own.get(path);
          const y = outputs[i] as Value;
          if (!layer) return y;
          const change = g.input(changeOf(path), "float32", layer.shape);
          return g.add(y, g.matMulTransposed(layers.x, change));
        });
      },
    }) as CausalModel | EncoderModel;
    const tensors = part.map(({ path, shape }) => ({ name: changeOf(path), shape }));
    const groups = tensors.map((tensor) => ({
      ...{ tensors: [tensor], size: elementCount(tensor.shape), rate: 0, weightDecay: 0 },
    }));
    const graph = stepGraph(model, { loss: kind, groups });
    const feeds = new ModelFeeds(model);
    const zeros = Object.fromEntries(
      tensors.map(({ name, shape }) => {
        return [name, float32Tensor(new Float32Array(elementCount(shape)), shape)];
      }),
    );
    const isChunked = graph.inputs.some(
      ({ name, shape }) => name === "labels" && shape[0] === "parts",
    );
    const place = { model, kind, virtualTokens: 0, predictsFirst: false, isChunked };
    return {
      graph,
      feeds: (batch) => {
        const terms = kind === "choice" ? batch.learnedTokens : batch.rows;
        const others = { ...zeros, ...lossFeeds(batch, terms === 0 ? 0 : 1 / terms, place) };
        return feeds.feedsOf(batch, graph, others);
      },
    };
  }
}

function changeOf(path: string): string {
  return `change.${path}`;
}

function addTo(sum: Float32Array, values: Float32Array, path: string): void {
  if (addFinite(sum, values)) return;
  throw badRequest(t("LoRA-GA: the gradient of {0} holds NaN or infinite values.", path));
}
