/** Active adapters: which effects act on each row of a batch, and what they do together to one module. */
import { t } from "@vscode/l10n";
import { badRequest, unsupported } from "../base/errors.ts";
import type { LinearModule } from "../onnx/layerHook.ts";
import { compose, weighted } from "./compose.ts";
import type { AdapterEffects, LinearEffect } from "./effect.ts";

/** One adapter of a set of active ones, in their order. */
export interface ActiveEffects {
  readonly effects: AdapterEffects;
  /** Factor on what it changes; 1 is as trained. */
  readonly weight: number;
  /** Which task of an adapter for several is meant: one, or one a row of the batch; 0 when absent. */
  readonly task?: number | readonly number[] | undefined;
}

/** The active effects of one row of the batch, with each adapter's task chosen. */
export function activeAt<A extends ActiveEffects>(active: readonly A[], row: number): A[] {
  return active.map((each) => {
    const { tasks } = each.effects;
    const picked = [each.task ?? 0].flat();
    const task = picked[row] ?? (picked[0] as number);
    if (!tasks) return each.task === undefined ? each : { ...each, task };
    const effects = tasks[task];
    if (effects) return { ...each, effects };
    throw badRequest(
      t("There is no task {0}: the adapter has {1}, counted from 0.", task, tasks.length),
    );
  });
}

/** The active effects of each row; one entry where all rows of any batch are treated alike. */
export function rowsOf(active: readonly ActiveEffects[]): ActiveEffects[][] {
  const tasks = active.flatMap(({ effects, task }) =>
    (effects.tasks ?? effects.virtualTokens) ? [[task ?? 0].flat()] : [],
  );
  const count = Math.max(1, ...tasks.map((picked) => picked.length));
  return Array.from({ length: count }, (_, row) => activeAt(active, row));
}

/**
 * Refuses adapters that no batch can hold in single rows. `rows` has one entry a row.
 * @throws unsupported, saying why
 */
export function checkRows(rows: readonly (readonly ActiveEffects[])[]): void {
  if (rows.length === 1) return;
  const all = rows.flat().filter(({ weight }) => weight !== 0);
  const isRouted = all.some(
    ({ effects }) =>
      effects.router !== undefined ||
      [...effects.linear.values()].some(({ routed }) => routed !== undefined),
  );
  // Their weights are averaged over all tokens of the pass, those of other rows included.
  if (isRouted && rows.some((row) => !isSame(row, rows[0] as readonly ActiveEffects[]))) {
    throw unsupported(
      t(
        "An adapter that routes tokens weighs its experts over the whole batch: it cannot act in some rows alone",
      ),
      t("Run these prompts one after another."),
    );
  }
}

function isSame(a: readonly ActiveEffects[], b: readonly ActiveEffects[]): boolean {
  return a.length === b.length && a.every(({ effects }, i) => effects === b[i]?.effects);
}

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

/**
 * What becomes of the base's own values of a norm: the last active adapter that replaces it decides,
 * and its weight blends with the base. null where none does.
 * @param key the norm's path, or that of its bias
 */
export function replacedNorm(
  key: string,
  active: readonly ActiveEffects[],
): ((base: Float32Array) => Float32Array) | null {
  const last = active.findLast(({ effects, weight }) => weight !== 0 && effects.norms?.has(key));
  const own = last?.effects.norms?.get(key);
  if (!last || !own) return null;
  const { weight } = last;
  return (base) =>
    own.map((value, i) => (base[i] as number) + weight * (value - (base[i] as number)));
}
