import { t } from "@vscode/l10n";
import { badRequest } from "./base/errors.ts";
import type { Companion, CompanionBlock } from "./peft/effect.ts";
import type { MethodBase } from "./peft/method.ts";
import { type ActiveEffects, activeRowDelta, checkRows } from "./peft/activeEffects.ts";
import { expertTensors } from "./peft/experts/slots.ts";
import { fedPlaces } from "./peft/slots/fedSlot.ts";
import {
  activeCachePrefix,
  activeVirtualTokens,
  attentionTensors,
} from "./peft/prompt/activePrompts.ts";
import { companionState, companionTensors } from "./peft/shadow/companionSlot.ts";
import { embeddingSlot, headGate, hiddenOutput, tokenGate } from "./peft/slots/slotHook.ts";
import { gateInputs, type SlotPlan } from "./peft/slots/slotPlan.ts";
import { slotTensors } from "./peft/slots/slotTensors.ts";
import {
  type ActivationFeed,
  type AdapterInputs,
  adapterInputs,
  type EmbeddingFeed,
  type RouterFeed,
} from "./session/adapterInputs.ts";
import type { CausalSession } from "./session/causalSession.ts";
import type { CompanionFeed } from "./session/companion.ts";

/** What a session of a base has room for. */
interface Slotted {
  /** The running session of an adapter's companion. */
  companionOf(companion: Companion): CausalSession;
  readonly plan: SlotPlan;
  readonly base: MethodBase;
  readonly baseNorms: ReadonlyMap<string, Float32Array>;
}

/** The active adapters of each row of a batch; one entry is for all rows. */
type Rows = readonly (readonly ActiveEffects[])[];

/**
 * What active adapters feed to a session; none is the bare base.
 * @throws bad-request or unsupported for adapters that cannot be active together, or in single rows
 */
export function sessionInputs(session: Slotted, rows: Rows): AdapterInputs {
  const { plan, base, baseNorms } = session;
  checkRows(rows);
  const router = routerFeed(base, rows[0] ?? []);
  const feeds = [
    ...slotTensors(plan, base.groups, { rows, baseNorms }),
    ...expertTensors(base.tree.experts ?? [], rows),
    ...attentionTensors(plan.attention, rows, base.attention),
  ];
  const companion = activeCompanion(rows);
  const { weight = 1, own = new Map<string, CompanionBlock>() } = companion ?? {};
  feeds.push(...companionTensors(plan.blocks, { own, weight }));
  const virtual = activeVirtualTokens(rows);
  return adapterInputs(feeds, {
    rows: rows.length,
    activation: activationFeed(plan, rows),
    router,
    companion: companion && companionFeed(session, companion, rows),
    vocabulary: vocabularyOf(rows),
    identity: rows.map((active) =>
      active.map(({ effects, weight, task }) => [effects, weight, task] as const),
    ),
    embeddings: [...plan.embeddings].map((path) => ({
      ...embeddingFeed(path, session, { rows, isRouted: router !== null }),
      ...(path === virtual?.path && { virtualRows: unscaled(virtual.rows, path, base) }),
    })),
    virtualTokens: virtual?.count ?? 0,
    virtualPadding: virtual?.padding ?? [],
    cachePrefix: activeCachePrefix(rows, base.attention),
  });
}

const noTable: { in: number; ids?: string; firstRow?: number } = { in: 0 };

/** Virtual tokens stand behind the embedding module, whose scale their places go through. */
function unscaled(
  rows: readonly Float32Array[],
  path: string,
  { tree }: MethodBase,
): readonly Float32Array[] {
  const module = tree.modules.find((each) => each.path === path);
  const scale = module?.kind === "embedding" ? (module.scale ?? 1) : 1;
  return scale === 1 ? rows : rows.map((row) => row.map((value) => value / scale));
}

