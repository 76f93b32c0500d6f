/** What active adapters feed to the slots around layers and norms: packed, row-major, neutral where they have nothing. */
import { groupSize, type LinearGroup } from "../../onnx/layerHook.ts";
import { type ActiveEffects, activeEffect, replacedNorm } from "../activeEffects.ts";
import type { AdapterEffects } from "../effect.ts";
import { packRouted } from "../routing.ts";
import { packFed } from "./fedSlot.ts";
import { packLowRank, packLowRankSlot } from "./lowRankSlot.ts";
import { mixedTensors } from "./mixedTensors.ts";
import { forEachColumn, type Packed, type Part, transposeInto } from "./packing.ts";
import { normSlot } from "./slotHook.ts";
import type { SlotKind, SlotPlan } from "./slotPlan.ts";
import { stackRows } from "./stackRows.ts";

/** A graph input as the active adapters fill it: row-major fp32. */
export interface SlotTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: Float32Array;
  /** How many blocks of one size the rows hold, each of which is padded by itself; 1 when absent. */
  readonly blocks?: number;
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
      const base = baseNorms.get(path) as Float32Array;
      const data = replacedNorm(path, active)?.(base) ?? base;
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
