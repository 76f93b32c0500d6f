/**
 * Tensors of low-rank updates at other weights and side by side, from those of single adapters as
 * trained, so that nothing is packed anew: A does not depend on an adapter's weight, and every row of B
 * belongs to one adapter, whose weight it is multiplied by.
 */
import type { LinearGroup } from "../../onnx/layerHook.ts";
import type { AdapterEffects, LinearEffect } from "../effect.ts";
import type { ActiveEffects } from "../activeEffects.ts";
import type { SlotTensor } from "./slotTensors.ts";

/** A's of sets of adapters as they were joined last, for each adapter that comes first in one. */
const joined = new WeakMap<
  AdapterEffects,
  { readonly others: readonly AdapterEffects[]; readonly tensors: Map<string, SlotTensor> }
>();

/**
 * The tensors of a group, or null where an adapter does more to it than add a low-rank update.
 * @param asTrained the tensors of one adapter alone at weight 1
 */
export function mixedTensors(
  group: LinearGroup,
  active: readonly ActiveEffects[],
  asTrained: (effects: AdapterEffects) => readonly SlotTensor[],
): SlotTensor[] | null {
  const isPlain = active.every(({ effects }) =>
    group.modules.every(({ path }) => isLowRankAlone(effects.linear.get(path))),
  );
  if (!isPlain) return null;
  const each = active.map(({ effects }) => asTrained(effects));
  const known = setOf(active.map(({ effects }) => effects));
  const weights = active.map(({ weight }) => weight);
  const [first = []] = each;
  return first.map((tensor, i) => {
    const parts = each.map((tensors) => tensors[i] as SlotTensor);
    const { name } = tensor;
    if (isB.test(name)) return weighRows(parts, weights);
    if (!name.endsWith(".lora_A") || parts.length === 1) return tensor;
    const a = known.get(name) ?? joinRows(parts);
    known.set(name, a);
    return a;
  });
}

const isB = /\.lora_B(\.\d+)?$/;

function setOf([first, ...others]: readonly AdapterEffects[]): Map<string, SlotTensor> {
  if (!first) return new Map();
  const known = joined.get(first);
  const isSame =
    known?.others.length === others.length && known.others.every((each, i) => each === others[i]);
  if (known && isSame) return known.tensors;
  const tensors = new Map<string, SlotTensor>();
  if (others.length > 0) joined.set(first, { others, tensors });
  return tensors;
}

function isLowRankAlone(effect: LinearEffect | undefined): boolean {
  return Object.entries(effect ?? {}).every(
    ([part, value]) => part === "lowRank" || value === undefined,
  );
}

/** [1, Σ rows, in] of tensors [1, rows, in]; where they hold several blocks, block by block. */
function joinRows(parts: readonly SlotTensor[]): SlotTensor {
  const [first] = parts as [SlotTensor];
  const { blocks = 1 } = first;
  const [, , inputs = 1] = first.shape;
  const data = new Float32Array(parts.reduce((sum, part) => sum + part.data.length, 0));
  let at = 0;
  for (let block = 0; block < blocks; block++) {
    for (const part of parts) {
      const size = part.data.length / blocks;
      data.set(part.data.subarray(block * size, (block + 1) * size), at);
      at += size;
    }
  }
  return { ...first, shape: [1, data.length / inputs, inputs], data };
}

/** The rows [1, rank, columns] of all parts under one another, each times its part's weight. */
function weighRows(parts: readonly SlotTensor[], weights: readonly number[]): SlotTensor {
  const [first] = parts as [SlotTensor];
  const [, , columns = 0] = first.shape;
  const data = new Float32Array(parts.reduce((sum, part) => sum + part.data.length, 0));
  let at = 0;
  parts.forEach((part, place) => {
    const weight = weights[place] as number;
    const own = part.data;
    for (let i = 0; i < own.length; i++) data[at++] = (own[i] as number) * weight;
  });
  const rows = parts.reduce((sum, { shape: [, rank = 0] }) => sum + rank, 0);
  return { ...first, shape: [1, rows, columns], data };
}
