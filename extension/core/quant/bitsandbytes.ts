/**
 * The tensors in which bitsandbytes stores a quantized weight beside its packed bytes:
 * `<name>.absmax`, `<name>.quant_map`, with double quantization `<name>.nested_absmax` and
 * `<name>.nested_quant_map`, and `<name>.quant_state.bitsandbytes__<type>`, JSON as bytes. Of int8
 * there is `SCB` beside `weight`.
 */
import { t } from "@vscode/l10n";
import { z } from "zod";
import { type Dtype, isReadableDtype, toFloat32 } from "../base/dtype.ts";
import { badFile } from "../base/errors.ts";
import { parseFields, parseJsonObject } from "../base/json.ts";
import { elementCount, type Shape } from "../base/shape.ts";
import type { FourBitTensor } from "./fourBit.ts";

export interface StoredTensor {
  readonly dtype: Dtype;
  readonly shape: Shape;
  readonly bytes: Uint8Array;
}

/** Tensors of one file by name. */
export type StoredTensors = ReadonlyMap<string, StoredTensor>;

const statePattern = /\.quant_state\.bitsandbytes__(nf4|fp4)$/;

const size = z.int().positive();

const stateFields = z.looseObject({
  quant_type: z.enum(["nf4", "fp4"], t("It must be nf4 or fp4.")),
  blocksize: size,
  dtype: z.string().optional(),
  shape: z.array(z.int().nonnegative()),
  nested_blocksize: size.optional(),
  nested_offset: z.number().optional(),
});

/** What a weight's state says, from `quant_state.bitsandbytes__*`. */
export type FourBitState = z.infer<typeof stateFields>;

export function parseFourBitState(bytes: Uint8Array, file: string): FourBitState {
  return parseFields(stateFields, parseJsonObject(new TextDecoder().decode(bytes), file), file);
}

/**
 * Reads a weight in 4 bits as stored.
 * @param file names it in errors
 * @throws bad-file when a part is missing or sizes disagree
 */
export function readFourBit(tensors: StoredTensors, name: string, file: string): FourBitTensor {
  const stateName = [...tensors.keys()].find(
    (each) => each.startsWith(`${name}.`) && statePattern.test(each),
  );
  if (stateName === undefined) throw badFile(file, t('"{0}" has no bitsandbytes state', name));
  const state = parseFourBitState((tensors.get(stateName) as StoredTensor).bytes, file);
  const count = elementCount(state.shape);
  const blocks = Math.ceil(count / state.blocksize);
  const reader = { tensors, file };
  const packed = bytesOf(reader, name, Math.ceil(count / 2));
  const code = floatsOf(reader, `${name}.quant_map`, 16);
  const { nested_blocksize: nestedSize, nested_offset: offset } = state;
  const common = { code, blockSize: state.blocksize, shape: state.shape, packed };
  if (nestedSize === undefined || offset === undefined) {
    return { ...common, absmax: floatsOf(reader, `${name}.absmax`, blocks) };
  }
  return {
    ...common,
    absmax: {
      indices: bytesOf(reader, `${name}.absmax`, blocks),
      absmax: floatsOf(reader, `${name}.nested_absmax`, Math.ceil(blocks / nestedSize)),
      code: floatsOf(reader, `${name}.nested_quant_map`, 256),
      blockSize: nestedSize,
      offset: Math.fround(offset),
    },
  };
}

interface Reader {
  readonly tensors: StoredTensors;
  readonly file: string;
}

function tensorOf({ tensors, file }: Reader, name: string, count: number): StoredTensor {
  const tensor = tensors.get(name);
  if (!tensor) throw badFile(file, t('tensor "{0}" is missing', name));
  if (elementCount(tensor.shape) === count) return tensor;
  throw badFile(
    file,
    t('tensor "{0}" has {1} numbers, not {2}', name, elementCount(tensor.shape), count),
  );
}

function bytesOf(reader: Reader, name: string, count: number): Uint8Array {
  const { dtype, bytes } = tensorOf(reader, name, count);
  if (dtype === "U8") return bytes;
  throw badFile(reader.file, t('tensor "{0}" is {1}, not U8', name, dtype));
}

function floatsOf(reader: Reader, name: string, count: number): Float32Array {
  const { dtype, bytes } = tensorOf(reader, name, count);
  if (isReadableDtype(dtype)) return toFloat32(bytes, dtype);
  throw badFile(reader.file, t('tensor "{0}" is {1}, not a floating-point type', name, dtype));
}
