import * as ort from "onnxruntime-node";
import { GraftError } from "../base/errors.ts";
import { encodeModel } from "../onnx/protobuf.ts";
import type { Graph } from "../onnx/graph.ts";

export type Tensor = ort.Tensor;

/** The version of ONNX Runtime and where it runs, for people. */
export const runtimeLabel = `ONNX Runtime ${ort.env.versions.node ?? ort.env.versions.common}`;

export interface SessionOptions {
  /** Threads inside one operator; 0 lets ONNX Runtime take the machine's cores. */
  readonly threads?: number;
  /** Lay weights out for speed (a copy in memory); without it they stay mapped from disk. */
  readonly prepack?: boolean;
}

/**
 * One ONNX Runtime session over a graph. Creating and running block the thread (the binding is
 * synchronous), which is why all of this lives in the engine process.
 */
export class OrtSession {
  private constructor(private readonly session: ort.InferenceSession) {}

  static async create(graph: Graph, options: SessionOptions = {}): Promise<OrtSession> {
    const { bytes, externalFolder } = encodeModel(graph);
    const extra: Record<string, string> = {};
    if (externalFolder !== null)
      extra["model_external_initializers_file_folder_path"] = externalFolder;
    if (options.prepack === false) extra["disable_prepacking"] = "1";
    try {
      const session = await ort.InferenceSession.create(bytes, {
        executionProviders: ["cpu"],
        graphOptimizationLevel: "all",
        logSeverityLevel: 3,
        ...(options.threads ? { intraOpNumThreads: options.threads } : {}),
        extra: { session: extra },
      });
      return new OrtSession(session);
    } catch (error) {
      throw new GraftError(
        "internal",
        `ONNX Runtime refused the graph: ${(error as Error).message}`,
      );
    }
  }

  get inputNames(): readonly string[] {
    return this.session.inputNames;
  }

  /** @param outputs those wanted, all when absent; the others are not copied */
  async run(
    feeds: Record<string, Tensor>,
    outputs: readonly string[] = this.session.outputNames,
  ): Promise<Record<string, Tensor>> {
    return this.session.run(feeds, outputs);
  }

  async dispose(): Promise<void> {
    await this.session.release();
  }
}

/** Wraps memory as an fp32 tensor without a copy. */
export function float32Tensor(data: Float32Array, shape: readonly number[]): Tensor {
  return new ort.Tensor("float32", data, shape);
}

export function int64Tensor(values: readonly number[], shape: readonly number[]): Tensor {
  return new ort.Tensor("int64", BigInt64Array.from(values, BigInt), shape);
}
