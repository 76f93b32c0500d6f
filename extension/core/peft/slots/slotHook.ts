/**
 * Where adapters plug into a graph: inputs around layers, neutral until fed. Swapping adapters is
 * choosing other tensors (slotTensors.ts).
 */
import type { GraphBuilder } from "../../onnx/builder.ts";
import { firstColumns } from "../../onnx/calculus.ts";
import { perRow, perToken, type Value } from "../../onnx/graph.ts";
import {
  type AttentionValues,
  type BaseLayers,
  groupSize,
  type LayerHook,
  type LinearGroup,
  type Outputs,
  sideBySide,
} from "../../onnx/layerHook.ts";
import { expertSlots } from "../experts/slots.ts";
import { routedUpdate } from "../routing.ts";
import { companionJoint } from "../shadow/companionSlot.ts";
import { fedUpdate } from "./fedSlot.ts";
import { addLowRank } from "./lowRankSlot.ts";
import type { SlotKind, SlotPlan } from "./slotPlan.ts";

/** Puts a plan's slots around the layers of a graph under construction. */
export function slotHook(plan: SlotPlan): LayerHook {
  // A model may have several graphs, each with gates of its own.
  const gatesOf = new WeakMap<GraphBuilder, Map<string, Value>>();
  const joint = companionJoint(plan.blocks);
  const gate = (g: GraphBuilder, group: LinearGroup): Value => {
    const name = group.name === plan.head ? headGate : tokenGate;
    const gates = gatesOf.get(g) ?? new Map<string, Value>();
    gatesOf.set(g, gates);
    const known = gates.get(name) ?? g.input(name, "float32", [`${name}.rows`, `${name}.seq`, 1]);
    gates.set(name, known);
    return known;
  };
  return {
    linears: (g, group, layers) =>
      wrapLinears(g, group, {
        ...layers,
        kinds: plan.linear.get(group.name),
        gate: () => gate(g, group),
      }),
    embedding: (g, path, { rows }) =>
      plan.embeddings.has(path) ? changeRows(g, path, { rows, size: "hidden" }) : rows,
    attention: (g, path, values) =>
      plan.attention.has(path) ? attendToPrompt(g, path, values) : values.mixed,
    experts: expertSlots(),
    norm: (g, path, { value, size }) =>
      plan.norms.has(path) ? g.input(normSlot(path), "float32", [size]) : value,
    block: joint,
    hidden: (g, stream, size) => {
      if (plan.hidden) g.output(stream, hiddenOutput, "float32", ["batch", "seq", size]);
    },
  };
}

/** Name of the output that routers read [batch, seq, hidden]. */
export const hiddenOutput = "hidden";

/** Inputs around an embedding: what its rows are multiplied by, and what is then added to them. */
export interface EmbeddingSlot {
  /** [batch or 1, seq or 1, 1]: 1, or 0 where a virtual token stands. */
  readonly kept: string;
  /** [batch or 1, seq or 1, dim] */
  readonly delta: string;
}

export function embeddingSlot(path: string): EmbeddingSlot {
  return { kept: `${path}.kept`, delta: `${path}.delta` };
}

/** Puts an embedding's slot behind its rows [batch, seq, dim]. */
export function changeRows(
  g: GraphBuilder,
  path: string,
  { rows, size }: { rows: Value; size: number | string },
): Value {
  const slot = embeddingSlot(path);
  const kept = g.input(slot.kept, "float32", [perRow, perToken, 1]);
  const delta = g.input(slot.delta, "float32", [perRow, perToken, size]);
  return g.add(g.mul(rows, kept), delta);
}

/** Name of the input that says which tokens gated updates change [batch or 1, seq or 1, 1]. */
export const tokenGate = "token_gate";

/** The same of the tokens whose logits are wanted, for a head. */
export const headGate = "token_gate.head";

