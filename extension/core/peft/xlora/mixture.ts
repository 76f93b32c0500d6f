import type { ModuleInfo } from "../../checkpoint/modules.ts";
import type { AdapterEffects, EmbeddingEffect, LinearEffect, LowRank } from "../effect.ts";
import { chooseExperts } from "./classifier.ts";
import type { XloraConfig } from "./config.ts";

/** What every expert does to one module; undefined where it does nothing. */
type PerExpert<E> = readonly (E | undefined)[];

/** How experts share the layers of a model. */
interface Mixture {
  /** Factor on every update. */
  readonly factor: number;
  /** Weight of each expert in the first pass. */
  readonly first: Float32Array;
  /** Which of the router's weights an expert takes in a module. */
  place(path: string, expert: number): number;
}

/**
 * Experts side by side, as updates that the router weighs.
 * @param layers modules that any expert targets, in the order in which the classifier counts them
 */
export function mixExperts(
  experts: readonly AdapterEffects[],
  config: XloraConfig,
  layers: readonly ModuleInfo[],
): Pick<AdapterEffects, "linear" | "embeddings"> {
  const numbers = new Map(layers.map(({ path }, i) => [path, i]));
  const first = new Float32Array(experts.length).fill(config.scaling_pass_value);
  chooseExperts(first, config);
  const mixture: Mixture = {
    factor: config.global_scaling_weight,
    first,
    place: (path, expert) =>
      (config.layerwise_scalings ? (numbers.get(path) as number) * experts.length : 0) + expert,
  };
  const linear = new Map<string, LinearEffect>();
  const embeddings = new Map<string, EmbeddingEffect>();
  for (const { path } of layers) {
    const updates = experts.map((each) => each.linear.get(path));
    const rows = experts.map((each) => each.embeddings?.get(path));
    if (updates.some(Boolean)) linear.set(path, mixLinear(path, updates, mixture));
    if (rows.some(Boolean)) embeddings.set(path, mixEmbedding(path, rows, mixture));
  }
  return { linear, embeddings };
}

function mixLinear(
  path: string,
  experts: PerExpert<LinearEffect>,
  { factor, first, place }: Mixture,
): LinearEffect {
  const updates = experts.flatMap((effect) => effect?.lowRank ?? []);
  const expertOf = experts.flatMap((effect, expert) =>
    Array<number>(effect?.lowRank?.rank ?? 0).fill(expert),
  );
  // A bias of B does not pass through the weighed input, so every expert's counts in full.
  const shifts = experts.flatMap((effect) => (effect?.shift ? [effect.shift] : []));
  return {
    fed: {
      ...sideBySide(updates, factor),
      weightOf: Int32Array.from(expertOf, (expert) => place(path, expert)),
      first: Float32Array.from(expertOf, (expert) => first[expert] as number),
    },
    ...(shifts.length > 0 && { shift: sum(shifts.map((shift) => [factor, shift])) }),
  };
}

function mixEmbedding(
  path: string,
  experts: PerExpert<EmbeddingEffect>,
  { factor, first, place }: Mixture,
): EmbeddingEffect {
  const mixed = (id: number, weightOf: (expert: number) => number): Float32Array =>
    sum(
      experts.flatMap((effect, expert) => {
        const row = effect?.rowDelta(id);
        return row ? [[factor * weightOf(expert), row] as const] : [];
      }),
    );
  return {
    rowDelta: (id) => mixed(id, (expert) => first[expert] as number),
    routedDelta: (id, weights) => mixed(id, (expert) => weights[place(path, expert)] as number),
  };
}

/** A [Σ rank, in], factor · B [out, Σ rank]. */
function sideBySide(updates: readonly LowRank[], factor: number): LowRank {
  const rank = updates.reduce((total, update) => total + update.rank, 0);
  const [one] = updates;
  if (!one) return { a: new Float32Array(0), b: new Float32Array(0), rank };
  const a = new Float32Array((rank * one.a.length) / one.rank);
  const b = new Float32Array((rank * one.b.length) / one.rank);
  let [at, offset] = [0, 0];
  for (const { a: down, b: up, rank: own } of updates) {
    a.set(down, at);
    up.forEach((value, i) => {
      b[Math.floor(i / own) * rank + offset + (i % own)] = factor * value;
    });
    at += down.length;
    offset += own;
  }
  return { a, b, rank };
}

function sum(terms: readonly (readonly [factor: number, row: Float32Array])[]): Float32Array {
  const out = new Float32Array(terms[0]?.[1].length ?? 0);
  for (const [factor, row] of terms) {
    row.forEach((value, i) => (out[i] = (out[i] as number) + factor * value));
  }
  return out;
}
