/**
 * Which parts of effects have graph inputs in a session. Low-rank slots are around every layer of the
 * stack from the start; the costlier ones are built in when an adapter that needs them is loaded.
 */
import type { LinearGroup } from "../../onnx/layerHook.ts";
import type { AdapterEffects } from "../effect.ts";

const slotKinds = [
  "lowRank",
  "gated",
  "delta",
  "routed",
  "fed",
  "inputScale",
  "outputScale",
  "shift",
  "newRows",
] as const;

/** A part of a linear effect that has graph inputs of its own. */
export type SlotKind = (typeof slotKinds)[number];

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
  const { embeddings, norms, attention, virtualTokens, companion, router } = effects;
  const joined = [...(companion?.blocks.keys() ?? [])];
  const next = {
    ...plan,
    linear: extendLinear(plan.linear, effects, groups),
    embeddings: new Set([
      ...plan.embeddings,
      ...(embeddings?.keys() ?? []),
      ...(virtualTokens ? [virtualTokens.path] : []),
    ]),
    norms: new Set([...plan.norms, ...(norms?.keys() ?? [])]),
    attention: new Set([...plan.attention, ...(attention?.keys() ?? [])]),
    blocks: new Map([
      ...plan.blocks,
      ...joined.map((path) => [path, companion?.hidden ?? 0] as const),
    ]),
    hidden: plan.hidden || router !== undefined,
  };
  const grew =
    next.linear !== plan.linear ||
    next.hidden !== plan.hidden ||
    (["embeddings", "norms", "attention", "blocks"] as const).some(
      (part) => next[part].size > plan[part].size,
    );
  return grew ? next : plan;
}

/** The same of linear layers alone. */
function extendLinear(
  linear: SlotPlan["linear"],
  effects: AdapterEffects,
  groups: readonly LinearGroup[],
): SlotPlan["linear"] {
  const extended = new Map(linear);
  let grew = false;
  for (const { name, modules } of groups) {
    const kinds = new Set(linear.get(name));
    const before = kinds.size;
    for (const { path } of modules) {
      for (const part of Object.keys(effects.linear.get(path) ?? {})) {
        if (isSlotKind(part)) kinds.add(part);
      }
    }
    if (kinds.size === before) continue;
    extended.set(name, kinds);
    grew = true;
  }
  return grew ? extended : linear;
}

function isSlotKind(part: string): part is SlotKind {
  return (slotKinds as readonly string[]).includes(part);
}

/** The gates that a plan's graph has as inputs. */
export function gateInputs({ linear, head }: SlotPlan): { tokens: boolean; head: boolean } {
  const gated = [...linear].filter(([, kinds]) => kinds.has("gated")).map(([name]) => name);
  return { tokens: gated.some((name) => name !== head), head: gated.some((name) => name === head) };
}
