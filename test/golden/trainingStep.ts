/** A step of training without a trainer: loss and gradients of a training form on a tiny decoder. */
import { withGradients } from "../../extension/core/autodiff/withGradients.ts";
import { describeBase } from "../../extension/core/baseModel.ts";
import { torchGenerator } from "../../extension/core/base/torchRandom.ts";
import type { AdapterConfig } from "../../extension/core/checkpoint/adapterConfig.ts";
import type { CausalModel } from "../../extension/core/models/causalModel.ts";
import { buildModel } from "../../extension/core/models/index.ts";
import { openCheckpoint } from "../../extension/core/models/openCheckpoint.ts";
import { GraphBuilder } from "../../extension/core/onnx/builder.ts";
import type { Graph, Value } from "../../extension/core/onnx/graph.ts";
import type { MethodBase } from "../../extension/core/peft/method.ts";
import { trainableMethodOf } from "../../extension/core/peft/trainable/index.ts";
import { taskIdsName } from "../../extension/core/peft/trainable/names.ts";
import type { TrainableAdapter } from "../../extension/core/peft/trainable/trainable.ts";
import {
  float32Tensor,
  int64Tensor,
  OrtSession,
  type Tensor,
} from "../../extension/core/session/ortSession.ts";

export interface TinyBase {
  readonly checkpoint: Awaited<ReturnType<typeof openCheckpoint>>;
  readonly base: MethodBase;
}

export async function openTiny(folder: string): Promise<TinyBase> {
  const checkpoint = await openCheckpoint(folder);
  return { checkpoint, base: describeBase(checkpoint) };
}

/** What a batch is fed as. */
export interface TinyBatch {
  /** [rows, length] */
  readonly ids: readonly (readonly number[])[];
  /** The same without what is not learned (-100). */
  readonly labels: readonly (readonly number[])[];
}

/** One run gives the loss and a gradient for every trained parameter. */
export class TrainingStep {
  private constructor(
    readonly adapter: TrainableAdapter,
    readonly values: Map<string, Float32Array>,
    private readonly session: OrtSession,
    private readonly model: CausalModel,
  ) {}

  static async create(
    { checkpoint, base }: TinyBase,
    config: AdapterConfig,
    { seed, isQuiet = false }: { seed: number; isQuiet?: boolean },
  ): Promise<TrainingStep> {
    const method = trainableMethodOf(config);
    await method.look?.(config, base);
    const adapter = method.prepare(config, base, { isQuiet });
    const random = torchGenerator(seed);
    const values = new Map(await method.initialize(adapter, base, { random }));
    const model = buildModel(checkpoint, adapter.hook, adapter.layers) as CausalModel;
    const session = await OrtSession.create(stepGraph(model, adapter), { threads: 1 });
    return new TrainingStep(adapter, values, session, model);
  }

  async run({ ids, labels }: TinyBatch): Promise<{
    loss: number;
    gradients: ReadonlyMap<string, Float32Array>;
  }> {
    const { adapter, model, values } = this;
    const before = adapter.virtualTokens ?? 0;
    const rows = ids.map((row) => [...Array<number>(before).fill(0), ...row]);
    const isFirstLearned = adapter.predictsFirst !== false;
    const wanted = labels.map((row) => [
      ...Array.from({ length: before }, (_, i) => adapter.virtualLabels?.[i]?.label ?? -100),
      ...row.map((label, i) => (i === 0 && !isFirstLearned ? -100 : label)),
    ]);
    const [batch, length] = [rows.length, rows[0]?.length ?? 0];
    const feeds: Record<string, Tensor> = {
      ...modelFeeds(model, rows),
      targets: int64Tensor(
        wanted.flatMap((row) => row.slice(1)),
        [batch, length - 1],
      ),
    };
    // Texts are of the tasks 1, 0, 1, …
    if (adapter.tasks !== undefined) {
      const tasks = rows.map((_, row) => (row + 1) % 2);
      feeds[taskIdsName] = int64Tensor(tasks, [batch]);
    }
    for (const { name, shape } of adapter.parameters)
      feeds[name] = float32Tensor(values.get(name) as Float32Array, shape);
    const made = await this.session.run(feeds);
    const gradients = adapter.parameters
      .filter(({ isTrained }) => isTrained)
      .map(({ name }) => [name, made[`grad.${name}`]?.data as Float32Array] as const);
    return {
      loss: (made["loss"]?.data as Float32Array)[0] as number,
      gradients: new Map(gradients),
    };
  }

  async dispose(): Promise<void> {
    await this.session.dispose();
  }
}

