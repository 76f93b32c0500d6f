/** What a base's layers read as texts go through it: the data of initialisations that look at inputs. */
import { int } from "../../onnx/attributes.ts";
import { GraphBuilder } from "../../onnx/builder.ts";
import type { Graph, Value } from "../../onnx/graph.ts";
import { bareLayers, type LayerHook } from "../../onnx/layerHook.ts";
import type { CausalModel } from "../../models/causalModel.ts";
import type { EncoderModel } from "../../models/encoderModel.ts";
import type { Model } from "../../models/model.ts";
import { int64Tensor, OrtSession, type SessionOptions } from "../../session/ortSession.ts";
import type { Batch } from "../data/batch.ts";
import { joinHead, splitHead } from "../head.ts";
import { ModelFeeds } from "../modelFeeds.ts";
import { whatIsRead, withoutPast } from "../wholeSequences.ts";

/** Layers that read the same value. */
export interface SharedInput {
  /** In the model's order. */
  readonly paths: readonly string[];
  /** Features. */
  readonly size: number;
  readonly value: Value;
}

/** A base without adapter, with names for what its layers read. */
export interface ObservedModel {
  readonly graph: Graph;
  readonly model: CausalModel | EncoderModel;
  readonly inputs: readonly SharedInput[];
}

/** Builds a base around a hook. */
export type ModelMaker = (hook: LayerHook) => Model;

/** @param paths of the linear layers that are looked at */
export function observeInputs(build: ModelMaker, paths: ReadonlySet<string>): ObservedModel {
  const seen = new Map<Value, { paths: string[]; size: number; value: Value }>();
  const model = build({
    ...bareLayers,
    linears: (g, group, layers) => {
      const own = group.modules.filter(({ path }) => paths.has(path));
      const [first] = own;
      if (!first) return layers.base(layers.x);
      // A name that no later pass over the graph takes away.
      const value = seen.get(layers.x)?.value ?? g.node("Identity", [layers.x])[0];
      const known = seen.get(layers.x) ?? { paths: [], size: first.in, value };
      known.paths.push(...own.map(({ path }) => path));
      seen.set(layers.x, known);
      return layers.base(value);
    },
  });
  const whole = withoutPast(model.graph);
  const head = splitHead(whole);
  const graph = head ? joinHead(whole, head) : whole;
  return { graph, model: model as CausalModel | EncoderModel, inputs: [...seen.values()] };
}

/** Of each input its rows at chosen tokens, or what they add to the layer's covariance. */
export type Observation = "rows" | "covariance";

/** A session that runs as much of a base as leads to some of its inputs. */
class InputSession {
  private constructor(
    private readonly session: OrtSession,
    private readonly graph: Graph,
    private readonly feeds: ModelFeeds,
    readonly inputs: readonly SharedInput[],
  ) {}

  static async open(
    observed: ObservedModel,
    inputs: readonly SharedInput[],
    at: { observation: Observation; session?: SessionOptions | undefined },
  ): Promise<InputSession> {
    const graph = observationGraph(observed, inputs, at.observation);
    const options = { ...at.session, prepack: false, plansMemory: false };
    const session = await OrtSession.create(graph, options);
    return new InputSession(session, graph, new ModelFeeds(observed.model), inputs);
  }

  /** @param places tokens that count, of [rows · length]; never none */
  async run(batch: Batch, places: readonly number[]): Promise<Float32Array[]> {
    const all = Array.from({ length: batch.rows * batch.length }, (_, i) => i);
    const feeds = this.feeds.feedsOf(batch, this.graph, {
      places: int64Tensor(places, [places.length]),
      logits_rows: int64Tensor(all, [all.length]),
    });
    const results = await this.session.run(feeds);
    return this.inputs.map((_, i) => results[outputName(i)]?.data as Float32Array);
  }

  dispose(): Promise<void> {
    return this.session.dispose();
  }
}

/** Sessions over one base, of which the last stays open for whoever asks for the same again. */
export class InputSessions {
  private last: { key: string; session: InputSession } | null = null;

  constructor(
    private readonly observed: ObservedModel,
    private readonly at: { observation: Observation; session?: SessionOptions | undefined },
  ) {}

  async for(inputs: readonly SharedInput[]): Promise<InputSession> {
    const key = inputs.map(({ value }) => value).join(" ");
    if (this.last?.key === key) return this.last.session;
    await this.dispose();
    const session = await InputSession.open(this.observed, inputs, this.at);
    this.last = { key, session };
    return session;
  }

  async dispose(): Promise<void> {
    const { last } = this;
    this.last = null;
    await last?.session.dispose();
  }
}

function outputName(i: number): string {
  return `observed.${i}`;
}

function observationGraph(
  { graph }: ObservedModel,
  inputs: readonly SharedInput[],
  observation: Observation,
): Graph {
  const g = new GraphBuilder();
  g.adopt(graph);
  for (const node of graph.nodes) g.keep(node);
  const places = g.input("places", "int64", ["places"]);
  inputs.forEach(({ value, size }, i) => {
    const rows = g.scope("observed", () => g.gather(g.reshape(value, [-1, size]), places));
    if (observation === "rows") g.output(rows, outputName(i), "float32", ["places", size]);
    else {
      const own = g.scope("observed", () => covarianceOf(g, rows));
      g.output(own, outputName(i), "float32", [size, size]);
    }
  });
  return whatIsRead(g.build(graph.name));
}

/** xᵀ x of rows over the size of their largest number (PEFT lora/corda.py, calib_cov_distribution). */
function covarianceOf(g: GraphBuilder, rows: Value): Value {
  const largest = g.node("ReduceMax", [rows], { attributes: { keepdims: int(0) } })[0];
  const scaled = g.node("Div", [rows, g.node("Abs", [largest])[0]])[0];
  return g.matMul(g.transpose(scaled, [1, 0]), scaled);
}

/** Tokens of a batch that are no padding, and of which something is learned where that is asked for. */
export function placesOf(
  { attentionMask, labels }: Batch,
  isLearned: ((label: number) => boolean) | null = null,
): number[] {
  const hasLabels = labels.length === attentionMask.length;
  const places: number[] = [];
  attentionMask.forEach((real, i) => {
    const counts = isLearned === null || !hasLabels || isLearned(labels[i] as number);
    if (real === 1 && counts) places.push(i);
  });
  return places;
}
