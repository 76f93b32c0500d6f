/**
 * The slot of routed low-rank updates (RoutedLowRank in effect.ts): one subgraph serves every gate,
 * chosen by what is fed.
 *
 *     z = router x          scores = max(z, sign · z), all but the largest −∞
 *     p = softmax(scores)   g = p + share · (mean of p over tokens − p)
 *     y += B ((spread g) ⊙ (A x))
 *
 * sign −1 takes absolute values, share 1 averages over the pass, and how many scores stay is the size
 * of an input. Modules of a group have their experts and ranks side by side.
 */
import type { GraphBuilder } from "../onnx/builder.ts";
import { keepLargest } from "../onnx/calculus.ts";
import { perRow, type Value } from "../onnx/graph.ts";
import { groupSize, type LinearGroup } from "../onnx/layerHook.ts";
import type { RoutedLowRank } from "./effect.ts";
import { forEachColumn, type Packed, type Part, transposeInto } from "./slots/packing.ts";

/** What the experts add to a group's output: x [batch, seq, in] → [batch, seq, Σ out]. */
export function routedUpdate(g: GraphBuilder, group: LinearGroup, x: Value): Value {
  const size = groupSize(group);
  const modules = group.modules.length;
  const input = (part: string, shape: readonly (number | string)[]): Value =>
    g.input(`${group.name}.${part}`, "float32", shape);
  const rank = `${group.name}.routed_rank`;
  const experts = `${group.name}.experts`;
  const logits = g.matMul(x, input("router", [perRow, size.in, experts]));
  const perModule = g.reshape(logits, [0, 0, modules, -1]);
  const signed = g.max(perModule, g.mul(perModule, input("gate_sign", [1])));
  const kept = keepLargest(g, signed, input("gate_kept", [`${group.name}.kept`]));
  const weights = g.softmax(kept);
  const towardsMean = g.sub(g.mean(weights, [0, 1]), weights);
  const mixed = g.add(weights, g.mul(towardsMean, input("gate_share", [1])));
  const spread = input("gate_spread", [perRow, experts, rank]);
  const perRank = g.matMul(g.reshape(mixed, [0, 0, -1]), spread);
  const hidden = g.matMul(x, input("routed_A", [perRow, size.in, rank]));
  return g.matMul(g.mul(hidden, perRank), input("routed_B", [perRow, rank, size.out]));
}

/** Tensors of the slot; without a routed module one expert of rank 0. */
export function packRouted(size: { in: number; out: number }, parts: readonly Part[]): Packed[] {
  const own = parts.flatMap(({ effect }) => effect.routed ?? []);
  const experts = Math.max(1, ...own.map((routed) => expertCount(routed, size.in)));
  const rank = own.reduce((sum, routed) => sum + routed.rank, 0);
  const all = experts * parts.length;
  const router = new Float32Array(size.in * all);
  const spread = new Float32Array(all * rank);
  const a = new Float32Array(size.in * rank);
  const b = new Float32Array(rank * size.out);
  let first = 0;
  forEachColumn(parts, ({ module, effect: { routed } }, column) => {
    if (!routed) return;
    const expert = experts * parts.findIndex((part) => part.module === module);
    const wide = { columns: size.in, stride: all, offset: expert };
    transposeInto(router, routed.router, { ...wide, rows: expertCount(routed, size.in) });
    routed.expertOf.forEach((of, r) => (spread[(expert + of) * rank + first + r] = 1));
    const rows = routed.rank;
    transposeInto(a, routed.a, { rows, columns: size.in, stride: rank, offset: first });
    const offset = first * size.out + column;
    transposeInto(b, routed.b, { rows: module.out, columns: rows, stride: size.out, offset });
    first += rows;
  });
  return [
    { part: "router", shape: [1, size.in, all], data: router },
    { part: "gate_spread", shape: [1, all, rank], data: spread },
    { part: "routed_A", shape: [1, size.in, rank], data: a },
    { part: "routed_B", shape: [1, rank, size.out], data: b },
    ...gateTensors(own[0], experts),
  ];
}

function gateTensors(routed: RoutedLowRank | undefined, experts: number): Packed[] {
  const gate = routed?.gate ?? { kind: "mean" };
  const isMean = gate.kind === "mean";
  const kept = isMean ? experts : Math.min(gate.count, experts);
  return [
    { part: "gate_sign", shape: [1], data: Float32Array.of(isMean ? 1 : -1) },
    { part: "gate_share", shape: [1], data: Float32Array.of(isMean ? 1 : 0) },
    { part: "gate_kept", shape: [kept], data: new Float32Array(kept) },
  ];
}

function expertCount({ router }: RoutedLowRank, inputs: number): number {
  return router.length / inputs;
}
