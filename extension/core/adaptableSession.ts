import { badRequest, GraftError } from "./base/errors.ts";
import type { BaseCheckpoint } from "./checkpoint/baseCheckpoint.ts";
import { buildModel } from "./models/index.ts";
import type { CausalModel } from "./models/causalModel.ts";
import type { AdapterEffects } from "./peft/effect.ts";
import type { MethodBase } from "./peft/method.ts";
import {
  activeCachePrefix,
  activeVirtualTokens,
  attentionTensors,
} from "./peft/prompt/activePrompts.ts";
import {
  type ActiveEffects,
  embeddingSlot,
  extendPlan,
  gateInputs,
  headGate,
  initialPlan,
  slotHook,
  type SlotPlan,
  slotTensors,
  tokenGate,
} from "./peft/slots.ts";
import {
  type ActivationFeed,
  type AdapterInputs,
  adapterInputs,
  CausalSession,
} from "./session/causalSession.ts";
import type { SessionOptions } from "./session/ortSession.ts";

export interface AdaptableOptions extends SessionOptions {
  /** The checkpoint's layers in the order in which they run; each once when absent. */
  readonly layers?: readonly number[];
}

/**
 * The session of a base with room for adapters. Low-rank adapters fit the first session; one that
 * needs another slot has the session built again once, when it is loaded, never when it is chosen.
 */
export class AdaptableSession {
  private users = new Map<CausalSession, number>();
  private turn: Promise<unknown> = Promise.resolve();
  private isClosed = false;

  private constructor(
    private readonly checkpoint: BaseCheckpoint,
    private readonly base: MethodBase,
    private readonly options: AdaptableOptions,
    private plan: SlotPlan,
    private session: CausalSession,
    private baseNorms: ReadonlyMap<string, Float32Array>,
  ) {}

  /** @param base as its layers are run: `options.layers` says in which order */

  static async create(
    checkpoint: BaseCheckpoint,
    base: MethodBase,
    options: AdaptableOptions,
  ): Promise<AdaptableSession> {
    const plan = initialPlan(base.groups, base.tree.outputEmbedding);
    const model = buildModel(checkpoint, slotHook(plan), options.layers);
    const session = await CausalSession.create(model, options);
    return new AdaptableSession(checkpoint, base, options, plan, session, new Map());
  }

  get model(): CausalModel {
    return this.session.model;
  }

  /** Makes room for an adapter; true when the session had to be built again. */
  prepare(effects: AdapterEffects): Promise<boolean> {
    // One at a time: each extends the plan that the one before has left.
    const prepared = this.turn.then(() => this.extend(effects));
    this.turn = prepared.catch(() => undefined);
    return prepared;
  }

  private async extend(effects: AdapterEffects): Promise<boolean> {
    if (this.isClosed) throw baseGone();
    const plan = extendPlan(this.plan, effects, this.base.groups);
    if (plan === this.plan) return false;
    const norms = new Map<string, Float32Array>();
    for (const path of plan.norms) {
      const weight = await this.base.readTensor(`${path}.weight`);
      if (weight) norms.set(path, weight);
    }
    const old = this.session;
    const model = buildModel(this.checkpoint, slotHook(plan), this.options.layers);
    this.session = await CausalSession.create(model, this.options);
    this.plan = plan;
    this.baseNorms = norms;
    await this.release(old);
    return true;
  }

  /** Runs with the session as it is now; it stays open until `use` has ended. */
  async with<T>(use: (session: CausalSession) => Promise<T>): Promise<T> {
    if (this.isClosed) throw baseGone();
    const { session } = this;
    this.users.set(session, (this.users.get(session) ?? 0) + 1);
    try {
      return await use(session);
    } finally {
      this.users.set(session, (this.users.get(session) ?? 1) - 1);
      if (session !== this.session || this.isClosed) await this.release(session);
    }
  }

  /** What a set of active adapters feeds; none is the bare base. */
  inputs(active: readonly ActiveEffects[]): AdapterInputs {
    const { plan, baseNorms } = this;
    const { attention } = this.base;
    const feeds = [
      ...slotTensors(plan, this.base.groups, { active, baseNorms }),
      ...attentionTensors(plan.attention, active, attention),
    ];
    const virtual = activeVirtualTokens(active);
    const embeddings = [...plan.embeddings].map((path) => {
      const module = this.base.tree.modules.find((each) => each.path === path);
      const rows = module?.kind === "embedding" ? module.in : 0;
      return {
        name: embeddingSlot(path),
        width: module?.out ?? 0,
        rowDelta: (id: number) => rowDelta({ path, rows }, id, active),
        ...(path === virtual?.path && { virtualRows: virtual.rows }),
      };
    });
    return adapterInputs(feeds, {
      activation: this.activation(active),
      vocabulary: this.vocabulary(active),
      embeddings,
      virtualTokens: virtual?.count ?? 0,
      cachePrefix: activeCachePrefix(active, attention),
    });
  }

  /** Which tokens gated updates change; null where no slot has any. */
  private activation(active: readonly ActiveEffects[]): ActivationFeed | null {
    const gates = gateInputs(this.plan);
    const inputs = [
      ...(gates.tokens ? [{ name: tokenGate, of: "tokens" } as const] : []),
      ...(gates.head ? [{ name: headGate, of: "logits" } as const] : []),
    ];
    if (inputs.length === 0) return null;
    const own = active.flatMap(({ effects: { activation }, weight }) =>
      activation && weight !== 0 ? [activation] : [],
    );
    if (own.length > 1) throw badRequest("Only one activated LoRA can be active at a time.");
    return { tokens: own[0]?.tokens ?? [], inputs };
  }

  /** How many tokens there are with those that active adapters bring; null without any. */
  private vocabulary(active: readonly ActiveEffects[]): number | null {
    const sizes = active.flatMap(({ effects, weight }) =>
      weight === 0 ? [] : [...(effects.embeddings?.values() ?? [])].map(({ rows }) => rows ?? 0),
    );
    const grown = sizes.filter((size) => size > 0);
    if (grown.length > 1) {
      throw badRequest(
        "Only one adapter that adds tokens to the vocabulary can be active at a time.",
      );
    }
    return grown[0] ?? null;
  }

  /** Closes when the last run has ended; whoever closes stops the runs first. */
  async dispose(): Promise<void> {
    this.isClosed = true;
    await this.turn;
    await this.release(this.session);
  }

  private async release(session: CausalSession): Promise<void> {
    if ((this.users.get(session) ?? 0) > 0) return;
    this.users.delete(session);
    await session.dispose();
  }
}

function baseGone(): GraftError {
  return new GraftError("not-found", "The base model was unloaded. Load it again.");
}

/** What all active adapters add to a token's row. */
function rowDelta(
  { path, rows }: { path: string; rows: number },
  id: number,
  active: readonly ActiveEffects[],
): Float32Array | null {
  let sum: Float32Array | null = null;
  for (const { effects, weight } of active) {
    const effect = weight === 0 ? undefined : effects.embeddings?.get(path);
    const own = effect && id < (effect.rows ?? rows) ? effect.rowDelta(id) : null;
    if (!own) continue;
    const before: Float32Array | null = sum;
    sum = own.map((value, i) => weight * value + (before?.[i] ?? 0));
  }
  return sum;
}
