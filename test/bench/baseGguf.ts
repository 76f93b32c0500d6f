// A checkpoint of makeRandomModel as llama.cpp's GGUF, so that llama.cpp runs the same weights: names, keys
// and the order of rows as llama.cpp's convert_hf_to_gguf.py has them, blocks as its quantize_row_q*_0_ref.
import { open, rename } from "node:fs/promises";
import * as path from "node:path";
import { fromFloat32 } from "../../extension/core/base/halfFloat.ts";
import { elementCount } from "../../extension/core/base/shape.ts";
import { text, uint32, uint64 } from "../../extension/core/gguf/write.ts";
import { inLayers } from "../../extension/core/peft/convert/gguf.ts";
import { openSafetensors, readFloat32 } from "../../extension/core/safetensors/read.ts";
import type { Config } from "./makeRandomModel.ts";

export type GgufType = "f32" | "q8_0" | "q4_0";

/** ggml's number of a type, bytes of a block of 32, and general.file_type. */
const types = {
  f32: { id: 0, block: 128, fileType: 0 },
  q8_0: { id: 8, block: 34, fileType: 7 },
  q4_0: { id: 2, block: 18, fileType: 2 },
} as const;

const blockSize = 32;
const alignment = 32;

const names: readonly (readonly [path: string, name: string])[] = [
  ...inLayers,
  ["input_layernorm", "attn_norm"],
  ["post_attention_layernorm", "ffn_norm"],
];

/** One tensor of the file. */
export interface GgufTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly type: GgufType;
  readonly values: () => Promise<Float32Array>;
}

/** Writes every matrix in one type (as `llama-quantize --pure`), norms and biases in fp32. */
export async function writeBaseGguf(
  folder: string,
  file: string,
  { config, type }: { config: Config; type: GgufType },
): Promise<void> {
  const source = path.join(folder, "model.safetensors");
  const { tensors } = await openSafetensors(source);
  const own: GgufTensor[] = [...tensors.values()].map((entry) => ({
    name: ggufName(entry.name),
    shape: entry.shape,
    type: entry.shape.length > 1 ? type : "f32",
    values: async () => {
      const values = (await readFloat32(source, [entry])).get(entry.name) as Float32Array;
      const heads = pairedHeads(entry.name, config);
      return heads === null ? values : inPairs(values, entry.shape, heads);
    },
  }));
  const factors = ropeFactors(config);
  if (factors) {
    const values = (): Promise<Float32Array> => Promise.resolve(factors);
    own.push({ name: "rope_freqs.weight", shape: [factors.length], type: "f32", values });
  }
  await writeTensors(file, keysOf(config, type), own);
}

export function ggufName(name: string): string {
  if (name === "model.embed_tokens.weight") return "token_embd.weight";
  if (name === "model.norm.weight") return "output_norm.weight";
  const [, layer, own, part] = /^model\.layers\.(\d+)\.(.+)\.(weight|bias)$/.exec(name) ?? [];
  const found = names.find(([each]) => each === own)?.[1];
  if (found === undefined) throw new Error(`llama.cpp has no name for ${name}.`);
  return `blk.${layer}.${found}.${part}`;
}

/** Heads of a tensor whose rows llama.cpp's Llama wants in pairs; null for the others. */
function pairedHeads(name: string, config: Config): number | null {
  if (config.model_type !== "llama") return null;
  if (name.includes(".q_proj.")) return config.num_attention_heads;
  return name.includes(".k_proj.") ? config.num_key_value_heads : null;
}

/** Rows of each head from halves (0, 1, …, d/2, …) to neighbours (0, d/2, 1, …): LlamaModel.permute. */
export function inPairs(
  values: Float32Array,
  [rows = 0, columns = 1]: readonly number[],
  heads: number,
): Float32Array {
  const out = new Float32Array(values.length);
  const size = rows / heads;
  for (let row = 0; row < rows; row++) {
    const [head, place] = [Math.floor(row / size), row % size];
    const from = head * size + (place % 2) * (size / 2) + Math.floor(place / 2);
    out.set(values.subarray(from * columns, (from + 1) * columns), row * columns);
  }
  return out;
}

/** Factors on rotary wavelengths, of Llama 3 (Llama3_1RopeScaling in llama.cpp's converter); null without. */
function ropeFactors(config: Config): Float32Array | null {
  const scaling = config["rope_scaling"] as Readonly<Record<string, number>> | undefined;
  if (!scaling) return null;
  const { factor, low_freq_factor: low, high_freq_factor: high } = scaling as { factor: number; low_freq_factor: number; high_freq_factor: number }; // prettier-ignore
  const length = scaling["original_max_position_embeddings"] as number;
  const dim = headDimOf(config);
  return Float32Array.from({ length: dim / 2 }, (_, i) => {
    const wavelength = 2 * Math.PI * (config["rope_theta"] as number) ** ((2 * i) / dim);
    if (wavelength < length / high) return 1;
    if (wavelength > length / low) return factor;
    const smooth = (length / wavelength - low) / (high - low);
    return 1 / ((1 - smooth) / factor + smooth);
  });
}

function headDimOf(config: Config): number {
  return config.head_dim ?? config.hidden_size / config.num_attention_heads;
}

type Value =
  | string
  | { readonly uint32: number }
  | { readonly float32: number }
  | { readonly strings: readonly string[] };

