/** What an adapter does to one module, as a matrix where it is one, else the reason why it is none. */
import { t } from "@vscode/l10n";
import { asGraftError, misfit, throwIfAborted } from "../base/errors.ts";
import { expertTensor, type ModuleInfo, normTensor, weightName } from "../checkpoint/modules.ts";
import { type Factors, joined } from "../peft/combine/factors.ts";
import type { Update } from "../peft/convert/factorise.ts";
import { biasUpdate, matrixUpdate } from "../peft/convert/update.ts";
import type { AdapterEffects, EmbeddingEffect, LinearEffect } from "../peft/effect.ts";
import { type ExpertEffect, updateOf } from "../peft/experts/effect.ts";
import type { MethodBase, OpenedModule } from "../peft/method.ts";

export type AnalyzedKind = "matrix" | "table" | "vector" | "experts";

/** A module's change. */
export interface ModuleDelta {
  readonly kind: AnalyzedKind;
  /** [in, out] features; null where it is not known. */
  readonly shape: [number, number] | null;
  /** One matrix, or one for each expert; none where there is no telling, and `reason` says why. */
  readonly updates: readonly Update[];
  /** What the change is added to, or null. */
  weights(): Promise<readonly Float32Array[] | null>;
  /** ‖Δb‖, or null where no bias changes. */
  readonly biasNorm: number | null;
  /** What is done at run time. */
  readonly effects: AdapterEffects | null;
  readonly reason?: string;
}

export interface DeltaBase {
  readonly base: MethodBase;
  /** False where the base is made up of the adapter's own tensors: it has no weights. */
  readonly hasWeights: boolean;
  readonly signal?: AbortSignal | undefined;
}

/** Numbers beyond which a table's change is not made as one matrix: 64 MB. */
const largestTable = 2 ** 24;

/** Reads a module and makes its change; whatever stands in the way becomes the reason. */
export async function moduleDelta(opened: OpenedModule, at: DeltaBase): Promise<ModuleDelta> {
  const module = moduleAt(opened.path, at.base);
  const path = module?.path ?? opened.path;
  const shape: [number, number] | null =
    module && module.kind !== "norm" ? [module.in, module.out] : null;
  const kind = kindOf(module);
  const nothing = { kind, shape, updates: [], weights: none, biasNorm: null, effects: null };
  try {
    const effects = await opened.effects();
    const own = { module, effects, at };
    const experts = effects.experts?.get(path);
    if (experts) return expertDelta(path, experts, own);
    if (module?.kind === "norm") return await vectorDelta(module, own);
    const table = effects.embeddings?.get(path);
    if (module?.kind === "embedding" && table) return tableDelta(module, table, own);
    const effect = effects.linear.get(path);
    if (module?.kind === "linear" && effect) return await linearDelta(module, effect, own);
    return { ...nothing, effects, ...unchanged(shape) };
  } catch (error) {
    throwIfAborted(at.signal);
    const known = asGraftError(error);
    if (known.code === "cancelled") throw known;
    return { ...nothing, reason: at.hasWeights ? known.message : needsBase() };
  }
}

/** A parameter that is targeted by its own name is its module's. */
export function moduleAt(path: string, { tree }: MethodBase): ModuleInfo | undefined {
  const plain = path.replace(/\.weight$/, "");
  return tree.modules.find((each) => each.path === path || each.path === plain);
}

interface Own {
  readonly effects: AdapterEffects;
  readonly at: DeltaBase;
}

function needsBase(): string {
  return t("It follows from the base's weights, and the base is not on this machine.");
}

/** Nothing was done: stored whole and equal to the base's, or switched off. */
function unchanged(shape: [number, number] | null): Pick<ModuleDelta, "updates"> {
  if (!shape) return { updates: [] };
  const [inputs, out] = shape;
  const factors = { a: new Float32Array(inputs), b: new Float32Array(out), rank: 1, inputs, out };
  return { updates: [{ kind: "factors", factors }] };
}

function kindOf(module: ModuleInfo | undefined): AnalyzedKind {
  if (!module) return "matrix";
  return ({ linear: "matrix", embedding: "table", norm: "vector" } as const)[module.kind];
}

const none = (): Promise<null> => Promise.resolve(null);

async function linearDelta(
  module: ModuleInfo & { kind: "linear" },
  effect: LinearEffect,
  { effects, at }: Own,
): Promise<ModuleDelta> {
  const { base, hasWeights, signal } = at;
  const own = ownWeight(module, at);
  const bias = await biasUpdate(effect, {
    bias: () => base.readTensor(`${module.path}.bias`, signal),
  });
  const common = {
    kind: "matrix" as const,
    shape: [module.in, module.out] as [number, number],
    weights: async () => (hasWeights ? [await own()] : null),
    biasNorm: bias && Math.sqrt(squares(bias)),
    effects,
  };
  const reason = noMatrix(effect, hasWeights);
  if (reason !== null) return { ...common, updates: [], reason };
  const update = await matrixUpdate(module, withGated(effect, module), { weight: own });
  const note = effect.gated
    ? t("It holds for the tokens from the adapter's invocation on, not for those before.")
    : undefined;
  return { ...common, updates: [update], ...(note !== undefined && { reason: note }) };
}

