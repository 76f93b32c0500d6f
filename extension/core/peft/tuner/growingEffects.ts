import { isFloatDtype, toFloat32 } from "../../base/dtype.ts";
import { weightName } from "../../checkpoint/modules.ts";
import type { LinearModule } from "../../onnx/layerHook.ts";
import {
  type AdapterEffects,
  compose,
  type EmbeddingEffect,
  type LinearEffect,
} from "../effect.ts";
import type { MethodBase } from "../method.ts";
import type { WholeParameter } from "./binding.ts";
import type { Values } from "./tensors.ts";

/** Effects under construction. */
export interface GrowingEffects extends AdapterEffects {
  readonly linear: Map<string, LinearEffect>;
  readonly embeddings: Map<string, EmbeddingEffect>;
  readonly norms: Map<string, Float32Array>;
}

/** Parameters stored whole, as what they add to the base's own. */
export async function wholeEffects(
  whole: readonly WholeParameter[],
  replaced: ReadonlyMap<string, Float32Array>,
  base: MethodBase,
): Promise<GrowingEffects> {
  const effects: GrowingEffects = { linear: new Map(), embeddings: new Map(), norms: new Map() };
  for (const { module, parameter } of whole) {
    const own = replaced.get(`${module.path}.${parameter}`) as Float32Array;
    const old = await base.readTensor(
      parameter === "weight" ? weightName(module) : `${module.path}.bias`,
    );
    const delta = own.map((value, i) => value - (old?.[i] ?? 0));
    if (delta.every((value) => value === 0)) continue;
    if (module.kind === "norm") effects.norms.set(module.path, own);
    else if (module.kind === "embedding") {
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

export function addLinear(
  effects: GrowingEffects,
  module: LinearModule,
  effect: LinearEffect,
): void {
  const before = effects.linear.get(module.path);
  effects.linear.set(module.path, before ? compose(before, effect, module) : effect);
}

export function addEmbedding(effects: GrowingEffects, path: string, effect: EmbeddingEffect): void {
  const before = effects.embeddings.get(path);
  if (!before) {
    effects.embeddings.set(path, effect);
    return;
  }
  effects.embeddings.set(path, {
    rowDelta: (id) => {
      const [first, second] = [before.rowDelta(id), effect.rowDelta(id)];
      return first && second
        ? first.map((value, i) => value + (second[i] as number))
        : (first ?? second);
    },
  });
}

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
  for (const [path, weight] of extra.norms ?? []) effects.norms.set(path, weight);
}

/** NaN, Inf and effects that are neutral everywhere are named: PEFT loads them without a word. */
export function valueWarnings(values: Values, effects: AdapterEffects): string[] {
  const warnings: string[] = [];
  for (const [name, { entry, bytes }] of values) {
    if (isFloatDtype(entry.dtype) && !toFloat32(bytes, entry.dtype).every(Number.isFinite)) {
      warnings.push(`Tensor "${name}" holds NaN or infinite values.`);
    }
  }
  const changes =
    [...effects.linear.values()].some(changesSomething) ||
    (effects.embeddings?.size ?? 0) + (effects.norms?.size ?? 0) > 0 ||
    Boolean(effects.virtualTokens ?? effects.cachePrefix ?? effects.attention);
  if (!changes) warnings.push("The adapter changes nothing: its update is zero in every module.");
  return warnings;
}

function changesSomething({
  lowRank,
  routed,
  delta,
  inputScale,
  outputScale,
  shift,
}: LinearEffect): boolean {
  const not = (neutral: number) => (value: number) => value !== neutral;
  return (
    (lowRank !== undefined && lowRank.a.some(not(0)) && lowRank.b.some(not(0))) ||
    (routed !== undefined && routed.a.some(not(0)) && routed.b.some(not(0))) ||
    (delta?.some(not(0)) ?? false) ||
    (inputScale?.some(not(1)) ?? false) ||
    (outputScale?.some(not(1)) ?? false) ||
    (shift?.some(not(0)) ?? false)
  );
}