function keysOf(config: Config, type: GgufType): Record<string, Value> {
  const own = (name: string): string => `${config.model_type}.${name}`;
  const uint32 = (value: unknown): Value => ({ uint32: value as number });
  const float32 = (value: unknown): Value => ({ float32: value as number });
  return {
    "general.architecture": config.model_type,
    "general.name": "random weights",
    "general.file_type": uint32(types[type].fileType),
    [own("vocab_size")]: uint32(config.vocab_size),
    [own("context_length")]: uint32(config["max_position_embeddings"]),
    [own("embedding_length")]: uint32(config.hidden_size),
    [own("block_count")]: uint32(config.num_hidden_layers),
    [own("feed_forward_length")]: uint32(config.intermediate_size),
    [own("rope.dimension_count")]: uint32(headDimOf(config)),
    [own("rope.freq_base")]: float32(config["rope_theta"]),
    [own("attention.head_count")]: uint32(config.num_attention_heads),
    [own("attention.head_count_kv")]: uint32(config.num_key_value_heads),
    [own("attention.layer_norm_rms_epsilon")]: float32(config["rms_norm_eps"]),
    // Only ids are run, but llama.cpp's bindings ask for a tokenizer.
    "tokenizer.ggml.model": "gpt2",
    "tokenizer.ggml.pre": "default",
    "tokenizer.ggml.tokens": {
      strings: Array.from({ length: config.vocab_size }, (_, i) => `t${i}`),
    },
    "tokenizer.ggml.merges": { strings: ["t 0"] },
  };
}

/** Writes keys and tensors; the numbers of fp32 values are rounded block by block as they are written. */
export async function writeTensors(
  file: string,
  keys: Readonly<Record<string, Value>>,
  tensors: readonly GgufTensor[],
): Promise<void> {
  const handle = await open(`${file}.partial`, "w");
  try {
    const head = Buffer.concat(headOf(keys, tensors));
    await handle.writeFile(Buffer.concat([head], roundUp(head.length)));
    for (const { values, type, shape } of tensors) {
      const bytes = encode(await values(), type);
      // Node writes at most 2 GB at once.
      for (let at = 0; at < bytes.length; at += 1 << 28) {
        await handle.writeFile(bytes.subarray(at, at + (1 << 28)));
      }
      const size = byteLength(shape, type);
      await handle.writeFile(Buffer.alloc(roundUp(size) - size));
    }
  } finally {
    await handle.close();
  }
  await rename(`${file}.partial`, file);
}

function headOf(keys: Readonly<Record<string, Value>>, tensors: readonly GgufTensor[]): Buffer[] {
  const entries = Object.entries(keys);
  const parts = [Buffer.from("GGUF"), uint32(3), uint64(tensors.length), uint64(entries.length)];
  for (const [key, value] of entries) {
    parts.push(text(key));
    if (typeof value === "string") parts.push(uint32(8), text(value));
    else if ("uint32" in value) parts.push(uint32(4), uint32(value.uint32));
    else if ("strings" in value) {
      const texts = Buffer.concat(value.strings.map(text));
      parts.push(uint32(9), uint32(8), uint64(value.strings.length), texts);
    } else parts.push(uint32(6), Buffer.from(Float32Array.of(value.float32).buffer));
  }
  let offset = 0;
  for (const { name, shape, type } of tensors) {
    // ggml names the fastest dimension first.
    parts.push(text(name), uint32(shape.length), ...shape.toReversed().map(uint64));
    parts.push(uint32(types[type].id), uint64(offset));
    offset += roundUp(byteLength(shape, type));
  }
  return parts;
}

function byteLength(shape: readonly number[], type: GgufType): number {
  return (elementCount(shape) / blockSize) * types[type].block;
}

function roundUp(size: number): number {
  return Math.ceil(size / alignment) * alignment;
}

/** Values in ggml's blocks of 32: a half-float scale, then the numbers. */
export function encode(values: Float32Array, type: GgufType): Uint8Array {
  if (type === "f32") return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  const blocks = values.length / blockSize;
  const { block } = types[type];
  const out = new Uint8Array(blocks * block);
  const scales = new Float32Array(blocks);
  const pack = type === "q8_0" ? packBytes : packNibbles;
  for (let i = 0; i < blocks; i++) {
    scales[i] = pack({ values, from: i * blockSize }, out, i * block + 2);
  }
  const halves = fromFloat32(scales, "F16");
  for (let i = 0; i < blocks; i++) {
    out[i * block] = halves[2 * i] as number;
    out[i * block + 1] = halves[2 * i + 1] as number;
  }
  return out;
}

interface Block {
  readonly values: Float32Array;
  readonly from: number;
}

/** quantize_row_q8_0_ref of one block; returns its scale. */
function packBytes({ values, from }: Block, out: Uint8Array, at: number): number {
  let largest = 0;
  for (let i = 0; i < blockSize; i++) {
    largest = Math.max(largest, Math.abs(values[from + i] as number));
  }
  const inverse = largest === 0 ? 0 : 127 / largest;
  for (let i = 0; i < blockSize; i++) {
    const value = (values[from + i] as number) * inverse;
    // C's roundf: halves away from zero; a byte keeps two's complement.
    out[at + i] = Math.sign(value) * Math.round(Math.abs(value));
  }
  return largest / 127;
}

/** quantize_row_q4_0_ref of one block: the value furthest from 0 becomes -8. */
function packNibbles({ values, from }: Block, out: Uint8Array, at: number): number {
  let furthest = 0;
  for (let i = 0; i < blockSize; i++) {
    const value = values[from + i] as number;
    if (Math.abs(value) > Math.abs(furthest)) furthest = value;
  }
  const scale = furthest / -8;
  const inverse = scale === 0 ? 0 : 1 / scale;
  const half = blockSize / 2;
  for (let i = 0; i < half; i++) {
    const low = Math.min(15, Math.trunc((values[from + i] as number) * inverse + 8.5));
    const high = Math.min(15, Math.trunc((values[from + i + half] as number) * inverse + 8.5));
    out[at + i] = low | (high << 4);
  }
  return scale;
}
