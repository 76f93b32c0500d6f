import { t } from "@vscode/l10n";
import type { Dtype } from "../base/dtype.ts";
import { badFile, unsupported } from "../base/errors.ts";
import { elementCount, isSameShape, type Shape, showShape } from "../base/shape.ts";
import type { BaseCheckpoint, WeightRef } from "../checkpoint/baseCheckpoint.ts";
import { sourceName } from "../checkpoint/modules.ts";
import { storedOrder } from "../checkpoint/openWeightFile.ts";
import type { WeightScale } from "../checkpoint/weightScale.ts";
import type { GraphBuilder } from "../onnx/builder.ts";
import { spread } from "../onnx/calculus.ts";
import { type OnnxType, onnxTypes, type Value } from "../onnx/graph.ts";

const storage: Partial<Record<Dtype, OnnxType>> = {
  F32: "float32",
  F16: "float16",
  BF16: "bfloat16",
  F64: "float64",
  F8_E4M3: "float8e4m3fn",
  F8_E5M2: "float8e5m2",
};

/** The shape of weights that a model is described without. */
export const anyShape: Shape = [-1];

type ScaledWeight = WeightRef & { readonly scale: WeightScale };

function isScaled(ref: WeightRef): ref is ScaledWeight {
  return ref.scale !== undefined;
}

/** A weight in the graph, in the type of its file. */
interface StoredWeight {
  readonly stored: Value;
  readonly type: OnnxType;
}

/** Weights of a checkpoint as values of a graph; ONNX Runtime maps them from their files. */
export class CheckpointWeights {
  constructor(
    readonly g: GraphBuilder,
    readonly checkpoint: BaseCheckpoint,
    /** The checkpoint's layer for each of the model's, where layers are repeated; else null. */
    readonly layers: readonly number[] | null,
  ) {}

  has(name: string): boolean {
    return this.checkpoint.weights.has(sourceName(name, this.layers));
  }

  /**
   * A weight as fp32 whatever it is stored in.
   * @throws bad-file when it is missing or of another shape; unsupported for its type
   */
  read(name: string, shape: Shape): Value {
    if (this.checkpoint.empty?.has(name)) {
      return this.g.float32s(name, new Float32Array(elementCount(shape)), shape);
    }
    const { stored, type, ref } = this.stored(name, shape);
    const value = type === "float32" ? stored : this.g.cast(stored, onnxTypes.float32);
    return isScaled(ref) ? this.scaled(value, name, ref) : value;
  }

  /** A weight in the type of its file, without its scales; throws as `read` does. */
  stored(asked: string, shape: Shape): StoredWeight & { ref: WeightRef } {
    const { checkpoint } = this;
    const name = sourceName(asked, this.layers);
    const ref = checkpoint.weights.get(name);
    if (!ref) {
      throw badFile(
        checkpoint.dir,
        t('tensor "{0}" is missing from the weights', name),
        t(
          "The {0} model that config.json describes has it: get both from one place.",
          checkpoint.config.modelType,
        ),
      );
    }
    if (ref.shape !== anyShape && !isSameShape(ref.shape, shape)) {
      throw badFile(
        ref.file,
        t(
          'tensor "{0}" is {1}, config.json asks for {2}',
          name,
          showShape(ref.shape),
          showShape(shape),
        ),
      );
    }
    return { ref, ...this.mapped(ref, name) };
  }

  /** An 8-bit weight [rows, columns] times its scales; ONNX Runtime folds it as the session is made. */
  private scaled(value: Value, name: string, { shape, scale }: ScaledWeight): Value {
    const { g } = this;
    const { values, count, block } = scale;
    const { stored, type } = this.mapped(values, `${name}_scale`);
    const exact = type === "float32" ? stored : g.cast(stored, onnxTypes.float32);
    const size = [shape[0] ?? 1, elementCount(shape.slice(1))];
    let scales = g.reshape(exact, count);
    for (const axis of [0, 1] as const) {
      if (count[axis] === 1) continue;
      scales = spread(g, scales, { axis, size: size[axis] as number, block: block[axis] });
    }
    return g.mul(value, scales);
  }

  /** A tensor as it is stored, mapped from its file; one that lies transposed is turned at load. */
  private mapped(ref: WeightRef, name: string): StoredWeight {
    const { dtype, file, offset, byteLength, shape, strides } = ref;
    const type = storage[dtype];
    if (!type) {
      throw unsupported(
        t('{0}: tensor "{1}" is {2}, which Graft does not run yet', file, ref.name, dtype),
      );
    }
    const data = { kind: "external", file, offset, byteLength } as const;
    if (!strides) return { stored: this.g.initializer(name, type, shape, data), type };
    const order = storedOrder(strides, shape);
    const lying = order.map((axis) => shape[axis] as number);
    const stored = this.g.initializer(name, type, lying, data);
    const turn = shape.map((_, axis) => order.indexOf(axis));
    return { stored: this.g.transpose(stored, turn), type };
  }
}
