import type { Value } from "../onnx/graph.ts";
import type { ModelBuilder } from "./modelBuilder.ts";

/** How a family normalises. */
export interface NormKind {
  readonly kind: "rms" | "layer";
  readonly epsilon: number;
  /** Added to the stored weight: 1 in Gemma, whose weights are stored around 0. */
  readonly offset?: number;
  /** A LayerNorm without a bias. */
  readonly isUnbiased?: boolean;
}

/** A norm over the last axis, whose weight is [size]. */
export function norm(
  m: ModelBuilder,
  kind: NormKind,
  { path, x, size }: { path: string; x: Value; size: number },
): Value {
  const { epsilon } = kind;
  if (kind.kind === "layer") {
    const own = kind.isUnbiased ? { weight: m.norm(path, size) } : m.biasedNorm(path, size);
    return m.g.scope(path, () => m.g.layerNorm(x, { ...own, epsilon }));
  }
  const weight = rmsWeight(m, kind, { path, size });
  return m.g.scope(path, () => m.g.rmsNorm(x, weight, epsilon));
}

/** Adds the last block's output to the stream (when there is one) and normalises. */
export function addAndNorm(
  m: ModelBuilder,
  kind: NormKind,
  at: { stream: Value; pending: Value | null; path: string; size: number },
): { normed: Value; stream: Value } {
  const { stream, pending, path, size } = at;
  const { epsilon } = kind;
  if (pending === null) return { normed: norm(m, kind, { path, x: stream, size }), stream };
  if (kind.kind === "layer") {
    const sum = m.g.scope(path, () => m.g.add(stream, pending));
    return { normed: norm(m, kind, { path, x: sum, size }), stream: sum };
  }
  const weight = rmsWeight(m, kind, { path, size });
  const [normed, sum] = m.g.scope(path, () => m.g.addRmsNorm(stream, pending, { weight, epsilon }));
  return { normed, stream: sum };
}

/** What an RMS norm multiplies by. Adapters see the weight as it is stored. */
function rmsWeight(
  m: ModelBuilder,
  { offset = 0 }: NormKind,
  { path, size }: { path: string; size: number },
): Value {
  const stored = m.norm(path, size);
  return offset === 0 ? stored : m.g.scope(path, () => m.g.add(stored, m.g.scalar(offset)));
}
