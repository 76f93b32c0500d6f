import type { Graph } from "../onnx/graph.ts";
import { OrtSession, type SessionOptions, type Tensor } from "./ortSession.ts";

/** The graphs of a run. */
export interface TrainingGraphs {
  /** Outputs `loss` and `gradients.<group>`. */
  readonly step: Graph;
  /** Outputs `next.<state>.<group>` and `norm`. */
  readonly update: Graph;
  /** Output `loss`; its session is made when it is first asked for. */
  readonly evaluation: Graph;
}

type Feeds = Record<string, Tensor>;

/** Sums of losses and gradients of one micro-batch. */
export interface StepResult {
  readonly loss: number;
  /** For each group [size]. */
  readonly gradients: readonly Float32Array[];
}

/** The sessions of a training run: gradients, update, and evaluation once it is wanted. */
export class TrainingSession {
  private evaluation: OrtSession | null = null;

  private constructor(
    private readonly graphs: TrainingGraphs,
    private readonly options: SessionOptions,
    private readonly stepSession: OrtSession,
    private readonly updateSession: OrtSession,
  ) {}

  static async create(graphs: TrainingGraphs, wish: SessionOptions = {}): Promise<TrainingSession> {
    // Weights that stay mapped (laid out anew they would stand in memory once a session), and no plan of
    // memory: shapes vary from batch to batch.
    const options = { ...wish, prepack: false, plansMemory: false };
    const step = await OrtSession.create(graphs.step, { ...options, hasArena: true });
    try {
      const update = await OrtSession.create(graphs.update, options);
      return new TrainingSession(graphs, options, step, update);
    } catch (error) {
      await step.dispose();
      throw error;
    }
  }

  async step(feeds: Feeds): Promise<StepResult> {
    const results = await this.stepSession.run(feeds);
    const groups = this.graphs.step.outputs.filter(({ name }) => name.startsWith("gradients."));
    return {
      loss: numbersOf(results, "loss")[0] as number,
      gradients: groups.map(({ name }) => numbersOf(results, name)),
    };
  }

  /** @returns outputs by their names */
  async update(feeds: Feeds): Promise<ReadonlyMap<string, Float32Array>> {
    const results = await this.updateSession.run(feeds);
    return new Map(Object.keys(results).map((name) => [name, numbersOf(results, name)]));
  }

  /** The loss of a batch, without gradients, and logits where the graph gives them. */
  async evaluate(feeds: Feeds): Promise<{ loss: number; logits: Float32Array | null }> {
    this.evaluation ??= await OrtSession.create(this.graphs.evaluation, this.options);
    const results = await this.evaluation.run(feeds);
    const logits = results["logits"] ? numbersOf(results, "logits") : null;
    return { loss: numbersOf(results, "loss")[0] as number, logits };
  }

  async dispose(): Promise<void> {
    await this.stepSession.dispose();
    await this.updateSession.dispose();
    await this.evaluation?.dispose();
    this.evaluation = null;
  }
}

function numbersOf(results: Feeds, name: string): Float32Array {
  return (results[name] as Tensor).data as Float32Array;
}
