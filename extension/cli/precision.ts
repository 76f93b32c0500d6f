import { badRequest } from "../core/base/errors.ts";
import { showBytes } from "../core/base/progress.ts";
import type { BaseModel } from "../core/baseModel.ts";
import type { PrecisionOptions } from "../core/precision.ts";
import { precisions } from "../core/quant/plan.ts";
import { defaultQuantCacheDir } from "../core/quantCache.ts";
import { oneOf } from "./arguments.ts";

/** Options of every verb that loads a base to run it. */
export const precisionOptions = {
  precision: { type: "string" },
  quantization: { type: "string" },
  "double-quant": { type: "boolean", default: false },
  "block-size": { type: "string" },
} as const;

/** What the terminal says of precision; quantized weights are kept in the system's cache folder. */
export function readPrecision(values: {
  precision?: string | undefined;
  quantization?: string | undefined;
  "double-quant"?: boolean | undefined;
  "block-size"?: string | undefined;
}): PrecisionOptions {
  const precision = oneOf("precision", values.precision, precisions);
  const quantization = oneOf("quantization", values.quantization, ["nf4", "fp4", "int8"] as const);
  const size = oneOf("block-size", values["block-size"], ["32", "64", "128"] as const);
  if (size !== undefined && precision !== "int8" && precision !== "int4") {
    throw badRequest("--block-size is for --precision int8 and int4.");
  }
  return {
    quantCacheDir: defaultQuantCacheDir(),
    doubleQuant: values["double-quant"] === true,
    ...(precision && { precision }),
    ...(quantization && { quantization }),
    ...(size && { blockSize: Number(size) as 32 | 64 | 128 }),
  };
}

/** Says on the error stream what the weights are, where they are not as stored. */
export function sayPrecision({ precision }: BaseModel): void {
  const { label, bytes, fromCache, error, kept } = precision;
  if (bytes === 0) return;
  const place = fromCache ? "from the cache" : "made now";
  const lost = error ? `, error ${(100 * error.relative).toPrecision(2)} %` : "";
  const left = kept.length > 0 ? `, ${kept.length} layers as stored` : "";
  process.stderr.write(`Weights: ${label}, ${showBytes(bytes)} ${place}${lost}${left}\n`);
}
