import { elementCount } from "../base/shape.ts";
import type { Initializer, OnnxType } from "../onnx/graph.ts";
import { type GraphIndex, intOf } from "./graphIndex.ts";

/** A constant matrix and how its numbers are stored. */
export type WeightSource = {
  /** [rows, columns] as the values stand, before `isTurned`. */
  readonly shape: readonly [number, number];
  /** True where the graph reads it transposed. */
  readonly isTurned: boolean;
} & (
  | { readonly kind: "plain"; readonly tensor: Initializer }
  /** (value − zero) · scale, one scale for all, a row or column (`axis`), or a block along `axis`. */
  | {
      readonly kind: "scaled";
      readonly tensor: Initializer;
      readonly scales: Initializer;
      readonly zeros: Initializer | null;
      readonly axis: number;
      /** Entries along `axis` that share a scale; 0 for one scale an entry. */
      readonly block: number;
    }
  /** Rows in blocks of packed integers, as MatMulNBits has them: low bits first. */
  | {
      readonly kind: "packed";
      readonly tensor: Initializer;
      readonly scales: Initializer;
      readonly zeros: Initializer | null;
      readonly bits: number;
      readonly block: number;
    }
);

const floats = new Set<OnnxType>(["float32", "float16", "bfloat16", "float64"]);

/** Type of the numbers that a weight stands for. */
export function weightType(source: WeightSource): OnnxType {
  return source.kind === "plain" ? source.tensor.type : source.scales.type;
}

/** [rows, columns] as the graph sees the matrix. */
export function seenShape({ shape, isTurned }: WeightSource): readonly [number, number] {
  return isTurned ? [shape[1], shape[0]] : shape;
}

export function turned(source: WeightSource): WeightSource {
  return { ...source, isTurned: !source.isTurned };
}

/**
 * The constant matrix that a value is, through the nodes that exporters put behind one: Identity,
 * Cast, Transpose, DequantizeLinear. Null for what is computed or is no matrix.
 */
export function weightSource(index: GraphIndex, value: string | undefined): WeightSource | null {
  const tensor = index.constant(value);
  if (tensor) {
    if (!floats.has(tensor.type)) return null;
    const shape = matrixShape(tensor);
    return shape && { kind: "plain", tensor, shape, isTurned: false };
  }
  const maker = value === undefined ? undefined : index.makers.get(value);
  switch (maker?.op) {
    case "Identity":
    case "Cast":
      return weightSource(index, maker.inputs[0]);
    case "Transpose": {
      const inner = weightSource(index, maker.inputs[0]);
      return inner && turned(inner);
    }
    case "DequantizeLinear": {
      const [values, scales, zeros] = maker.inputs.slice(0, 3).map((name) => index.constant(name));
      const shape = values && matrixShape(values);
      if (!shape || !scales) return null;
      const axis = (intOf(maker, "axis", 1) + 2) % 2;
      const block = intOf(maker, "block_size", 0);
      const common = { tensor: values, scales, zeros: zeros ?? null, axis, block };
      return { kind: "scaled", ...common, shape, isTurned: false };
    }
    default:
      return null;
  }
}

function matrixShape({ shape }: Initializer): readonly [number, number] | null {
  return shape.length === 2 ? [shape[0] as number, shape[1] as number] : null;
}

/** A constant vector of so many entries. */
export function vectorOf(
  index: GraphIndex,
  value: string | undefined,
  size: number,
): Initializer | null {
  const tensor = index.constant(value);
  const isVector = tensor && tensor.shape.at(-1) === size && elementCount(tensor.shape) === size;
  return isVector ? tensor : null;
}
