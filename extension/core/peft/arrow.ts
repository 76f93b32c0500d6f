/**
 * Arrow (https://arxiv.org/abs/2405.11157; PEFT tuners/lora/arrow.py): routes every token among
 * several LoRA adapters without training. Each has a prototype v, the leading right singular vector
 * of B A; a token's weights are the softmax of |v x| / temperature over the largest few,
 *
 *     y = W x + Σ_e g_e(x) s_e B_e A_e x
 *
 * With general knowledge subtracted (GenKnowSub, https://aclanthology.org/2025.acl-short.54), each task's
 * factors lose the mean of the general adapters' factors first: A_e − mean A, B_e − mean B.
 *
 * Run time: the routed low-rank slot. PEFT's 15 power iterations from a seeded start are followed
 * rather than the exact vector, which they do not quite reach.
 */
import { t } from "@vscode/l10n";
import { badRequest } from "../base/errors.ts";
import { dot, multiply, transposed } from "../base/matrix.ts";
import { torchGenerator } from "../base/torchRandom.ts";
import { parseFields } from "../base/json.ts";
import type { AdapterConfig } from "../checkpoint/adapterConfig.ts";
import type { AdapterEffects, LinearEffect, LowRank, RoutedLowRank } from "./effect.ts";
import { loraScale, loraSchema } from "./loraConfig.ts";

export interface ArrowOptions {
  /** Adapters that share a token. */
  readonly topK?: number;
  /** Above 0; the larger, the more even the weights. */
  readonly temperature?: number;
  /** Seed of the power iteration (PEFT's rng_seed). */
  readonly seed?: number;
  /** Subtract the general adapters' knowledge from the tasks' (PEFT's use_gks). */
  readonly useGks?: boolean;
}

/**
 * The effects of routing among adapters.
 * @param options `general`: those whose knowledge `useGks` subtracts
 * @throws bad-request unless all are plain LoRA of one rank on the same modules
 */
export function arrowEffects(
  adapters: readonly ArrowAdapter[],
  {
    topK = 3,
    temperature = 1,
    seed = 0,
    useGks = false,
    general = [],
  }: ArrowOptions & { general?: readonly ArrowAdapter[] } = {},
): AdapterEffects {
  const experts = useGks
    ? withoutGeneral(adapters, general)
    : adapters.map(({ effects }) => effects);
  if (experts.length === 0) throw badRequest(t("Arrow needs at least one adapter."));
  if (!(temperature > 0))
    throw badRequest(t("Arrow's temperature is {0}, not above 0.", temperature));
  // torch.topk fails where there are fewer.
  if (!(Number.isInteger(topK) && topK > 0 && topK <= experts.length)) {
    throw badRequest(t("Arrow's top_k is {0}; there are {1} adapters.", topK, experts.length));
  }
  const paths = [...(experts[0] as AdapterEffects).linear.keys()];
  const linear = new Map<string, LinearEffect>();
  for (const path of paths) {
    const own = experts.map((effects) => plainLora(effects, path, paths.length));
    linear.set(path, { routed: route(own, { topK, temperature, seed }) });
  }
  return { linear };
}

/** A loaded LoRA adapter. */
export interface ArrowAdapter {
  readonly config: AdapterConfig;
  readonly effects: AdapterEffects;
}

/** What adapters do without the mean of general ones. */
function withoutGeneral(
  experts: readonly ArrowAdapter[],
  general: readonly ArrowAdapter[],
): AdapterEffects[] {
  if (general.length === 0) {
    throw badRequest(t("Name the general adapters whose knowledge is to be subtracted."));
  }
  return experts.map((expert) => {
    const { linear } = expert.effects;
    const effects = [...linear.keys()].map((path) => {
      const own = unscaled(expert, path, linear.size);
      const others = general.map((each) => unscaled(each, path, linear.size));
      if (others.some(({ rank }) => rank !== own.rank)) {
        throw badRequest(t("Arrow routes among adapters of one rank."));
      }
      const a = own.a.map((value, i) => value - mean(others, (other) => other.a[i]));
      const b = own.b.map(
        (value, i) => own.scaling * (value - mean(others, (other) => other.b[i])),
      );
      return [path, { lowRank: { a, b, rank: own.rank } }] as const;
    });
    return { linear: new Map(effects) };
  });
}

/** An adapter's factors as the file has them: scaling counts once, when all is subtracted. */
function unscaled(
  { config, effects }: ArrowAdapter,
  path: string,
  modules: number,
): LowRank & { scaling: number } {
  const { a, b, rank } = plainLora(effects, path, modules);
  const fields = parseFields(loraSchema, config.raw, config.file);
  const { scaling } = loraScale(fields, path, config.file);
  if (scaling === 0)
    throw badRequest(t("{0}: an adapter of scaling 0 cannot be routed to.", config.file));
  return { a, b: b.map((value) => value / scaling), rank, scaling };
}

function mean(adapters: readonly LowRank[], value: (of: LowRank) => number | undefined): number {
  return adapters.reduce((sum, each) => sum + (value(each) ?? 0), 0) / adapters.length;
}

function plainLora(effects: AdapterEffects, path: string, modules: number): LowRank {
  const { lowRank, ...rest } = effects.linear.get(path) ?? {};
  if (!lowRank || Object.keys(rest).length > 0 || effects.linear.size !== modules) {
    throw badRequest(
      t("Arrow routes among plain LoRA adapters on the same modules; see {0}.", path),
    );
  }
  return lowRank;
}

function route(
  experts: readonly LowRank[],
  { topK, temperature, seed }: Required<Omit<ArrowOptions, "useGks">>,
): RoutedLowRank {
  const [{ rank: own, a: one, b: other }] = experts as [LowRank];
  if (experts.some(({ rank }) => rank !== own)) {
    throw badRequest(t("Arrow routes among adapters of one rank."));
  }
  const [inputs, out, rank] = [one.length / own, other.length / own, own * experts.length];
  const a = new Float32Array(rank * inputs);
  const b = new Float32Array(out * rank);
  const router = new Float32Array(experts.length * inputs);
  experts.forEach((expert, e) => {
    a.set(expert.a, e * one.length);
    expert.b.forEach((value, i) => (b[Math.floor(i / own) * rank + e * own + (i % own)] = value));
    const vector = prototype(expert, inputs, seed);
    vector.forEach((value, i) => (router[e * inputs + i] = value / temperature));
  });
  const expertOf = Int32Array.from({ length: rank }, (_, i) => Math.floor(i / own));
  return { a, b, rank, expertOf, router, gate: { kind: "largest", count: topK } };
}

/** v ← Aᵀ Bᵀ B A v, normalized, 15 times. [in]; the factor on B makes no difference. */
function prototype({ a, b, rank }: LowRank, inputs: number, seed: number): Float64Array {
  const out = b.length / rank;
  const gram = multiply(transposed(b, out, rank), b, { rows: rank, inner: out, columns: rank });
  const down = transposed(a, rank, inputs);
  let vector = unit(Float64Array.from(torchGenerator(seed).normal(inputs)));
  for (let i = 0; i < 15; i++) {
    const inner = multiply(a, vector, { rows: rank, inner: inputs, columns: 1 });
    const turned = multiply(gram, inner, { rows: rank, inner: rank, columns: 1 });
    vector = unit(multiply(down, turned, { rows: inputs, inner: rank, columns: 1 }));
  }
  return vector;
}

function unit(vector: Float64Array): Float64Array {
  const norm = Math.sqrt(dot(vector, vector)) + 1e-8;
  return vector.map((value) => value / norm);
}
