import { t } from "@vscode/l10n";
import * as ort from "onnxruntime-node";
import { badFile, GraftError, unsupported } from "../base/errors.ts";
import { elementCount } from "../base/shape.ts";
import { encodeModel } from "../onnx/protobuf.ts";
import { valueShapes } from "../onnx/shapes.ts";
import type { Graph, OnnxType } from "../onnx/graph.ts";
import { deviceFor, threadsFor } from "./deviceProbe.ts";
import { type Device, type DeviceReport, type DeviceWish, fallback } from "./devices.ts";
import { longNamed, type ShortNamed, withShortNames } from "./shortNames.ts";

export type Tensor = ort.Tensor;

/** The version of ONNX Runtime and where it runs, for people. */
export const runtimeLabel = `ONNX Runtime ${ort.env.versions.node ?? ort.env.versions.common}`;

export interface SessionOptions {
  /** Where to run; the CPU when absent. */
  readonly device?: DeviceWish;
  /** Threads inside one operator; when absent or 0 they follow the cores that this process may use. */
  readonly threads?: number;
  /** Lay weights out for speed (a copy in memory); without it they stay mapped from disk. */
  readonly prepack?: boolean;
  /**
   * Keep the place of every value once a run's shapes were seen. It costs a block of memory beside
   * what the first run of these shapes took: false where values inside are large or shapes vary.
   */
  readonly plansMemory?: boolean;
  /** Keep freed memory for the next values: faster where thousands of large ones come and go in a run. */
  readonly hasArena?: boolean;
}

/**
 * Microseconds that threads wait for work before they sleep: longer than what lies between two tokens. By itself ONNX
 * Runtime spins for some 40 ms, in which a draft model, or the next model, finds the cores taken.
 */
const spinning = "1000";

/**
 * One ONNX Runtime session over a graph. Creating and running block the thread (the binding is
 * synchronous), which is why all of this lives in the engine process.
 */
export class OrtSession {
  /** The feeds of a run by the names that they have inside. */
  private readonly fed: Record<string, Tensor | undefined> = {};

  private constructor(
    private readonly session: ort.InferenceSession,
    readonly device: DeviceReport,
    private readonly names: ShortNamed["names"] = null,
  ) {}

  /** What the device cannot take runs on the CPU, which the report then says. */
  static async create(whole: Graph, options: SessionOptions = {}): Promise<OrtSession> {
    const place = await deviceFor(options.device ?? "cpu");
    const { graph, names } = withShortNames(whole);
    // A graph that was read from a file says itself what it knows of its values.
    const encoded = encodeModel(graph, graph.format ? [] : valueShapes(graph));
    const threads = await threadsFor(options.threads);
    const open = (device: Device): Promise<ort.InferenceSession> =>
      ort.InferenceSession.create(
        encoded.bytes,
        sessionOptions(device, { ...options, threads, folder: encoded.externalFolder }),
      );
    try {
      return new OrtSession(await open(place.used), place, names);
    } catch (error) {
      if (place.used === "cpu") throw refused(error);
      const session = await open("cpu").catch((second: unknown) => {
        throw refused(second);
      });
      return new OrtSession(session, fallback(place, error), names);
    }
  }

  /** Opens a model file on the CPU; its external data lies beside it. */
  static async open(
    file: string,
    options: Pick<SessionOptions, "threads"> = {},
  ): Promise<OrtSession> {
    const place = await deviceFor("cpu");
    const threads = await threadsFor(options.threads);
    try {
      const at = sessionOptions(place.used, { threads, folder: null });
      return new OrtSession(await ort.InferenceSession.create(file, at), place);
    } catch (error) {
      throw badFile(file, t("ONNX Runtime does not open it ({0})", (error as Error).message));
    }
  }

  get inputNames(): readonly string[] {
    return this.names?.map(({ long }) => long) ?? this.session.inputNames;
  }

  /** @param outputs those wanted, all when absent; the others are not copied */
  async run(
    feeds: Record<string, Tensor>,
    outputs: readonly string[] = this.session.outputNames,
  ): Promise<Record<string, Tensor>> {
    const { names, fed, session } = this;
    if (names === null) return session.run(feeds, outputs);
    for (const { long, short } of names) fed[short] = feeds[long];
    try {
      // One that is missing is refused, by its name.
      return await session.run(fed as Record<string, Tensor>, outputs);
    } catch (error) {
      throw new Error(longNamed((error as Error).message, names), { cause: error });
    }
  }

  async dispose(): Promise<void> {
    await this.session.release();
  }
}

function sessionOptions(
  device: Device,
  at: {
    threads: number;
    prepack?: boolean;
    plansMemory?: boolean;
    hasArena?: boolean;
    folder: string | null;
  },
): ort.InferenceSession.SessionOptions {
  const extra: Record<string, string> = { "intra_op.spin_duration_us": spinning };
  if (at.folder !== null) extra["model_external_initializers_file_folder_path"] = at.folder;
  if (at.prepack === false) extra["disable_prepacking"] = "1";
  return {
    executionProviders: [device],
    graphOptimizationLevel: "all",
    logSeverityLevel: 3,
    ...(at.threads > 0 && { intraOpNumThreads: at.threads }),
    // An arena keeps the most that any run has needed, rounded up to a power of two; decoding gains nothing.
    enableCpuMemArena: at.hasArena === true,
    // DirectML has no plan of memory.
    ...((device === "dml" || at.plansMemory === false) && { enableMemPattern: false }),
    extra: { session: extra },
  };
}

function refused(error: unknown): GraftError {
  return new GraftError(
    "internal",
    t("ONNX Runtime refused the graph: {0}", (error as Error).message),
  );
}

/** Wraps memory as an fp32 tensor without a copy. */
export function float32Tensor(data: Float32Array, shape: readonly number[]): Tensor {
  return new ort.Tensor("float32", data, shape);
}

export function int64Tensor(values: readonly number[], shape: readonly number[]): Tensor {
  return new ort.Tensor("int64", BigInt64Array.from(values, BigInt), shape);
}

export function float64Tensor(values: Float64Array, shape: readonly number[]): Tensor {
  return new ort.Tensor("float64", values, shape);
}

/** A tensor of one of the types that exports have for ids, masks and caches; 0 stands for zeros. */
export function plainTensor(
  type: OnnxType,
  values: readonly number[] | Float32Array | Uint16Array | 0,
  shape: readonly number[],
): Tensor {
  const list = values === 0 ? new Float32Array(elementCount(shape)) : values;
  switch (type) {
    case "int64":
      return new ort.Tensor("int64", BigInt64Array.from(list, BigInt), shape);
    case "int32":
      return new ort.Tensor("int32", Int32Array.from(list), shape);
    case "bool":
      return new ort.Tensor("bool", Uint8Array.from(list), shape);
    case "float16": {
      const data = list instanceof Uint16Array ? list : new Uint16Array(elementCount(shape));
      return new ort.Tensor("float16", data, shape);
    }
    case "float32":
      return new ort.Tensor("float32", Float32Array.from(list), shape);
    default:
      throw unsupported(t("Graft does not feed inputs of the type {0}", type));
  }
}
