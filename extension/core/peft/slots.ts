/**
 * Where adapters plug into a session: graph inputs around layers, neutral until fed. Low-rank slots
 * are around every layer of the stack from the start; the costlier ones are built in when an
 * adapter that needs them is loaded. Swapping adapters is choosing other tensors.
 */
import type { GraphBuilder } from "../onnx/builder.ts";
import { perRow, perToken, type Value } from "../onnx/graph.ts";
import {
  type AttentionValues,
  type BaseLayers,
  groupSize,
  type LayerHook,
  type LinearGroup,
  type Outputs,
  sideBySide,
} from "../onnx/layerHook.ts";
import { activeEffect } from "./activeEffect.ts";
import { expertSlots } from "./experts/slots.ts";
import type { AdapterEffects } from "./effect.ts";
import { addLowRank, packLowRank, packLowRankSlot } from "./lowRankSlot.ts";
import { forEachColumn, type Packed, type Part, transposeInto } from "./packing.ts";
import { mixedTensors } from "./mixedTensors.ts";
import { companionJoint } from "./shadow/companionSlot.ts";
import { fedUpdate, packFed } from "./fedSlot.ts";
import { packRouted, routedUpdate } from "./routing.ts";
import { stackRows } from "./rowSlots.ts";

/** A part of a linear effect that has graph inputs of its own. */
export type SlotKind =
  | "lowRank"
  | "gated"
  | "delta"
  | "routed"
  | "fed"
  | "inputScale"
  | "outputScale"
  | "shift"
  | "newRows";

/** Which slots a session has. */
export interface SlotPlan {
  /** By group name. */
  readonly linear: ReadonlyMap<string, ReadonlySet<SlotKind>>;
  /** Paths of embeddings with a slot. */
  readonly embeddings: ReadonlySet<string>;
  /** Paths of norms whose weight is an input. */
  readonly norms: ReadonlySet<string>;
  /** Paths of attention blocks with keys and values of their own. */
  readonly attention: ReadonlySet<string>;
  /** Blocks that a companion is joined to, by their path, and the size of the stream. */
  readonly blocks: ReadonlyMap<string, number>;
  /** Name of the group that sees only the tokens whose logits are wanted; null without one. */
  readonly head: string | null;
  /** True when a router reads the stream behind the last norm. */
  readonly hidden: boolean;
}

/** A graph input as the active adapters fill it: row-major fp32. */
export interface SlotTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: Float32Array;
  /** How many blocks of one size the rows hold, each of which is padded by itself; 1 when absent. */
  readonly blocks?: number;
}

/** Low-rank slots around every layer of the stack; heads get theirs when an adapter wants one. */
export function initialPlan(groups: readonly LinearGroup[], head: string | null): SlotPlan {
  const isHead = ({ modules }: LinearGroup): boolean => modules.some(({ path }) => path === head);
  const stack = groups.filter((group) => !isHead(group));
  return {
    linear: new Map(stack.map((group) => [group.name, new Set<SlotKind>(["lowRank"])])),
    embeddings: new Set(),
    norms: new Set(),
    attention: new Set(),
    blocks: new Map(),
    head: groups.find(isHead)?.name ?? null,
    hidden: false,
  };
}

