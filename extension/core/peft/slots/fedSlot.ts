/**
 * The slot of low-rank updates that a router weighs (FedLowRank in effect.ts): y += B (g ⊙ (A x)),
 * g [batch, seq, ranks] an input. Modules of a group have their experts' ranks side by side.
 */
import type { GraphBuilder } from "../../onnx/builder.ts";
import { perRow, type Value } from "../../onnx/graph.ts";
import { groupSize, type LinearGroup } from "../../onnx/layerHook.ts";
import type { AdapterEffects } from "../effect.ts";
import { forEachColumn, type Packed, type Part, transposeInto } from "./packing.ts";

/** Name of the input that weighs a group's ranks [batch or 1, seq or 1, ranks]. */
function fedSlot(group: LinearGroup): string {
  return `${group.name}.fed_weights`;
}

/** What the experts add to a group's output: x [batch, seq, in] → [batch, seq, Σ out]. */
export function fedUpdate(g: GraphBuilder, group: LinearGroup, x: Value): Value {
  const size = groupSize(group);
  const { name } = group;
  const rank = `${name}.fed_rank`;
  const a = g.input(`${name}.fed_A`, "float32", [perRow, size.in, rank]);
  const b = g.input(`${name}.fed_B`, "float32", [perRow, rank, size.out]);
  const weights = g.input(fedSlot(group), "float32", [`${name}.fed_rows`, `${name}.fed_seq`, rank]);
  return g.matMul(g.mul(g.matMul(x, a), weights), b);
}

/** Tensors of the slot, with the weights of the first pass; no ranks where no module is fed. */
export function packFed(size: { in: number; out: number }, parts: readonly Part[]): Packed[] {
  const rank = parts.reduce((sum, { effect }) => sum + (effect.fed?.rank ?? 0), 0);
  const a = new Float32Array(size.in * rank);
  const b = new Float32Array(rank * size.out);
  const weights = new Float32Array(rank);
  let offset = 0;
  forEachColumn(parts, ({ module, effect: { fed } }, column) => {
    if (!fed) return;
    const own = fed.rank;
    weights.set(fed.first, offset);
    transposeInto(a, fed.a, { rows: own, columns: size.in, stride: rank, offset });
    const start = offset * size.out + column;
    transposeInto(b, fed.b, { rows: module.out, columns: own, stride: size.out, offset: start });
    offset += own;
  });
  return [
    { part: "fed_A", shape: [1, size.in, rank], data: a },
    { part: "fed_B", shape: [1, rank, size.out], data: b },
    { part: "fed_weights", shape: [1, 1, rank], data: weights },
  ];
}

/** For every group that is fed, which of the router's weights its ranks take. */
export function fedPlaces(
  groups: readonly LinearGroup[],
  { linear }: AdapterEffects,
): { name: string; places: Int32Array }[] {
  return groups.flatMap((group) => {
    const own = group.modules.flatMap(({ path }) => [...(linear.get(path)?.fed?.weightOf ?? [])]);
    return own.length === 0 ? [] : [{ name: fedSlot(group), places: Int32Array.from(own) }];
  });
}
