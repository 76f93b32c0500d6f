import { t } from "@vscode/l10n";
import { isReadableDtype, toFloat32 } from "../../base/dtype.ts";
import type { Shape } from "../../base/shape.ts";
import { type ModuleInfo, weightName } from "../../checkpoint/modules.ts";
import type { LinearModule } from "../../onnx/layerHook.ts";
import { compose } from "../compose.ts";
import type { Activation, AdapterEffects, EmbeddingEffect, LinearEffect } from "../effect.ts";
import type { ExpertEffect } from "../experts/effect.ts";
import type { MethodBase } from "../method.ts";
import type { WholeParameter } from "./wholeParameters.ts";
import type { Values } from "./tensors.ts";

/** Effects under construction. */
export interface GrowingEffects extends AdapterEffects {
  readonly linear: Map<string, LinearEffect>;
  readonly embeddings: Map<string, EmbeddingEffect>;
  readonly norms: Map<string, Float32Array>;
  readonly replaces: Set<string>;
  experts?: Map<string, ExpertEffect>;
  activation?: Activation;
  layers?: readonly number[];
}

/** Parameters stored whole, as what they add to the base's own. */
export async function wholeEffects(
  whole: readonly WholeParameter[],
  replaced: ReadonlyMap<string, Float32Array>,
  base: MethodBase,
): Promise<GrowingEffects> {
  const [linear, embeddings, norms] = [new Map(), new Map(), new Map()];
  const effects: GrowingEffects = { linear, embeddings, norms, replaces: new Set() };
  for (const { module, parameter } of whole) {
    const own = replaced.get(`${module.path}.${parameter}`) as Float32Array;
    const old = await base.readTensor(
      parameter === "weight" ? weightName(module) : `${module.path}.bias`,
    );
    if (old && own.length > old.length && module.kind !== "norm") {
      growVocabulary(effects, { module, own, old }, { whole, base });
      effects.replaces.add(`${module.path}.${parameter}`);
      continue;
    }
    const delta = own.map((value, i) => value - (old?.[i] ?? 0));
    if (delta.every((value) => value === 0)) continue;
    effects.replaces.add(`${module.path}.${parameter}`);
    if (module.kind === "norm") {
      effects.norms.set(parameter === "bias" ? `${module.path}.bias` : module.path, own);
    } else if (module.kind === "embedding") {
      effects.embeddings.set(module.path, {
        rowDelta: (id) => delta.subarray(id * module.out, (id + 1) * module.out),
      });
    } else {
      const part = parameter === "weight" ? { delta } : { shift: delta };
      effects.linear.set(module.path, { ...effects.linear.get(module.path), ...part });
    }
  }
  return effects;
}

/** A table or head with more rows than the base's; a head tied to the table grows with it. */
function growVocabulary(
  effects: GrowingEffects,
  { module, own, old }: { module: ModuleInfo; own: Float32Array; old: Float32Array },
  { whole, base }: { whole: readonly WholeParameter[]; base: MethodBase },
): void {
  if (module.kind === "linear") {
    effects.linear.set(module.path, grownHead(own, old));
    return;
  }
  // New tokens are fed as token 0, so theirs is what differs from it.
  const { path, out: width } = module;
  const delta = own.map((value, i) => value - (old[i < old.length ? i : i % width] as number));
  effects.embeddings.set(path, {
    rows: own.length / width,
    rowDelta: (id) => delta.subarray(id * width, (id + 1) * width),
  });
  for (const head of base.tree.modules) {
    const isTied = head.kind === "linear" && head.weight === weightName(module);
    if (!isTied || whole.some((other) => other.module.path === head.path)) continue;
    effects.linear.set(head.path, grownHead(own, old));
  }
}

function grownHead(own: Float32Array, old: Float32Array): LinearEffect {
  const delta = old.map((value, i) => (own[i] as number) - value);
  const newRows = own.subarray(old.length);
  return delta.every((value) => value === 0) ? { newRows } : { delta, newRows };
}

/** One effect more on a layer, after those that it has. */
export function addLinear(
  effects: GrowingEffects,
  module: LinearModule,
  effect: LinearEffect,
): void {
  const before = effects.linear.get(module.path);
  effects.linear.set(module.path, before ? compose(before, effect, module) : effect);
}

/** One effect more on a table, after those that it has. */
export function addEmbedding(effects: GrowingEffects, path: string, effect: EmbeddingEffect): void {
  const before = effects.embeddings.get(path);
  if (!before) {
    effects.embeddings.set(path, effect);
    return;
  }
  const carry = effect.carry ?? before.carry;
  const rows = effect.rows ?? before.rows;
  const tokens = [...(before.tokens ?? []), ...(effect.tokens ?? [])];
  effects.embeddings.set(path, {
    ...(carry && { carry: (added: Float32Array) => carry(added) }),
    ...(tokens.length > 0 && { tokens }),
    ...(rows !== undefined && { rows }),
    rowDelta: (id) => {
      const [first, second] = [before.rowDelta(id), effect.rowDelta(id)];
      return first && second
        ? first.map((value, i) => value + (second[i] as number))
        : (first ?? second);
    },
  });
}