/** The plan that serves what another serves and these effects too; the same object when it does already. */
export function extendPlan(
  plan: SlotPlan,
  effects: AdapterEffects,
  groups: readonly LinearGroup[],
): SlotPlan {
  const linear = new Map<string, ReadonlySet<SlotKind>>(plan.linear);
  let grew = false;
  for (const group of groups) {
    const kinds = new Set(linear.get(group.name));
    for (const module of group.modules) {
      const effect = effects.linear.get(module.path);
      for (const kind of Object.keys(effect ?? {})) if (isSlotKind(kind)) kinds.add(kind);
    }
    if (kinds.size === (linear.get(group.name)?.size ?? 0)) continue;
    linear.set(group.name, kinds);
    grew = true;
  }
  const embeddings = new Set([...plan.embeddings, ...(effects.embeddings?.keys() ?? [])]);
  if (effects.virtualTokens) embeddings.add(effects.virtualTokens.path);
  const norms = new Set([...plan.norms, ...(effects.norms?.keys() ?? [])]);
  const attention = new Set([...plan.attention, ...(effects.attention?.keys() ?? [])]);
  grew ||= embeddings.size > plan.embeddings.size || norms.size > plan.norms.size;
  grew ||= attention.size > plan.attention.size;
  const { companion } = effects;
  const joined = [...(companion?.blocks.keys() ?? [])].map(
    (path) => [path, companion?.hidden ?? 0] as const,
  );
  const blocks = new Map([...plan.blocks, ...joined]);
  grew ||= blocks.size > plan.blocks.size;
  const hidden = plan.hidden || effects.router !== undefined;
  grew ||= hidden !== plan.hidden;
  return grew ? { ...plan, linear, embeddings, norms, attention, blocks, hidden } : plan;
}

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

/** The gates that a plan's graph has as inputs. */
export function gateInputs({ linear, head }: SlotPlan): { tokens: boolean; head: boolean } {
  const gated = [...linear].filter(([, kinds]) => kinds.has("gated")).map(([name]) => name);
  return { tokens: gated.some((name) => name !== head), head: gated.some((name) => name === head) };
}

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
    y = g.add(y, g.matMul(g.firstColumns(x, delta), delta));
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

/** One adapter of a set of active ones. */
export interface ActiveEffects {
  readonly effects: AdapterEffects;
  readonly weight: number;
  /** Which task of an adapter for several is meant: one, or one a row of the batch; 0 when absent. */
  readonly task?: number | readonly number[] | undefined;
}

/** The tensors of all linear and norm slots for sets of active adapters; none is the bare base. */
export function slotTensors(
  plan: SlotPlan,
  groups: readonly LinearGroup[],
  {
    rows,
    baseNorms,
  }: {
    /** The active effects of each row of the batch; one entry for all rows. */
    rows: readonly (readonly ActiveEffects[])[];
    baseNorms: ReadonlyMap<string, Float32Array>;
  },
): SlotTensor[] {
  // Rows with the same adapters are packed once.
  const made = new Map<readonly ActiveEffects[], SlotTensor[]>();
  const tensors = rows.map((active) => {
    const known = made.get(active);
    if (known) return known;
    const own = linearTensors(plan, groups, active);
    for (const path of plan.norms) {
      const data = normWeight(path, baseNorms.get(path) as Float32Array, active);
      own.push({ name: normSlot(path), shape: [data.length], data });
    }
    made.set(active, own);
    return own;
  });
  return tensors.length === 1 ? (tensors[0] as SlotTensor[]) : stackRows(tensors);
}

function linearTensors(
  plan: SlotPlan,
  groups: readonly LinearGroup[],
  active: readonly ActiveEffects[],
): SlotTensor[] {
  return groups.flatMap((group) => {
    const kinds = plan.linear.get(group.name);
    return kinds ? groupTensors(group, kinds, active) : [];
  });
}

/** Packed groups of single adapters at weight 1, so that a swap is a look-up. */
const packed = new WeakMap<AdapterEffects, Map<string, SlotTensor[]>>();

function groupTensors(
  group: LinearGroup,
  kinds: ReadonlySet<SlotKind>,
  active: readonly ActiveEffects[],
): SlotTensor[] {
  const taking = active.filter(
    ({ effects, weight }) =>
      weight !== 0 && group.modules.some(({ path }) => effects.linear.has(path)),
  );
  const [only] = taking;
  if (!only) return packGroup(group, kinds, []);
  const asTrained = (effects: AdapterEffects): SlotTensor[] => packSingle(group, kinds, effects);
  if (taking.length === 1 && only.weight === 1) return asTrained(only.effects);
  return mixedTensors(group, taking, asTrained) ?? packGroup(group, kinds, taking);
}

