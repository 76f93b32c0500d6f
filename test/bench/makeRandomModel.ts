// Checkpoints of random weights at the true sizes of small language models, for benchmarks and
// estimates: `node --import tsx test/bench/makeRandomModel.ts NAME bf16|fp16|fp32 [FOLDER]` writes config, weights and a
// small tokenizer under .cache/models (never committed). Every layer has other values: ONNX Runtime
// keeps identical weights once, so that copies would look faster and smaller than a real model is.
import { copyFile, mkdir, open, rename, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { elementCount } from "../../extension/core/base/shape.ts";
import { root } from "../unit/core/support.ts";

const llama = {
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  hidden_act: "silu",
  bos_token_id: 1,
  eos_token_id: 2,
  tie_word_embeddings: true,
};

export interface Config {
  readonly model_type: string;
  readonly hidden_size: number;
  readonly intermediate_size: number;
  readonly num_hidden_layers: number;
  readonly num_attention_heads: number;
  readonly num_key_value_heads: number;
  readonly head_dim?: number;
  readonly vocab_size: number;
  readonly [field: string]: unknown;
}

/** config.json of each, as on the Hub (fields that its size depends on). */
export const shapes: Readonly<Record<string, Config>> = {
  "smollm2-135m": {
    ...llama,
    hidden_size: 576,
    intermediate_size: 1536,
    num_hidden_layers: 30,
    num_attention_heads: 9,
    num_key_value_heads: 3,
    vocab_size: 49152,
    max_position_embeddings: 8192,
    rms_norm_eps: 1e-5,
    rope_theta: 100000,
  },
  "qwen2.5-0.5b": {
    ...llama,
    architectures: ["Qwen2ForCausalLM"],
    model_type: "qwen2",
    hidden_size: 896,
    intermediate_size: 4864,
    num_hidden_layers: 24,
    num_attention_heads: 14,
    num_key_value_heads: 2,
    vocab_size: 151936,
    max_position_embeddings: 32768,
    rms_norm_eps: 1e-6,
    rope_theta: 1000000,
  },
  "llama-3.2-1b": {
    ...llama,
    hidden_size: 2048,
    intermediate_size: 8192,
    num_hidden_layers: 16,
    num_attention_heads: 32,
    num_key_value_heads: 8,
    head_dim: 64,
    vocab_size: 128256,
    max_position_embeddings: 131072,
    rms_norm_eps: 1e-5,
    rope_theta: 500000,
    rope_scaling: {
      rope_type: "llama3",
      factor: 32,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 8192,
    },
  },
};

type Values = Float32Array<ArrayBuffer> | Uint16Array<ArrayBuffer>;

const formats = {
  fp32: { dtype: "F32", torch: "float32", size: 4 },
  bf16: { dtype: "BF16", torch: "bfloat16", size: 2 },
  fp16: { dtype: "F16", torch: "float16", size: 2 },
} as const;

export type Format = keyof typeof formats;

interface Tensor {
  readonly name: string;
  readonly shape: readonly number[];
}

/** Names and shapes of a model's tensors, in the order of the file. */
export function tensorsOf(config: Config): Tensor[] {
  const { hidden_size: hidden, intermediate_size: inner, vocab_size: vocabulary } = config;
  const headDim = config.head_dim ?? hidden / config.num_attention_heads;
  const query = config.num_attention_heads * headDim;
  const key = config.num_key_value_heads * headDim;
  const hasBias = config.model_type === "qwen2";
  const layers = Array.from({ length: config.num_hidden_layers }, (_, layer) => {
    const own = (name: string, ...shape: number[]): Tensor => ({
      name: `model.layers.${layer}.${name}`,
      shape,
    });
    const biases = [
      own("self_attn.q_proj.bias", query),
      own("self_attn.k_proj.bias", key),
      own("self_attn.v_proj.bias", key),
    ];
    return [
      own("input_layernorm.weight", hidden),
      own("self_attn.q_proj.weight", query, hidden),
      own("self_attn.k_proj.weight", key, hidden),
      own("self_attn.v_proj.weight", key, hidden),
      ...(hasBias ? biases : []),
      own("self_attn.o_proj.weight", hidden, query),
      own("post_attention_layernorm.weight", hidden),
      own("mlp.gate_proj.weight", inner, hidden),
      own("mlp.up_proj.weight", inner, hidden),
      own("mlp.down_proj.weight", hidden, inner),
    ];
  });
  return [
    { name: "model.embed_tokens.weight", shape: [vocabulary, hidden] },
    ...layers.flat(),
    { name: "model.norm.weight", shape: [hidden] },
  ];
}

/** Writes the model unless it is there; resolves to its folder. */
export async function makeRandomModel(
  name: string,
  format: Format,
  folder = defaultFolder(name, format),
): Promise<string> {
  const config = shapes[name];
  const names = Object.keys(shapes).join(", ");
  if (!config) throw new Error(`Names: ${names}; formats: ${Object.keys(formats).join(", ")}.`);
  const { dtype, torch, size } = formats[format];
  const file = join(folder, "model.safetensors");
  if (await stat(file).catch(() => null)) return folder;
  await mkdir(folder, { recursive: true });
  const tensors = tensorsOf(config);
  const handle = await open(`${file}.partial`, "w");
  try {
    await handle.writeFile(headerOf(tensors, dtype, size));
    const random = normals(format);
    for (const { name: own, shape } of tensors) {
      const count = elementCount(shape);
      const [mean, deviation] = own.endsWith("norm.weight")
        ? ([1, 0.1] as const)
        : ([0, 0.04] as const);
      for (let done = 0; done < count; done += partSize) {
        const part = Math.min(partSize, count - done);
        const values = format === "fp32" ? new Float32Array(part) : new Uint16Array(part);
        random(values, mean, deviation);
        await handle.writeFile(new Uint8Array(values.buffer));
      }
    }
  } finally {
    await handle.close();
  }
  await writeFile(
    join(folder, "config.json"),
    `${JSON.stringify({ ...config, dtype: torch }, null, 2)}\n`,
  );
  const tokenizer = join(root, "test/golden/fixtures/models/llama");
  for (const part of ["tokenizer.json", "tokenizer_config.json"]) {
    await copyFile(join(tokenizer, part), join(folder, part));
  }
  await rename(`${file}.partial`, file);
  return folder;
}

/** Values written at once: 16 MB of fp32. */
const partSize = 4 * 1024 * 1024;

export function defaultFolder(name: string, format: Format): string {
  return join(root, ".cache/models", `${name}-${format}`);
}

function headerOf(tensors: readonly Tensor[], dtype: string, size: number): Buffer {
  let position = 0;
  const entries = tensors.map(({ name, shape }) => {
    const length = elementCount(shape) * size;
    return [name, { dtype, shape, data_offsets: [position, (position += length)] }];
  });
  const text = JSON.stringify({ __metadata__: { format: "pt" }, ...Object.fromEntries(entries) });
  const header = Buffer.from(text + " ".repeat((8 - (Buffer.byteLength(text) % 8)) % 8));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  return Buffer.concat([length, header]);
}

/**
 * Fills arrays with normal values from a table that a xorshift generator picks from: a billion in a few
 * seconds, the same for the same model.
 */
function normals(format: Format): (values: Values, mean: number, deviation: number) => void {
  const size = 65536;
  let state = 0x9e3779b9;
  const next = (): number => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
  const table = Float64Array.from({ length: size }, () => {
    const [a, b] = [(next() + 1) / 2 ** 32, next() / 2 ** 32] as const;
    return Math.sqrt(-2 * Math.log(Math.min(1, a))) * Math.cos(2 * Math.PI * b);
  });
  const tables = new Map<number, Values>();
  const scaledTo = (mean: number, deviation: number): Values => {
    const scaled = Float32Array.from(table, (value) => mean + deviation * value);
    return format === "fp32" ? scaled : halves(scaled, format);
  };
  return (values, mean, deviation) => {
    const picked = tables.get(mean) ?? scaledTo(mean, deviation);
    tables.set(mean, picked);
    state = fill(values, picked, state);
  };
}

/** Its state in a local variable, as this is the loop that takes the time; each step gives two values. */
function fill(values: Values, picked: Values, start: number): number {
  let state = start;
  for (let i = 0; i < values.length; i += 2) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    values[i] = picked[state & 0xffff] as number;
    if (i + 1 < values.length) values[i + 1] = picked[(state >>> 16) & 0xffff] as number;
  }
  return state;
}

/** Bits of fp32 values in a 16-bit type; rounding down is good enough for random values. */
function halves(values: Float32Array<ArrayBuffer>, format: Format): Uint16Array<ArrayBuffer> {
  const bits = new Uint32Array(values.buffer);
  if (format === "bf16") return Uint16Array.from(bits, (word) => word >>> 16);
  return Uint16Array.from(bits, (word) => {
    const exponent = ((word >>> 23) & 0xff) - 112;
    const sign = (word >>> 16) & 0x8000;
    return exponent <= 0 ? sign : sign | (exponent << 10) | ((word >>> 13) & 0x3ff);
  });
}

if (process.argv[1] === import.meta.filename) {
  const [name = "", format = "bf16", folder] = process.argv.slice(2);
  const started = performance.now();
  const made = await makeRandomModel(name, format as Format, folder);
  console.log(`${made}  ${((performance.now() - started) / 1000).toFixed(1)} s`);
}
