/**
 * LoRA and llama.cpp's adapter GGUF (convert_lora_to_gguf.py, src/llama-adapter.cpp): tensors
 * `blk.N.attn_q.weight.lora_a` [rank, in] and `.lora_b` [out, rank], scaled by one alpha / rank. The
 * Llama architecture turns its queries and keys pairwise, so rows of their B stand in another order;
 * of the token table A is stored transposed, [tokens, rank].
 */
import { t } from "@vscode/l10n";
import { badFile, badRequest, unsupported } from "../../base/errors.ts";
import { fromFloat32 } from "../../base/halfFloat.ts";
import { transposed } from "../../base/matrix.ts";
import { pause } from "../../base/pause.ts";
import { isSameShape, showShape } from "../../base/shape.ts";
import type { AdapterCheckpoint } from "../../checkpoint/adapterCheckpoint.ts";
import { weightName } from "../../checkpoint/modules.ts";
import type { GgufFile } from "../../gguf/read.ts";
import type { WrittenValue } from "../../gguf/write.ts";
import { readFloat32 } from "../../safetensors/read.ts";
import type { TensorData } from "../../safetensors/write.ts";
import type { Factors } from "../combine/factors.ts";
import type { AttentionShape, MethodBase } from "../method.ts";
import type { ConvertedModule, ConvertOptions } from "./converted.ts";
import type { ImportedModule } from "./imported.ts";
import type { LoraModule } from "./loraAdapter.ts";
import { openPlain, roundFactors, type StoredDtype } from "./plainFactors.ts";

/** llama.cpp's names of architectures by `model_type`; Mistral is one of its Llamas. */
const architectures: Readonly<Record<string, string>> = {
  llama: "llama",
  mistral: "llama",
  qwen2: "qwen2",
  qwen3: "qwen3",
};

/** Architectures whose queries and keys are stored for rotation of neighbouring pairs. */
const pairwise = new Set(["llama"]);

/** What llama.cpp calls a layer's linear modules. */
export const inLayers: readonly (readonly [path: string, name: string])[] = [
  ["self_attn.q_proj", "attn_q"],
  ["self_attn.k_proj", "attn_k"],
  ["self_attn.v_proj", "attn_v"],
  ["self_attn.o_proj", "attn_output"],
  ["mlp.gate_proj", "ffn_gate"],
  ["mlp.up_proj", "ffn_up"],
  ["mlp.down_proj", "ffn_down"],
];

const outside: readonly (readonly [path: string, name: string])[] = [
  ["model.embed_tokens", "token_embd"],
  ["lm_head", "output"],
];

type GgufBase = Pick<MethodBase, "modelType" | "attention" | "tree">;

/** ggml's numbers of a file's main type (general.file_type). */
const fileTypes: Readonly<Record<StoredDtype, number>> = { fp32: 0, fp16: 1, bf16: 32 };

/** A LoRA's factors as GGUF's keys and tensors; nothing is written. */
export async function toGguf(
  { checkpoint, base }: { checkpoint: AdapterCheckpoint; base: GgufBase },
  { dtype = "fp32", onProgress, signal }: ConvertOptions & { dtype?: StoredDtype | undefined },
): Promise<{
  keys: ReadonlyMap<string, WrittenValue>;
  tensors: TensorData[];
  modules: ConvertedModule[];
}> {
  const architecture = architectures[base.modelType];
  if (architecture === undefined) {
    throw unsupported(t("Graft does not know llama.cpp's names for {0}", base.modelType));
  }
  const lora = await openPlain(checkpoint, { format: "GGUF", hasInvocation: true, signal });
  const alpha = sharedAlpha(lora.modules);
  const tensors: TensorData[] = [];
  const modules: ConvertedModule[] = [];
  for (const [done, module] of lora.modules.entries()) {
    const total = lora.modules.length;
    onProgress?.({ step: t("Converting modules"), done, total, unit: "items" });
    await pause(signal);
    const made = ggufModule(module, { base, architecture, alpha, dtype });
    tensors.push(...made.tensors);
    modules.push(made.module);
  }
  const tokens = lora.config.alora_invocation_tokens;
  const keys = new Map<string, WrittenValue>([
    ["general.architecture", { kind: "string", value: architecture }],
    ["general.type", { kind: "string", value: "adapter" }],
    ["adapter.type", { kind: "string", value: "lora" }],
    ["general.file_type", { kind: "uint32", value: fileTypes[dtype] }],
    ["adapter.lora.alpha", { kind: "float32", value: alpha }],
  ]);
  if (tokens.length > 0) {
    keys.set("adapter.alora.invocation_tokens", { kind: "uint32s", value: tokens });
  }
  return { keys, tensors, modules };
}

