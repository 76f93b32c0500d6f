/**
 * ONNX Runtime's adapter file, `.onnx_adapter`: a FlatBuffer of
 *
 *     Adapter   { format_version, adapter_version, model_version: int; parameters: [Parameter] }
 *     Parameter { name: string; dims: [int64]; data_type: int; raw_data: [uint8] (aligned to 8) }
 *
 * (onnxruntime/lora/adapter_format/adapter_schema.fbs; https://flatbuffers.dev/internals). Two tables
 * of four fields are all there is of it, and what reads a stranger's file must check every offset,
 * which FlatBuffers' package for JavaScript does not do: so it is read and written here.
 */
import type { Dtype } from "../base/dtype.ts";
import type { TensorData } from "../safetensors/write.ts";

/** Bytes 4 to 8 of every file. */
export const identifier = "TORT";

/** The one version that ONNX Runtime knows. */
export const formatVersion = 1;

/** FlatBuffers' own bound: offsets are 32 bits, and half of their range is kept. */
export const largestFile = 2 ** 31 - 1;

/** The fields of each table in their order; tables of both kinds have four. */
export const adapterFields = {
  formatVersion: 0,
  adapterVersion: 1,
  modelVersion: 2,
  parameters: 3,
} as const;
export const parameterFields = { name: 0, dims: 1, dataType: 2, rawData: 3 } as const;

/** ONNX's TensorProto.DataType of the types that Graft has names for. */
export const dataTypes: ReadonlyMap<number, Dtype> = new Map<number, Dtype>([
  [1, "F32"],
  [2, "U8"],
  [3, "I8"],
  [4, "U16"],
  [5, "I16"],
  [6, "I32"],
  [7, "I64"],
  [9, "BOOL"],
  [10, "F16"],
  [11, "F64"],
  [12, "U32"],
  [13, "U64"],
  [16, "BF16"],
]);

/** A parameter in memory. */
export type Parameter = TensorData & { readonly bytes: Uint8Array };

export interface OrtAdapter {
  /** The adapter's and the model's own version numbers; ONNX Runtime does not compare them. */
  readonly adapterVersion: number;
  readonly modelVersion: number;
  readonly parameters: readonly Parameter[];
}
