/**
 * How much memory a base takes, from headers alone. What ONNX Runtime's CPU does was measured
 * (docs/performance.md): each linear layer's weight becomes one copy in fp32, laid out for speed, and
 * its file is let go; 16-bit weights are widened one at a time; packed ones stay packed; embedding tables
 * stay mapped, and only rows that are read take memory unless a tied head reads them all.
 */
import { elementCount } from "./base/shape.ts";
import type { BaseCheckpoint } from "./checkpoint/baseCheckpoint.ts";
import { type ModuleInfo, weightName } from "./checkpoint/modules.ts";
import type { FileRange } from "./checkpoint/packedWeight.ts";
import type { MethodBase } from "./peft/method.ts";
import { promptPart } from "./tokens/promptParts.ts";

export interface MemoryOptions {
  /** Bytes of layers that will run packed, by path, where the checkpoint does not hold them so yet. */
  readonly packed?: ReadonlyMap<string, number>;
  /** Weights stay mapped from disk: the system takes them back when it needs the memory. */
  readonly mapped?: boolean;
  /** Tokens of the longest conversation; 2048 or the model's own when absent. */
  readonly contextLength?: number;
  /** Bytes of adapters in fp32. */
  readonly adapters?: number;
  /** Tokens read at once; a prompt's part when absent. */
  readonly tokens?: number;
}

/** Bytes on top of the process that loads. */
export interface MemoryEstimate {
  /** Linear layers as they run. */
  readonly weights: number;
  readonly embeddings: number;
  /** Keys and values of the longest conversation. */
  readonly cache: number;
  readonly activations: number;
  readonly adapters: number;
  /** Graph, session and what JavaScript keeps of them. */
  readonly runtime: number;
  /** The most at once. */
  readonly peak: number;
  /** Of the peak, what is mapped from disk and can be taken back. */
  readonly reclaimable: number;
}

const runtime = 96 * 2 ** 20;

/** What is estimated: a checkpoint and its modules. */
export interface Estimated {
  readonly checkpoint: BaseCheckpoint;
  readonly base: Pick<MethodBase, "tree" | "attention">;
}

export function estimateMemory(model: Estimated, options: MemoryOptions = {}): MemoryEstimate {
  const { mapped = false, adapters: stored = 0 } = options;
  const linear = linearWeights(model, options.packed);
  const others = otherWeights(model);
  const embeddings = embeddingBytes(model, { linear, mapped, options });
  const weights = linear.bytes + others;
  const { cache, activations } = runBytes(model, options);
  // Read, then laid out for a group of layers, where some are zeros.
  const adapters = 3 * stored;
  const running = cache + activations + adapters;
  // While weights are widened nothing runs yet.
  const widening = mapped ? 0 : linear.widened;
  return {
    weights,
    embeddings,
    cache,
    activations,
    adapters,
    runtime,
    peak: weights + embeddings + runtime + Math.max(running, widening),
    reclaimable: embeddings + (mapped ? linear.bytes : 0),
  };
}

interface LinearBytes {
  readonly bytes: number;
  /** The largest weight that is widened to fp32 before it is laid out. */
  readonly widened: number;
  /** Tables that a head reads whole. */
  readonly tables: ReadonlySet<string>;
}

function linearWeights(
  { checkpoint, base }: Estimated,
  packed: MemoryOptions["packed"],
): LinearBytes {
  let [bytes, widened] = [0, 0];
  const tables = new Set<string>();
  for (const module of base.tree.modules) {
    if (module.kind !== "linear") continue;
    const own = packedBytes(checkpoint, module) ?? packed?.get(module.path) ?? null;
    const wide = module.in * module.out * 4;
    bytes += own ?? wide;
    if (own !== null) continue;
    const name = weightName(module);
    if (checkpoint.weights.get(name)?.dtype !== "F32") widened = Math.max(widened, wide);
    tables.add(name);
  }
  return { bytes, widened, tables };
}

type Linear = ModuleInfo & { readonly kind: "linear" };

/** Bytes of a layer in blocks of integers; null for one that runs in fp32. */
function packedBytes({ packed }: BaseCheckpoint, { path }: Linear): number | null {
  const known = packed?.get(`${path}.weight`);
  if (!known) return null;
  const size = (range: FileRange | undefined): number => range?.byteLength ?? 0;
  // Beside each scale the kernel keeps a sum of its block.
  return size(known.codes) + 2 * size(known.scales) + size(known.zeroPoints) + size(known.order);
}

/** Norms, biases and weights of layers that are no modules of their own (experts), in fp32. */
function otherWeights({ checkpoint, base }: Estimated): number {
  const known = new Set(
    base.tree.modules.flatMap((module) => (module.kind === "norm" ? [] : weightName(module))),
  );
  let bytes = 0;
  for (const [name, { shape, dtype }] of checkpoint.weights) {
    if (!known.has(name) && /^(F|BF)/.test(dtype)) bytes += elementCount(shape) * 4;
  }
  return bytes;
}

/** A table in the memory of the system's files: whole where a head reads it, else its rows in pages. */
function embeddingBytes(
  { checkpoint, base }: Estimated,
  at: { linear: LinearBytes; mapped: boolean; options: MemoryOptions },
): number {
  let bytes = 0;
  for (const module of base.tree.modules) {
    if (module.kind !== "embedding") continue;
    const ref = checkpoint.weights.get(weightName(module));
    if (!ref) continue;
    const isRead = at.linear.tables.has(weightName(module));
    const rowPages = Math.max(4096, ref.byteLength / Math.max(1, module.in));
    const rows = contextOf(at.options) * rowPages;
    // Mapped, the head's weight is the table itself.
    if (isRead) bytes += at.mapped ? 0 : ref.byteLength;
    else bytes += Math.min(ref.byteLength, rows);
  }
  return bytes;
}

/** Tokens that are planned for when nobody says how many: what a conversation of some pages has. */
function contextOf({ contextLength }: MemoryOptions): number {
  return contextLength ?? 2048;
}

/** Keys and values, and what a run over a prompt's part holds at once. */
function runBytes(
  { base }: Estimated,
  options: MemoryOptions,
): { cache: number; activations: number } {
  const { layers, heads, keyValueHeads, headDim } = base.attention;
  let capacity = 64;
  while (capacity < contextOf(options)) capacity *= 2;
  const tokens = options.tokens ?? promptPart;
  const linears = base.tree.modules.filter((module) => module.kind === "linear");
  const isHead = ({ path }: Linear): boolean => path === base.tree.outputEmbedding;
  const widest = linears.reduce((most, m) => (isHead(m) ? most : Math.max(most, m.in, m.out)), 0);
  const vocabulary = linears.find(isHead)?.out ?? 0;
  const scores = 3 * heads * (capacity + tokens);
  const mask = (heads / Math.max(1, keyValueHeads)) * (capacity + tokens);
  const rows = 10 * widest + 4 * (heads + 2 * keyValueHeads) * headDim;
  // Growing to the next capacity holds the old one as well, until it is collected.
  const cache = 1.5 * 2 * layers * keyValueHeads * headDim * capacity * 4;
  return { cache, activations: 4 * (tokens * (scores + mask + rows) + 4 * vocabulary) };
}
