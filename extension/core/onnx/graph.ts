import type { Shape } from "../base/shape.ts";

/** Name of a value that flows through a graph. */
export type Value = string & { readonly brand: "onnx value" };

/** Element types of graph values, as ONNX's TensorProto numbers them. */
export const onnxTypes = {
  float32: 1,
  uint8: 2,
  int8: 3,
  uint16: 4,
  int16: 5,
  int32: 6,
  int64: 7,
  string: 8,
  bool: 9,
  float16: 10,
  float64: 11,
  uint32: 12,
  uint64: 13,
  bfloat16: 16,
  float8e4m3fn: 17,
  float8e4m3fnuz: 18,
  float8e5m2: 19,
  float8e5m2fnuz: 20,
  uint4: 21,
  int4: 22,
  float4e2m1: 23,
  float8e8m0: 24,
  uint2: 25,
  int2: 26,
} as const;

export type OnnxType = keyof typeof onnxTypes;

/** Sizes of inputs that broadcast over a batch, or over the tokens of a pass: 1 or as many. */
export const perRow = "1|batch";
export const perToken = "1|seq";

/** A graph input or output. Dimensions are sizes or names of sizes that each run may choose. */
export interface Port {
  readonly name: Value;
  readonly type: OnnxType;
  readonly shape: readonly (number | string)[];
  /** True where a file does not even say how many dimensions there are. */
  readonly isUnranked?: boolean;
  /** Fields of a file that are only carried along. */
  readonly rest?: Uint8Array;
}

export type InitializerData =
  | { readonly kind: "inline"; readonly bytes: Uint8Array }
  | {
      readonly kind: "external";
      readonly file: string;
      readonly offset: number;
      readonly byteLength: number;
    }
  /** Values that are kept as a file spells them (strings): the fields of its TensorProto. */
  | { readonly kind: "encoded"; readonly fields: Uint8Array };

/** A constant tensor: small ones inline, weights as a byte range of the checkpoint file. */
export interface Initializer {
  readonly name: Value;
  readonly type: OnnxType;
  readonly shape: Shape;
  readonly data: InitializerData;
  /** Fields of a file that are only carried along. */
  readonly rest?: Uint8Array;
}

export type Attribute =
  | { readonly kind: "int"; readonly value: number }
  | { readonly kind: "float"; readonly value: number }
  | { readonly kind: "string"; readonly value: string }
  | { readonly kind: "ints"; readonly value: readonly number[] }
  | { readonly kind: "tensor"; readonly value: Initializer }
  | { readonly kind: "graph"; readonly value: Graph }
  /** Anything else, as the fields of its AttributeProto in a file. */
  | { readonly kind: "encoded"; readonly fields: Uint8Array };

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
  /** What exporters note about a node, e.g. the modules that it came from. */
  readonly metadata?: ReadonlyMap<string, string>;
  /** Fields of a file that are only carried along. */
  readonly rest?: Uint8Array;
}

/** What a model that was read from a file is written in; Graft's own graphs have none. */
export interface GraphFormat {
  readonly irVersion: number;
  readonly producer: string;
  readonly opsets: ReadonlyMap<string, number>;
  /** FunctionProto of each function that nodes call. */
  readonly functions: readonly Uint8Array[];
  readonly rest: Uint8Array;
}

/** A whole model as a value: nothing in it is changed after it was built; passes return new graphs. */
export interface Graph {
  readonly name: string;
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
  readonly initializers: readonly Initializer[];
  readonly nodes: readonly Node[];
  readonly format?: GraphFormat;
  /** Fields of a file that are only carried along (types of inner values, notes). */
  readonly rest?: Uint8Array;
}