/** Both tensors of a module, and what rounding them loses. */
function ggufModule(
  { path, kind, factors, scaling }: LoraModule,
  at: { base: GgufBase; architecture: string; alpha: number; dtype: StoredDtype },
): { tensors: TensorData[]; module: ConvertedModule } {
  const name = ggufName(path, at.base);
  const heads = pairwise.has(at.architecture) ? headsOf(path, at.base.attention) : null;
  const { rank, inputs, out } = factors;
  // What one alpha of the file cannot say of this module's scaling goes into B.
  const factor = (scaling * rank) / at.alpha;
  const own = turned(factors, heads, "pairs");
  const scaled = factor === 1 ? own : { ...own, b: own.b.map((value) => value * factor) };
  const { a, b, dtype, module } = roundFactors(path, scaled, at.dtype);
  const isTable = kind === "embedding";
  const table = (): Uint8Array =>
    fromFloat32(Float32Array.from(transposed(scaled.a, rank, inputs)), dtype);
  const square = (at.alpha / rank) ** 2;
  return {
    tensors: [
      {
        name: `${name}.lora_a`,
        dtype,
        shape: isTable ? [inputs, rank] : [rank, inputs],
        bytes: isTable ? table() : a,
      },
      { name: `${name}.lora_b`, dtype, shape: [out, rank], bytes: b },
    ],
    module: { path, rank, total: module.total * square, lost: module.lost * square },
  };
}

/** The alpha of most modules; never 0, by which llama.cpp means "no scaling". */
function sharedAlpha(modules: readonly LoraModule[]): number {
  const counts = new Map<number, number>();
  for (const { scaling, factors } of modules) {
    // As the file stores it.
    const alpha = Math.fround(scaling * factors.rank);
    if (alpha !== 0) counts.set(alpha, (counts.get(alpha) ?? 0) + 1);
  }
  return [...counts].reduce((best, each) => (each[1] > best[1] ? each : best), [1, 0])[0];
}

function ggufName(path: string, { tree }: GgufBase): string {
  const module = tree.modules.find((each) => each.path === path);
  if (module && weightName(module) !== `${path}.weight`) {
    throw unsupported(
      t(
        "llama.cpp cannot change {0} of this base: the head is tied to the embeddings and no tensor of its own",
        path,
      ),
    );
  }
  const [, layer, inner] = /^model\.layers\.(\d+)\.(.+)$/.exec(path) ?? [];
  const known = layer === undefined ? outside : inLayers;
  const [, name] = known.find(([own]) => own === (inner ?? path)) ?? [];
  if (module && name !== undefined) {
    return `${layer === undefined ? "" : `blk.${layer}.`}${name}.weight`;
  }
  throw unsupported(t("Graft does not know llama.cpp's name for {0}", path));
}

function headsOf(path: string, attention: AttentionShape): number | null {
  if (path.endsWith(".self_attn.q_proj")) return attention.heads;
  return path.endsWith(".self_attn.k_proj") ? attention.keyValueHeads : null;
}

/**
 * B with the rows of each head in another order: "halves", first halves of all pairs, then second
 * ones, is Hugging Face's, "pairs" llama.cpp's.
 */
function turned(factors: Factors, heads: number | null, to: "pairs" | "halves"): Factors {
  if (heads === null) return factors;
  const { b, rank, out } = factors;
  const size = out / heads;
  const half = size / 2;
  const turnedB = new Float32Array(b.length);
  for (let row = 0; row < out; row++) {
    const [first, inner] = [row - (row % size), row % size];
    const pair = first + 2 * (inner % half) + Math.floor(inner / half);
    const [source, target] = to === "pairs" ? [row, pair] : [pair, row];
    turnedB.set(b.subarray(source * rank, (source + 1) * rank), target * rank);
  }
  return { ...factors, b: turnedB };
}

