/**
 * Tensors of low-rank updates at other weights without packing them anew: A does not depend on an
 * adapter's weight, and every row of B belongs to one adapter, whose weight it is multiplied by.
 */
import type { LinearGroup } from "../onnx/layerHook.ts";
import type { AdapterEffects, LinearEffect } from "./effect.ts";
import type { ActiveEffects, SlotTensor } from "./slots.ts";

/** Packs what active adapters do to a group. */
export type Pack = (group: LinearGroup, active: readonly ActiveEffects[]) => SlotTensor[];

/** Sets of adapters as they were packed last at weight 1, for each adapter that comes first in one. */
const packed = new WeakMap<
  AdapterEffects,
  { readonly others: readonly AdapterEffects[]; readonly tensors: Map<string, SlotTensor[]> }
>();

/** The tensors of a group, or null where an adapter does more to it than add a low-rank update. */
export function mixedTensors(
  group: LinearGroup,
  active: readonly ActiveEffects[],
  { key, pack }: { key: string; pack: Pack },
): SlotTensor[] | null {
  const isPlain = active.every(({ effects }) =>
    group.modules.every(({ path }) => isLowRankAlone(effects.linear.get(path))),
  );
  if (!isPlain) return null;
  const known = setOf(active.map(({ effects }) => effects));
  const unweighted = active.map((each) => ({ ...each, weight: 1 }));
  const tensors = known.get(key) ?? pack(group, unweighted);
  known.set(key, tensors);
  const weights = rowWeights(group, active, pack);
  return tensors.map((tensor) => {
    const own = weights.get(tensor.name);
    return own ? { ...tensor, data: weighRows(tensor, own) } : tensor;
  });
}

function setOf([first, ...others]: readonly AdapterEffects[]): Map<string, SlotTensor[]> {
  if (!first) return new Map();
  const known = packed.get(first);
  const isSame =
    known?.others.length === others.length && known.others.every((each, i) => each === others[i]);
  if (known && isSame) return known.tensors;
  const tensors = new Map<string, SlotTensor[]>();
  packed.set(first, { others, tensors });
  return tensors;
}

function isLowRankAlone(effect: LinearEffect | undefined): boolean {
  return Object.entries(effect ?? {}).every(
    ([part, value]) => part === "lowRank" || value === undefined,
  );
}

/** The weight of each row of B, by the tensor's name: what is packed of layers with one input and output. */
function rowWeights(
  group: LinearGroup,
  active: readonly ActiveEffects[],
  pack: Pack,
): Map<string, Float32Array> {
  const modules = group.modules.map((module) => ({ ...module, in: 1, out: 1 }));
  const marked = active.map(({ effects, weight }) => ({
    weight: 1,
    effects: { ...effects, linear: ranksAlone(effects, group, weight) },
  }));
  const isB = /\.lora_B(\.\d+)?$/;
  return new Map(
    pack({ ...group, modules }, marked)
      .filter(({ name }) => isB.test(name))
      .map(({ name, shape, data }) => {
        const [, rows = 0, columns = 1] = shape;
        const weightOf = (row: number): number =>
          data.subarray(row * columns, (row + 1) * columns).reduce((sum, each) => sum + each, 0);
        return [name, Float32Array.from({ length: rows }, (_, row) => weightOf(row))];
      }),
  );
}

function ranksAlone(
  { linear }: AdapterEffects,
  { modules }: LinearGroup,
  weight: number,
): Map<string, LinearEffect> {
  return new Map(
    modules.flatMap(({ path }) => {
      const rank = linear.get(path)?.lowRank?.rank;
      if (rank === undefined) return [];
      const b = new Float32Array(rank).fill(weight);
      return [[path, { lowRank: { a: new Float32Array(rank), b, rank } }] as const];
    }),
  );
}

function weighRows({ shape, data }: SlotTensor, weights: Float32Array): Float32Array {
  const [, rows = 0, columns = 0] = shape;
  const out = new Float32Array(data.length);
  for (let row = 0; row < rows; row++) {
    const weight = weights[row] as number;
    const end = (row + 1) * columns;
    for (let i = row * columns; i < end; i++) out[i] = (data[i] as number) * weight;
  }
  return out;
}