/** What a decoder's graph reads besides parameters (causalModel.ts): all tokens real, nothing cached. */
function modelFeeds(model: CausalModel, rows: readonly number[][]): Record<string, Tensor> {
  const [batch, length] = [rows.length, rows[0]?.length ?? 0];
  const feeds: Record<string, Tensor> = {
    input_ids: int64Tensor(rows.flat(), [batch, length]),
    position_ids: int64Tensor(
      rows.flatMap((row) => row.map((_, i) => i)),
      [batch, length],
    ),
    kv_sizes: int64Tensor([0, length], [2]),
    logits_rows: int64Tensor(
      Array.from({ length }, (_, i) => i),
      [length],
    ),
  };
  const queries = model.queriesPerKey * length;
  const mask = Float32Array.from({ length: batch * queries * length }, (_, i) =>
    i % length <= Math.floor(i / length) % length ? 0 : -3.4e38,
  );
  for (const { input } of model.masks)
    feeds[input] = float32Tensor(mask, [batch, 1, queries, length]);
  for (const { suffix, size, frequencies } of model.rotary) {
    const own = frequencies(length);
    const half = size / 2;
    for (const kind of ["cos", "sin"] as const) {
      const table = Float32Array.from({ length: length * half }, (_, i) =>
        Math[kind](Math.floor(i / half) * (own[i % half] as number)),
      );
      feeds[`rope_${kind}${suffix}`] = float32Tensor(table, [length, half]);
    }
  }
  const shape = [batch, model.keyValueHeads, 0, model.headDim];
  for (let layer = 0; layer < model.layers; layer++) {
    for (const part of ["key", "value"])
      feeds[`past_${part}.${layer}`] = float32Tensor(new Float32Array(0), shape);
  }
  return feeds;
}

function stepGraph(model: CausalModel, adapter: TrainableAdapter): Graph {
  const inner = model.graph;
  const g = new GraphBuilder();
  const ids = g.input("input_ids", "int64", ["batch", "seq"]);
  g.include(inner, new Map([["input_ids", ids]]));
  const targets = g.input("targets", "int64", ["batch", "seq - 1"]);
  const loss = crossEntropy(g, { logits: "logits" as Value, targets });
  const penalty = adapter.penalty?.(g) ?? null;
  const total = penalty === null ? loss : g.add(loss, penalty);
  g.output(total, "loss", "float32", []);
  const graph = g.build("step");
  const wrt = adapter.parameters.filter(({ isTrained }) => isTrained);
  return withGradients(graph, { loss: "loss" as Value, wrt: wrt.map(({ name }) => name as Value) });
}

/** Mean over targets that are not -100, of logits shifted against them. */
function crossEntropy(
  g: GraphBuilder,
  { logits, targets }: { logits: Value; targets: Value },
): Value {
  const scores = g.node("Slice", [logits, g.int64s([0]), g.int64s([-1]), g.int64s([1])])[0];
  const logProbabilities = g.node("LogSoftmax", [scores])[0];
  const isLearned = g.greaterOrEqual(targets, g.int64Scalar(0));
  const safe = g.unsqueeze(g.where(isLearned, targets, g.int64Scalar(0)), 2);
  const attributes = { axis: { kind: "int", value: 2 } } as const;
  const picked = g.squeeze(
    g.node("GatherElements", [logProbabilities, safe], { attributes })[0],
    2,
  );
  const weights = g.cast(isLearned, 1);
  const sum = (x: Value): Value =>
    g.node("ReduceSum", [x], { attributes: { keepdims: { kind: "int", value: 0 } } })[0];
  return g.node("Div", [g.node("Neg", [sum(g.mul(picked, weights))])[0], sum(weights)])[0];
}

/** torch's AdamW, tensor by tensor. */
export class AdamW {
  private step = 0;
  private readonly state = new Map<string, { m: Float64Array; v: Float64Array }>();

  constructor(private readonly options: { rate: number; decay: number }) {}

  update(values: Map<string, Float32Array>, gradients: ReadonlyMap<string, Float32Array>): void {
    const { rate, decay } = this.options;
    this.step++;
    const [one, two] = [1 - 0.9 ** this.step, 1 - 0.999 ** this.step];
    for (const [name, gradient] of gradients) {
      const own = values.get(name) as Float32Array;
      const made = this.state.get(name) ?? {
        m: new Float64Array(own.length),
        v: new Float64Array(own.length),
      };
      this.state.set(name, made);
      values.set(
        name,
        own.map((value, i) => {
          const d = gradient[i] as number;
          const m = 0.9 * (made.m[i] as number) + 0.1 * d;
          const v = 0.999 * (made.v[i] as number) + 0.001 * d * d;
          [made.m[i], made.v[i]] = [m, v];
          return value * (1 - rate * decay) - ((rate / one) * m) / (Math.sqrt(v / two) + 1e-8);
        }),
      );
    }
  }
}