/** Name of the input that is a norm's weight. */
export function normSlot(path: string): string {
  return `${path}.weight.slot`;
}

/** mixed + softmax(query · keysᵀ · scale) · values (AttentionPrompt in effect.ts). */
function attendToPrompt(
  g: GraphBuilder,
  path: string,
  { query, mixed, scale, keyValueHeads, headDim }: AttentionValues,
): Value {
  const shape = [perRow, keyValueHeads, `${path}.prompt`, headDim];
  const keys = g.input(`${path}.prompt_keys`, "float32", shape);
  const values = g.input(`${path}.prompt_values`, "float32", shape);
  const scores = g.matMulTransposed(query, keys, scale);
  return g.add(mixed, g.matMul(g.softmax(scores), values));
}

function wrapLinears(
  g: GraphBuilder,
  group: LinearGroup,
  at: {
    x: Value;
    base: BaseLayers;
    kinds: ReadonlySet<SlotKind> | undefined;
    gate: () => Value;
  },
): Outputs {
  const { x, base, kinds = new Set<SlotKind>() } = at;
  const size = groupSize(group);
  const input = (part: string, shape: readonly (number | string)[]): Value =>
    g.input(`${group.name}.${part}`, "float32", shape);
  let outputs = base(kinds.has("inputScale") ? scaledInputs(g, group, x) : x);
  if (kinds.has("outputScale")) {
    const scale = input("outputScale", [perRow, 1, size.out]);
    outputs = g.mul(sideBySide(g, outputs), scale);
  }
  if (kinds.has("lowRank")) outputs = addLowRank(g, group, { x, outputs });
  return [...kinds].some((kind) => behindLowRank.has(kind))
    ? addOthers(g, group, { ...at, kinds, y: sideBySide(g, outputs) })
    : outputs;
}

const behindLowRank: ReadonlySet<SlotKind> = new Set([
  "gated",
  "routed",
  "fed",
  "delta",
  "shift",
  "newRows",
] as const);

function addOthers(
  g: GraphBuilder,
  group: LinearGroup,
  at: { x: Value; y: Value; kinds: ReadonlySet<SlotKind>; gate: () => Value },
): Value {
  const { x, kinds } = at;
  let { y } = at;
  const size = groupSize(group);
  const input = (part: string, shape: readonly (number | string)[]): Value =>
    g.input(`${group.name}.${part}`, "float32", shape);
  if (kinds.has("gated")) {
    const rank = `${group.name}.gated_rank`;
    const hidden = g.matMulTransposed(x, input("gated_A", [perRow, rank, size.in]));
    const b = input("gated_B", [perRow, rank, size.out]);
    y = g.add(y, g.matMul(g.mul(hidden, at.gate()), b));
  }
  if (kinds.has("routed")) y = g.add(y, routedUpdate(g, group, x));
  if (kinds.has("fed")) y = g.add(y, fedUpdate(g, group, x));
  if (kinds.has("delta")) {
    // With no rows, x is cut to no columns and the product is zero: neutral costs nothing.
    const delta = input("delta", [perRow, `${group.name}.in`, size.out]);
    y = g.add(y, g.matMul(firstColumns(g, x, delta), delta));
  }
  if (kinds.has("shift")) y = g.add(y, input("shift", [perRow, 1, size.out]));
  if (!kinds.has("newRows")) return y;
  // With no new rows the product has no columns.
  const rows = input("newRows", [perRow, size.in, `${group.name}.new`]);
  return g.concat([y, g.matMul(x, rows)], -1);
}

/** Layers of a group read one input, but each has its own scale. */
function scaledInputs(g: GraphBuilder, group: LinearGroup, x: Value): Value[] {
  const each = group.modules.map(() => 1);
  const shape = [perRow, each.length, groupSize(group).in];
  const scales = g.split(g.input(`${group.name}.inputScale`, "float32", shape), each, 1);
  return scales.map((scale) => g.mul(x, scale));
}