/** Adds what an extra (saved modules, biases) does, after the method's own. */
export function mergeEffects(
  effects: GrowingEffects,
  extra: Partial<AdapterEffects>,
  base: MethodBase,
): void {
  const modules = new Map(base.tree.modules.map((module) => [module.path, module]));
  for (const [path, effect] of extra.linear ?? []) {
    addLinear(effects, modules.get(path) as LinearModule, effect);
  }
  for (const [path, effect] of extra.embeddings ?? []) addEmbedding(effects, path, effect);
  if (extra.experts) effects.experts = new Map([...(effects.experts ?? []), ...extra.experts]);
  for (const [path, weight] of extra.norms ?? []) effects.norms.set(path, weight);
  if (extra.activation) effects.activation = extra.activation;
}

/** NaN, Inf and effects that are neutral everywhere are named: PEFT loads them without a word. */
export function valueWarnings(values: Values, effects: AdapterEffects): string[] {
  const warnings: string[] = [];
  for (const [name, { entry, bytes }] of values) {
    if (!isReadableDtype(entry.dtype)) continue;
    const found = notFinite(toFloat32(bytes, entry.dtype), entry.shape);
    if (!found) continue;
    warnings.push(
      t(
        'Tensor "{0}" holds NaN or infinite values: {1}. Answers with it mean nothing: get the file again, or train it anew.',
        name,
        found,
      ),
    );
  }
  const changes =
    [...effects.linear.values()].some(changesSomething) ||
    [...(effects.experts?.values() ?? [])].some(changesExperts) ||
    (effects.embeddings?.size ?? 0) + (effects.norms?.size ?? 0) > 0 ||
    Boolean(effects.virtualTokens ?? effects.cachePrefix ?? effects.attention ?? effects.companion);
  if (!changes)
    warnings.push(t("The adapter changes nothing: its update is zero in every module."));
  return warnings;
}

/** How many values are no numbers, and where the first is; null when all are numbers. */
function notFinite(data: Float32Array, shape: Shape): string | null {
  if (holdsNumbers(data)) return null;
  let [nan, infinite, first] = [0, 0, -1];
  data.forEach((value, i) => {
    if (Number.isFinite(value)) return;
    if (first < 0) first = i;
    if (Number.isNaN(value)) nan++;
    else infinite++;
  });
  const place: number[] = [];
  let rest = first;
  for (const size of [...shape].reverse()) {
    place.unshift(rest % size);
    rest = Math.floor(rest / size);
  }
  return t(
    "{0} NaN and {1} infinite of {2}, the first at [{3}]",
    nan,
    infinite,
    data.length,
    place.join(", "),
  );
}

/** Sums that are 0 for numbers, NaN as soon as one is none; several, as each addition waits for the last. */
function holdsNumbers(data: Float32Array): boolean {
  let [a, b, c, d] = [0, 0, 0, 0];
  const even = data.length - (data.length % 4);
  for (let i = 0; i < even; i += 4) {
    a += (data[i] as number) * 0;
    b += (data[i + 1] as number) * 0;
    c += (data[i + 2] as number) * 0;
    d += (data[i + 3] as number) * 0;
  }
  for (let i = even; i < data.length; i++) a += (data[i] as number) * 0;
  return a + b + c + d === 0;
}

function changesExperts({ a, b }: ExpertEffect): boolean {
  return [a, b].every((values) => values.some((value) => value !== 0));
}

function changesSomething({
  lowRank,
  gated,
  newRows,
  routed,
  fed,
  delta,
  inputScale,
  outputScale,
  shift,
}: LinearEffect): boolean {
  const not = (neutral: number) => (value: number) => value !== neutral;
  return (
    (lowRank !== undefined && lowRank.a.some(not(0)) && lowRank.b.some(not(0))) ||
    (gated !== undefined && gated.a.some(not(0)) && gated.b.some(not(0))) ||
    newRows !== undefined ||
    (routed !== undefined && routed.a.some(not(0)) && routed.b.some(not(0))) ||
    (fed !== undefined && fed.a.some(not(0)) && fed.b.some(not(0))) ||
    (delta?.some(not(0)) ?? false) ||
    (inputScale?.some(not(1)) ?? false) ||
    (outputScale?.some(not(1)) ?? false) ||
    (shift?.some(not(0)) ?? false)
  );
}