/** Why a layer's effect is no one matrix, or null. */
function noMatrix(effect: LinearEffect, hasWeights: boolean): string | null {
  if (effect.routed) return t("It routes tokens among experts: no one matrix is its update.");
  if (effect.fed)
    return t("Its router weighs experts anew for every token: no one matrix is its update.");
  if (effect.newRows && !effect.delta) return t("It only adds rows for new tokens.");
  if (!hasWeights && (effect.inputScale ?? effect.outputScale)) return needsBase();
  return null;
}

/** An update of some tokens alone is looked at as if it were one of all. */
function withGated(
  { gated, ...effect }: LinearEffect,
  { in: inputs, out }: { in: number; out: number },
): LinearEffect {
  if (!gated) return effect;
  const { lowRank } = effect;
  const parts: [Factors, ...Factors[]] = [{ ...gated, inputs, out }];
  return { ...effect, lowRank: joined(lowRank ? [{ ...lowRank, inputs, out }, ...parts] : parts) };
}

function ownWeight(module: ModuleInfo, { base, signal }: DeltaBase): () => Promise<Float32Array> {
  return async () => {
    const weight = await base.readTensor(weightName(module), signal);
    if (weight) return weight;
    throw misfit(t("The base has no tensor {0}.", weightName(module)));
  };
}

async function vectorDelta(
  module: ModuleInfo & { kind: "norm" },
  { effects, at: { base, hasWeights, signal } }: Own,
): Promise<ModuleDelta> {
  const update = async (key: string): Promise<Float32Array | null> => {
    const own = effects.norms?.get(key);
    const old = own && (await base.readTensor(normTensor(key), signal));
    return own && old ? own.map((value, i) => value - (old[i] ?? 0)) : null;
  };
  const weight = await update(module.path);
  const bias = await update(`${module.path}.bias`);
  const values = weight ?? (hasWeights ? new Float32Array(module.out) : null);
  return {
    kind: "vector",
    shape: null,
    updates: values ? [{ kind: "dense", values, inputs: 1, out: values.length }] : [],
    weights: async () => {
      const old = await base.readTensor(normTensor(module.path), signal);
      return old && [old];
    },
    biasNorm: bias && Math.sqrt(squares(bias)),
    effects,
    ...(values === null && { reason: needsBase() }),
  };
}

function tableDelta(
  module: ModuleInfo & { kind: "embedding" },
  effect: EmbeddingEffect,
  { effects, at }: Own,
): ModuleDelta {
  const { in: tokens, out: dim } = module;
  const own = ownWeight(module, at);
  const common = {
    kind: "table" as const,
    shape: [tokens, dim] as [number, number],
    weights: async () => (at.hasWeights ? [await own()] : null),
    biasNorm: null,
    effects,
  };
  if (effect.routedDelta) {
    const reason = t(
      "Its router weighs experts anew for every token: no one matrix is its update.",
    );
    return { ...common, updates: [], reason };
  }
  if (effect.lowRank) {
    const factors = { ...effect.lowRank, inputs: tokens, out: dim };
    return { ...common, updates: [{ kind: "factors", factors }] };
  }
  const ids = [...new Set(effect.tokens ?? range(effect.rows ?? tokens))].filter(
    (id) => id < tokens,
  );
  if (ids.length * dim > largestTable) {
    const reason = t("The table is changed in {0} rows, too many to look at.", ids.length);
    return { ...common, updates: [], reason };
  }
  return { ...common, updates: [rowsUpdate(effect, ids, dim)] };
}

/** The changed rows as [dim, rows]: what of a table stays as it is adds nothing to its numbers. */
function rowsUpdate(effect: EmbeddingEffect, ids: readonly number[], dim: number): Update {
  const values = new Float32Array(dim * ids.length);
  ids.forEach((id, column) => {
    effect.rowDelta(id)?.forEach((value, row) => (values[row * ids.length + column] = value));
  });
  return { kind: "dense", values, inputs: ids.length, out: dim };
}

function expertDelta(path: string, effect: ExpertEffect, { effects, at }: Own): ModuleDelta {
  const { base, hasWeights, signal } = at;
  const stack = base.tree.experts?.find((each) => path.startsWith(`${each.path}.`));
  const matrix = stack?.parameters.find(({ name }) => path === `${stack.path}.${name}`);
  if (!stack || !matrix) throw misfit(t("The base has no experts of the name {0}.", path));
  const { in: inputs, out } = matrix;
  const experts = range(stack.count);
  const whole = { firstRow: 0, rows: out };
  const updates = experts.map((expert): Update => {
    const own = updateOf(effect, { count: stack.count, in: inputs, out }, { expert, ...whole });
    return { kind: "factors", factors: { ...own, inputs, out } };
  });
  const weights = async (): Promise<readonly Float32Array[] | null> => {
    const names = experts.flatMap((expert) =>
      matrix.parts.map((part) => expertTensor(stack, expert, part)),
    );
    const read: Float32Array[] = [];
    for (const name of names) {
      const values = await base.readTensor(name, signal);
      if (!values) return null;
      read.push(values);
    }
    return read;
  };
  return {
    kind: "experts",
    shape: [inputs, out],
    updates,
    weights: hasWeights ? weights : none,
    biasNorm: null,
    effects,
    reason: t("Each of {0} experts has a matrix of its own: the norm is that of all.", stack.count),
  };
}

/** Σ x². */
export function squares(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += (values[i] as number) ** 2;
  return sum;
}

function range(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}
