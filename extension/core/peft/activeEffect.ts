/** What several active adapters together do to one module: their composition in order. */
import type { LinearModule } from "../onnx/layerHook.ts";
import { compose, weighted } from "./compose.ts";
import type { LinearEffect } from "./effect.ts";
import type { ActiveEffects } from "./slots.ts";

/** The effect on a linear layer; null where no active adapter has one. */
export function activeEffect(
  module: LinearModule,
  active: readonly ActiveEffects[],
): LinearEffect | null {
  const own = active.flatMap(({ effects, weight }) => {
    const effect = weight === 0 ? undefined : effects.linear.get(module.path);
    return effect ? [weighted(effect, weight)] : [];
  });
  const [first, ...rest] = inTurn(own);
  if (!first) return null;
  return rest.reduce((total, effect) => compose(total, effect, module), first);
}

/** Neighbours whose first one turns the input first change places (rotation.ts). */
function inTurn(effects: readonly LinearEffect[]): LinearEffect[] {
  const out: LinearEffect[] = [];
  let run: LinearEffect[] = [];
  for (const effect of effects) {
    if (effect.rotation?.firstTurnsFirst) {
      run.unshift(effect);
    } else {
      out.push(...run, effect);
      run = [];
    }
  }
  return [...out, ...run];
}

/**
 * What all active adapters add to a token's row of an embedding, under a router's weights where there
 * are any; null for nothing.
 */
export function activeRowDelta(
  { path, rows }: { path: string; rows: number },
  id: number,
  { active, weights }: { active: readonly ActiveEffects[]; weights?: Float32Array },
): Float32Array | null {
  let sum: Float32Array | null = null;
  for (const { effects, weight } of active) {
    const effect = weight === 0 ? undefined : effects.embeddings?.get(path);
    if (!effect || id >= (effect.rows ?? rows)) continue;
    if (sum && effect.carry) {
      const before: Float32Array = sum;
      const after = effect.carry(before);
      sum = before.map((value, i) => value + weight * ((after[i] as number) - value));
    }
    const own = (weights && effect.routedDelta?.(id, weights)) ?? effect.rowDelta(id);
    if (!own) continue;
    const before: Float32Array | null = sum;
    sum = own.map((value, i) => weight * value + (before?.[i] ?? 0));
  }
  return sum;
}