function embeddingFeed(
  path: string,
  { base }: Slotted,
  { rows, isRouted }: { rows: Rows; isRouted: boolean },
): EmbeddingFeed {
  const module = base.tree.modules.find((each) => each.path === path);
  const {
    in: count,
    ids = "input_ids",
    firstRow = 0,
  } = module?.kind === "embedding" ? module : noTable;
  const table = { path, rows: count };
  const activeIn = (row: number): readonly ActiveEffects[] => rows[row] ?? rows[0] ?? [];
  return {
    ...embeddingSlot(path),
    ids,
    width: module?.out ?? 0,
    rowDelta: (id, row) => activeRowDelta(table, id + firstRow, { active: activeIn(row) }),
    ...(isRouted && {
      routedDelta: (id: number, weights: Float32Array) =>
        activeRowDelta(table, id + firstRow, { active: activeIn(0), weights }),
    }),
  };
}

/** Which tokens gated updates change; null where no slot has any. */
function activationFeed(plan: SlotPlan, rows: Rows): ActivationFeed | null {
  const gates = gateInputs(plan);
  const inputs = [
    ...(gates.tokens ? [{ name: tokenGate, of: "tokens" } as const] : []),
    ...(gates.head ? [{ name: headGate, of: "logits" } as const] : []),
  ];
  if (inputs.length === 0) return null;
  const tokens = rows.map((active) => {
    const own = active.flatMap(({ effects: { activation }, weight }) =>
      activation && weight !== 0 ? [activation] : [],
    );
    if (own.length > 1) throw badRequest(t("Only one activated LoRA can be active at a time."));
    return own[0]?.tokens ?? [];
  });
  return { tokens, inputs };
}

/** What weighs the experts of an adapter by a first pass; null without one. */
function routerFeed(base: MethodBase, active: readonly ActiveEffects[]): RouterFeed | null {
  const own = active.find(({ effects, weight }) => effects.router && weight !== 0);
  const router = own?.effects.router;
  if (!own || !router) return null;
  if (active.length > 1) {
    throw badRequest(
      t(
        "X-LoRA weighs its experts by a pass over the bare base, so it cannot be active with other adapters, as in PEFT. Choose it alone.",
      ),
    );
  }
  return {
    reads: hiddenOutput,
    count: router.count,
    weights: (hidden) => router.weights(hidden),
    inputs: fedPlaces(base.groups, own.effects),
  };
}

/** The companion that runs beside the base; null without one. */
function activeCompanion(
  rows: Rows,
): { companion: Companion; own: Companion["blocks"]; weight: number } | null {
  const active = rows.map((row) => row.filter(({ weight }) => weight !== 0));
  const own = active.flat().find(({ effects }) => effects.companion);
  const companion = own?.effects.companion;
  if (!own || !companion) return null;
  const isAlone = (row: readonly ActiveEffects[]): boolean =>
    row.length === 1 && row[0]?.effects === own.effects && row[0].weight === own.weight;
  if (active.every(isAlone)) return { companion, own: companion.blocks, weight: own.weight };
  throw badRequest(
    t(
      "A Shadow adapter runs a decoder of its own beside the base, so it cannot be active with other adapters, as in PEFT. Choose it alone, for all rows of a batch.",
    ),
  );
}

function companionFeed(
  session: Slotted,
  { companion }: { companion: Companion },
  rows: Rows,
): CompanionFeed {
  const own = session.companionOf(companion);
  const path = own.model.tree.modules.find(({ kind }) => kind === "embedding")?.path;
  const embeddings =
    companion.sharesEmbedding && path !== undefined
      ? [embeddingFeed(path, session, { rows, isRouted: false })]
      : [];
  const inputs = adapterInputs([], { embeddings });
  return { session: own, inputs, reads: hiddenOutput, feeds: companionState };
}

/** How many tokens there are with those that active adapters bring; null without any. */
function vocabularyOf(rows: Rows): number | null {
  const sizes = rows.map((active) => {
    const own = active.flatMap(({ effects, weight }) =>
      weight === 0 ? [] : [...(effects.embeddings?.values() ?? [])].map((each) => each.rows ?? 0),
    );
    const grown = own.filter((size) => size > 0);
    if (grown.length > 1) {
      throw badRequest(
        t("Only one adapter that adds tokens to the vocabulary can be active at a time."),
      );
    }
    return grown[0] ?? null;
  });
  const [first = null] = sizes;
  if (sizes.some((size) => size !== first)) {
    throw badRequest(t("The rows of a batch cannot differ in how many tokens the vocabulary has."));
  }
  return first;
}