/** Factors by module of an adapter GGUF, and the tokens that switch it on. */
export async function fromGguf(
  { file, keys, tensors }: GgufFile,
  { base, signal }: { base: GgufBase | null; signal?: AbortSignal | undefined },
): Promise<{ modules: ImportedModule[]; invocation: readonly number[] }> {
  const architecture = checkKeys(keys, base, file);
  const values = await readFloat32(file, tensors, signal);
  const shapes = new Map(tensors.map(({ name, shape }) => [name, shape]));
  const names = new Set(tensors.map(({ name }) => weightOf(name, file)));
  const stored = keys.get("adapter.lora.alpha");
  const modules = [...names].map((name): ImportedModule => {
    const path = pathOf(name, file);
    const [a, b] = [values.get(`${name}.lora_a`), values.get(`${name}.lora_b`)];
    const [shapeA, shapeB] = [shapes.get(`${name}.lora_a`), shapes.get(`${name}.lora_b`)];
    if (!a || !b || !shapeA || !shapeB)
      throw badFile(file, t('has only one factor of "{0}"', name));
    const isTable = name === "token_embd.weight";
    const [rank = 0, inputs = 0] = isTable ? shapeA.toReversed() : shapeA;
    const out = shapeB[0] ?? 0;
    if (shapeA.length !== 2 || !isSameShape(shapeB, [out, rank]) || rank === 0) {
      throw badFile(
        file,
        t('factors of "{0}" are {1} and {2}', name, showShape(shapeA), showShape(shapeB)),
      );
    }
    const plain = isTable ? Float32Array.from(transposed(a, inputs, rank)) : a;
    const factors = { a: plain, b, rank, inputs, out };
    const heads = headsToUndo(path, { architecture, base, out, file });
    // Without alpha llama.cpp does not scale.
    const alpha = typeof stored === "number" && stored !== 0 ? stored : rank;
    const kind = isTable ? "embedding" : "linear";
    return { path, kind, alpha, factors: turned(factors, heads, "halves") };
  });
  const tokens = keys.get("adapter.alora.invocation_tokens");
  return { modules, invocation: Array.isArray(tokens) ? (tokens as number[]) : [] };
}

function checkKeys(keys: GgufFile["keys"], base: GgufBase | null, file: string): string {
  const type = keys.get("general.type");
  if (type !== "adapter" || keys.get("adapter.type") !== "lora") {
    const found =
      typeof type === "string" ? t('its general.type is "{0}"', type) : t("it has no type");
    throw unsupported(t("{0} is no LoRA adapter: {1}", file, found));
  }
  const architecture = String(keys.get("general.architecture"));
  if (!Object.values(architectures).includes(architecture)) {
    throw unsupported(
      t('{0}: Graft does not know the names of llama.cpp\'s "{1}"', file, architecture),
    );
  }
  const own = base ? architectures[base.modelType] : architecture;
  if (own === architecture) return architecture;
  throw badRequest(
    t('{0} is for "{1}", the base is {2}.', file, architecture, String(base?.modelType)),
  );
}

function weightOf(tensor: string, file: string): string {
  const [, name] = /^(.+)\.lora_[ab]$/.exec(tensor) ?? [];
  if (name !== undefined) return name;
  throw unsupported(t('{0}: tensor "{1}" is no factor of a LoRA', file, tensor));
}

function pathOf(name: string, file: string): string {
  const [, layer, inner] = /^(?:blk\.(\d+)\.)?(.+)\.weight$/.exec(name) ?? [];
  const known = layer === undefined ? outside : inLayers;
  const [path] = known.find(([, own]) => own === inner) ?? [];
  if (path !== undefined) return layer === undefined ? path : `model.layers.${layer}.${path}`;
  throw unsupported(t('{0}: Graft does not know llama.cpp\'s tensor "{1}"', file, name));
}

function headsToUndo(
  path: string,
  at: { architecture: string; base: GgufBase | null; out: number; file: string },
): number | null {
  if (!pairwise.has(at.architecture) || !/\.self_attn\.[qk]_proj$/.test(path)) return null;
  if (!at.base) {
    throw badRequest(
      t(
        "{0}: the rows of {1} stand in an order that depends on the base's heads. Name the base.",
        at.file,
        path,
      ),
    );
  }
  const heads = headsOf(path, at.base.attention);
  if (heads !== null && at.out % (2 * heads) === 0) return heads;
  throw badFile(
    at.file,
    t("factors of {0} have {1} rows, which {2} heads cannot share", path, at.out, String(heads)),
  );
}
