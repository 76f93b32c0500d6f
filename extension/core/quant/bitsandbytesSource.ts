import { t } from "@vscode/l10n";
import { type FloatDtype } from "../base/dtype.ts";
import { badFile } from "../base/errors.ts";
import { fromFloat32 } from "../base/halfFloat.ts";
import { toFloat32 } from "../base/dtype.ts";
import type { WeightRef } from "../checkpoint/baseCheckpoint.ts";
import { readTensors } from "../safetensors/read.ts";
import {
  type FourBitState,
  parseFourBitState,
  readFourBit,
  type StoredTensor,
} from "./bitsandbytes.ts";
import { dequantizeFourBit } from "./fourBit.ts";
import { checkShape, readExactly, readFloats, type Weights } from "./int32Codes.ts";
import { dequantizeInt8 } from "./int8.ts";
import type { BlockLayout, PackedRows } from "./nBits.ts";
import { fromWhole, type WeightSource } from "./weightSource.ts";

const statePattern = /^(.*)\.quant_state\.bitsandbytes__(nf4|fp4)$/;

/** The states of all weights in 4 bits, by the weights' names. */
export async function fourBitStates(
  weights: Weights,
  signal?: AbortSignal,
): Promise<Map<string, FourBitState>> {
  const states = new Map<string, FourBitState>();
  for (const [key, ref] of weights) {
    const name = statePattern.exec(key)?.[1];
    if (name === undefined) continue;
    const [bytes] = await readTensors(ref.file, [ref], signal);
    states.set(name, parseFourBitState(bytes as Uint8Array, ref.file));
  }
  return states;
}

const valueTypes: Readonly<Record<string, FloatDtype>> = {
  float32: "F32",
  float16: "F16",
  bfloat16: "BF16",
};

/** A weight in NF4 or FP4; its values are rounded to the type that its state names, as bitsandbytes does. */
export function fourBitSource(weights: Weights, name: string, state: FourBitState): WeightSource {
  const refs = [...weights].filter(([key]) => key === name || key.startsWith(`${name}.`));
  const file = (refs[0] as [string, WeightRef])[1].file;
  const [out, columns, ...rest] = state.shape;
  if (out === undefined || columns === undefined || rest.length > 0) {
    throw badFile(
      file,
      t('"{0}" has the shape {1}, not one of a matrix', name, state.shape.join(" × ")),
    );
  }
  const dtype = valueTypes[state.dtype ?? "float32"];
  if (!dtype) throw badFile(file, t('"{0}" is of the type "{1}"', name, state.dtype ?? ""));
  const whole = async (signal?: AbortSignal): Promise<Float32Array> => {
    const tensors = new Map<string, StoredTensor>();
    for (const [key, ref] of refs) {
      const [bytes] = await readTensors(ref.file, [ref], signal);
      tensors.set(key, { dtype: ref.dtype, shape: ref.shape, bytes: bytes as Uint8Array });
    }
    const values = dequantizeFourBit(readFourBit(tensors, name, file));
    return toFloat32(fromFloat32(values, dtype), dtype);
  };
  const bytes = refs.reduce((sum, [, ref]) => sum + ref.byteLength, 0);
  return { out, in: columns, dtype, bytes, rows: fromWhole(whole, out, columns) };
}

/** Weights of LLM.int8, whose rows are blocks of 8-bit integers already. */
export function bitsandbytesInt8(weights: Weights): Map<string, WeightSource> {
  const sources = new Map<string, WeightSource>();
  for (const [key, scales] of weights) {
    if (!key.endsWith(".SCB")) continue;
    const name = key.replace(/SCB$/, "weight");
    const weight = weights.get(name);
    if (weight?.dtype === "I8") sources.set(name, int8Source(weight, scales));
  }
  return sources;
}

function int8Source(weight: WeightRef, scales: WeightRef): WeightSource {
  const [out = 0, columns = 0] = weight.shape;
  checkShape(weight, [out, columns]);
  const read = async (
    signal?: AbortSignal,
  ): Promise<{ codes: Int8Array; absmax: Float32Array }> => {
    const bytes = await readExactly(weight, { dtype: "I8", shape: [out, columns], signal });
    const absmax = await readFloats(scales, { shape: [out], signal });
    return { codes: new Int8Array(bytes.buffer, bytes.byteOffset, bytes.length), absmax };
  };
  const whole = async (signal?: AbortSignal): Promise<Float32Array> =>
    dequantizeInt8(await read(signal));
  // Of a width that no block divides the last block is filled up.
  const blockSize = [128, 64, 32, 16].find((size) => columns % size === 0) ?? 32;
  const layout: BlockLayout = { bits: 8, blockSize, columns };
  return {
    out,
    in: columns,
    dtype: "F16",
    bytes: weight.byteLength,
    rows: fromWhole(whole, out, columns),
    lossless: {
      layout,
      hasZeroPoints: false,
      isSorted: false,
      read: async (signal) => rowsAsBlocks(await read(signal), layout),
    },
  };
}

/** A row's scale is each of its blocks'. */
function rowsAsBlocks(
  { codes, absmax }: { codes: Int8Array; absmax: Float32Array },
  { blockSize, columns }: BlockLayout,
): PackedRows {
  const blocks = Math.ceil(columns / blockSize);
  const packed = new Uint8Array(absmax.length * blocks * blockSize).fill(128);
  const scales = new Float32Array(absmax.length * blocks);
  for (let row = 0; row < absmax.length; row++) {
    scales.fill((absmax[row] as number) / 127, row * blocks, (row + 1) * blocks);
    for (let i = 0; i < columns; i++) {
      packed[row * blocks * blockSize + i] = (codes[row * columns + i] as number) + 128;
    }
  }
  return { codes: packed, scales };
}
