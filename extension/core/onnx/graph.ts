import type { Shape } from "../base/shape.ts";

/** Name of a value that flows through a graph. */
export type Value = string & { readonly brand: "onnx value" };

/** Element types of graph values, as ONNX's TensorProto numbers them. */
export const onnxTypes = {
  float32: 1,
  uint8: 2,
  int8: 3,
  int32: 6,
  int64: 7,
  bool: 9,
  float16: 10,
  float64: 11,
  bfloat16: 16,
  float8e4m3fn: 17,
  float8e5m2: 19,
} as const;

export type OnnxType = keyof typeof onnxTypes;

/** A graph input or output. Dimensions are sizes or names of sizes that each run may choose. */
export interface Port {
  readonly name: Value;
  readonly type: OnnxType;
  readonly shape: readonly (number | string)[];
}

export type InitializerData =
  | { readonly kind: "inline"; readonly bytes: Uint8Array }
  | {
      readonly kind: "external";
      readonly file: string;
      readonly offset: number;
      readonly byteLength: number;
    };

/** A constant tensor: small ones inline, weights as a byte range of the checkpoint file. */
export interface Initializer {
  readonly name: Value;
  readonly type: OnnxType;
  readonly shape: Shape;
  readonly data: InitializerData;
}

export type Attribute =
  | { readonly kind: "int"; readonly value: number }
  | { readonly kind: "float"; readonly value: number }
  | { readonly kind: "string"; readonly value: string }
  | { readonly kind: "ints"; readonly value: readonly number[] };

export interface Node {
  readonly op: string;
  /** "" is ONNX itself; "com.microsoft" are ONNX Runtime's own operators. */
  readonly domain: string;
  readonly name: string;
  readonly inputs: readonly (Value | "")[];
  readonly outputs: readonly (Value | "")[];
  readonly attributes: Readonly<Record<string, Attribute>>;
  /** How PyTorch computes it where that is in steps, which 16-bit arithmetic rounds one by one. */
  readonly steps?: "power" | "product" | undefined;
}

/** A whole model as a value: nothing in it is changed after it was built; passes return new graphs. */
export interface Graph {
  readonly name: string;
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
  readonly initializers: readonly Initializer[];
  readonly nodes: readonly Node[];
}