function packSingle(
  group: LinearGroup,
  kinds: ReadonlySet<SlotKind>,
  effects: AdapterEffects,
): SlotTensor[] {
  const key = [group.name, ...kinds].join(" ");
  const known = packed.get(effects) ?? new Map<string, SlotTensor[]>();
  packed.set(effects, known);
  const tensors = known.get(key) ?? packGroup(group, kinds, [{ effects, weight: 1 }]);
  known.set(key, tensors);
  return tensors;
}

function packGroup(
  group: LinearGroup,
  kinds: ReadonlySet<SlotKind>,
  active: readonly ActiveEffects[],
): SlotTensor[] {
  const parts = group.modules.map((module) => ({
    module,
    effect: activeEffect(module, active) ?? {},
  }));
  return [...kinds].flatMap((kind) =>
    packers[kind](groupSize(group), parts, group).map(({ part, ...tensor }) => ({
      name: `${group.name}.${part}`,
      ...tensor,
    })),
  );
}

type Size = { in: number; out: number };

type Packer = (size: Size, parts: readonly Part[], group: LinearGroup) => Packed[];

const packers: Record<SlotKind, Packer> = {
  lowRank: (_size, parts, group) => packLowRankSlot(group, parts),
  gated: (size, parts) => packLowRank(size, parts, "gated"),
  newRows: packNewRows,
  delta: packDelta,
  routed: packRouted,
  fed: packFed,
  inputScale: (size, parts) => {
    const data = new Float32Array(parts.length * size.in).fill(1);
    parts.forEach(({ effect }, i) => effect.inputScale && data.set(effect.inputScale, i * size.in));
    return [{ part: "inputScale", shape: [1, parts.length, size.in], data }];
  },
  outputScale: (size, parts) => packVector("outputScale", size, { parts, neutral: 1 }),
  shift: (size, parts) => packVector("shift", size, { parts, neutral: 0 }),
};

function isSlotKind(part: string): part is SlotKind {
  return Object.hasOwn(packers, part);
}

function packVector(
  part: "outputScale" | "shift",
  size: Size,
  { parts, neutral }: { parts: readonly Part[]; neutral: number },
): Packed[] {
  const data = new Float32Array(size.out).fill(neutral);
  forEachColumn(parts, ({ effect }, column) => {
    const own = effect[part];
    if (own) data.set(own, column);
  });
  return [{ part, shape: [1, 1, size.out], data }];
}

/** Rowsᵀ [in, new] of the one module of a head. */
function packNewRows(size: Size, parts: readonly Part[]): Packed[] {
  const own = parts[0]?.effect.newRows ?? new Float32Array(0);
  const count = own.length / size.in;
  const data = new Float32Array(own.length);
  transposeInto(data, own, { rows: count, columns: size.in, stride: count, offset: 0 });
  return [{ part: "newRows", shape: [1, size.in, count], data }];
}

/** Δᵀ [in, Σ out]; no rows where no module has one. */
function packDelta(size: Size, parts: readonly Part[]): Packed[] {
  const rows = parts.some(({ effect }) => effect.delta) ? size.in : 0;
  const data = new Float32Array(rows * size.out);
  forEachColumn(parts, ({ module, effect: { delta } }, column) => {
    const at = { rows: module.out, columns: size.in, stride: size.out, offset: column };
    if (delta) transposeInto(data, delta, at);
  });
  return [{ part: "delta", shape: [1, rows, size.out], data }];
}

/** The last active adapter that replaces a norm decides; its weight blends with the base's. */
function normWeight(
  path: string,
  base: Float32Array,
  active: readonly ActiveEffects[],
): Float32Array {
  const last = active.findLast(({ effects, weight }) => weight !== 0 && effects.norms?.has(path));
  const own = last?.effects.norms?.get(path);
  if (!last || !own) return base;
  return own.map((value, i) => (base[i] as number) + last.weight * (value - (base[i] as number)));
}
