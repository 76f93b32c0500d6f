import * as path from "node:path";
import { elementCount } from "../../extension/core/base/shape.ts";
import { quantizeBlocks } from "../../extension/core/quant/blockwise.ts";
import { readFourBit, type StoredTensor } from "../../extension/core/quant/bitsandbytes.ts";
import {
  codeOf,
  dequantizeFourBit,
  type FourBitTensor,
  type FourBitType,
  type NestedMaxima,
  quantizeFourBit,
  unnest,
} from "../../extension/core/quant/fourBit.ts";
import { dequantizeInt8, quantizeInt8 } from "../../extension/core/quant/int8.ts";
import { expect, Skip } from "./outcome.ts";
import { checkQlora } from "./qloraCase.ts";
import { readStored } from "./truth.ts";

type Numbers = Float32Array | Uint8Array | Int8Array;

/** One file of quant/: codes, scales and values equal bit for bit; logits of whole models close. */
export async function checkQuantCase(file: string, root: string): Promise<string> {
  const stored = await readStored(file);
  const name = path.basename(file, ".safetensors");
  const type: FourBitType = name.includes("fp4") ? "fp4" : "nf4";
  if (name.startsWith("qlora_")) {
    return checkQlora(file, {
      root,
      quantization: { type, doubleQuant: name.endsWith("_double") },
    });
  }
  if (fourBitNames(stored).length > 0) return checkLayout(stored, file);
  if (stored.has("SCB")) return checkInt8(stored);
  if (stored.has("b64/packed")) return checkBlockSizes(stored, type);
  if (stored.has("packed")) return checkFourBit(stored, type);
  throw new Skip("holds nothing that this version knows");
}

function numbers(stored: ReadonlyMap<string, StoredTensor>, name: string): Numbers {
  const tensor = stored.get(name);
  if (!tensor) throw new Error(`the case has no tensor "${name}"`);
  const { buffer, byteOffset } = tensor.bytes;
  const count = elementCount(tensor.shape);
  if (tensor.dtype === "U8") return new Uint8Array(buffer, byteOffset, count);
  if (tensor.dtype === "I8") return new Int8Array(buffer, byteOffset, count);
  return new Float32Array(buffer, byteOffset, count);
}

function same(what: string, own: Numbers, truth: Numbers): void {
  const wrong = own.findIndex((value, i) => value !== truth[i]);
  expect(own.length === truth.length, `${own.length} ${what}, not ${truth.length}`);
  expect(wrong === -1, `${what} ${wrong} is ${own[wrong]}, not ${truth[wrong]}`);
}

function checkFourBit(stored: ReadonlyMap<string, StoredTensor>, type: FourBitType): string {
  const truth = (name: string): Numbers => numbers(stored, name);
  const { shape } = stored.get("weight") as StoredTensor;
  const weight = truth("weight") as Float32Array;
  const plain = quantizeFourBit(weight, shape, { type });
  same("code values", codeOf(type), truth("code"));
  same("indices", quantizeBlocks(weight, codeOf(type), 64).indices, truth("indices"));
  checkTensor(plain, { packed: truth("packed"), dequantized: truth("dequantized") });
  same("maxima", plain.absmax as Float32Array, truth("absmax"));
  const double = quantizeFourBit(weight, shape, { type, doubleQuant: true });
  const nested = double.absmax as NestedMaxima;
  same("nested code values", nested.code, truth("nested_code"));
  same("offsets", Float32Array.of(nested.offset), truth("nested_offset"));
  same("nested indices", nested.indices, truth("nested_absmax_q"));
  same("nested maxima", nested.absmax, truth("nested_absmax2"));
  same("dequantized maxima", unnest(nested), truth("nested_absmax_dequantized"));
  checkTensor(double, { packed: truth("packed"), dequantized: truth("nested_dequantized") });
  return `${weight.length} numbers equal bit for bit, also with double quantization`;
}

function checkTensor(
  tensor: FourBitTensor,
  truth: { packed: Numbers; dequantized: Numbers },
): void {
  same("packed bytes", tensor.packed, truth.packed);
  same("dequantized numbers", dequantizeFourBit(tensor), truth.dequantized);
}

function checkBlockSizes(stored: ReadonlyMap<string, StoredTensor>, type: FourBitType): string {
  const { shape } = stored.get("weight") as StoredTensor;
  const weight = numbers(stored, "weight") as Float32Array;
  const sizes = [...stored.keys()].flatMap((name) => /^b(\d+)\/packed$/.exec(name)?.[1] ?? []);
  for (const size of sizes) {
    const truth = (name: string): Numbers => numbers(stored, `b${size}/${name}`);
    const tensor = quantizeFourBit(weight, shape, { type, blockSize: Number(size) });
    checkTensor(tensor, { packed: truth("packed"), dequantized: truth("dequantized") });
    same("maxima", tensor.absmax as Float32Array, truth("absmax"));
  }
  return `blocks of ${sizes.join(", ")} equal bit for bit`;
}

function checkInt8(stored: ReadonlyMap<string, StoredTensor>): string {
  const weight = numbers(stored, "weight") as Float32Array;
  const [, columns = 0] = (stored.get("weight") as StoredTensor).shape;
  const quantized = quantizeInt8(weight, columns);
  same("codes", quantized.codes, numbers(stored, "CB"));
  same("maxima", quantized.absmax, numbers(stored, "SCB"));
  same("dequantized numbers", dequantizeInt8(quantized), numbers(stored, "dequantized"));
  return `${weight.length} numbers equal bit for bit`;
}

/** Names of the weights that are stored in 4 bits. */
function fourBitNames(stored: ReadonlyMap<string, StoredTensor>): string[] {
  const state = /^(.*)\.quant_state\.bitsandbytes__(?:nf4|fp4)$/;
  return [...stored.keys()].flatMap((name) => state.exec(name)?.[1] ?? []);
}

/** A checkpoint's weight as bitsandbytes stores it: read, and made anew from the original. */
function checkLayout(stored: ReadonlyMap<string, StoredTensor>, file: string): string {
  const names = fourBitNames(stored);
  for (const name of names) {
    const tensor = readFourBit(stored, name, file);
    const truth = numbers(stored, "expected.dequantized");
    same("dequantized numbers", dequantizeFourBit(tensor), truth);
    const type = tensor.code[0] === 0 ? "fp4" : "nf4";
    const doubleQuant = !(tensor.absmax instanceof Float32Array);
    const original = numbers(stored, "expected.original") as Float32Array;
    const { blockSize } = tensor;
    const anew = quantizeFourBit(original, tensor.shape, { type, blockSize, doubleQuant });
    checkTensor(anew, { packed: tensor.packed, dequantized: truth });
  }
  return `${names.join(", ")}: read and made anew bit for bit`;
}
