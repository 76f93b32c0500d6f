/**
 * GGUF, llama.cpp's file format (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md), as far as
 * adapters need it: "GGUF", version, counts, keys with typed values, tensor infos, tensor data. The
 * packages that read it (@huggingface/gguf) parse whole models over HTTP and write nothing.
 */
import type { FloatDtype } from "../base/dtype.ts";

export const magic = "GGUF";

/** What is written; 2 has the same layout, 1 had shorter lengths. */
export const currentVersion = 3;

/** Where tensors begin, unless `general.alignment` says otherwise. */
export const defaultAlignment = 32;

/** Sizes in bytes of the scalar value types by number. */
export const scalarSizes: ReadonlyMap<number, number> = new Map([
  [0, 1],
  [1, 1],
  [2, 2],
  [3, 2],
  [4, 4],
  [5, 4],
  [6, 4],
  [7, 1],
  [10, 8],
  [11, 8],
  [12, 8],
]);

export const valueTypes = { uint32: 4, float32: 6, string: 8, array: 9 } as const;

/** ggml's numbers of the element types that are not quantized. */
export const floatTypes: ReadonlyMap<number, FloatDtype> = new Map<number, FloatDtype>([
  [0, "F32"],
  [1, "F16"],
  [30, "BF16"],
  [28, "F64"],
]);

/** A value that adapters have; other types are read over. */
export type Value = string | number | readonly number[] | null;
