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
  initialPlan,
  slotHook,
  type SlotPlan,
  slotTensors,
} from "./peft/slots.ts";
import { type AdapterInputs, adapterInputs, CausalSession } from "./session/causalSession.ts";
import type { SessionOptions } from "./session/ortSession.ts";

/**
 * The session of a base with room for adapters. Low-rank adapters fit the first session; one that
 * needs another slot has the session built again once, when it is loaded, never when it is chosen.
 */
export class AdaptableSession {
  private users = new Map<CausalSession, number>();

  private constructor(
    private readonly checkpoint: BaseCheckpoint,
    private readonly base: MethodBase,
    private readonly options: SessionOptions,
    private plan: SlotPlan,
    private session: CausalSession,
    private baseNorms: ReadonlyMap<string, Float32Array>,
  ) {}

  static async create(
    checkpoint: BaseCheckpoint,
    base: MethodBase,
    options: SessionOptions,
  ): Promise<AdaptableSession> {
    const plan = initialPlan(base.groups, base.tree.outputEmbedding);
    const session = await CausalSession.create(buildModel(checkpoint, slotHook(plan)), options);
    return new AdaptableSession(checkpoint, base, options, plan, session, new Map());
  }

  get model(): CausalModel {
    return this.session.model;
  }

  /** Makes room for an adapter; true when the session had to be built again. */
  async prepare(effects: AdapterEffects): Promise<boolean> {
    const plan = extendPlan(this.plan, effects, this.base.groups);
    if (plan === this.plan) return false;
    const norms = new Map<string, Float32Array>();
    for (const path of plan.norms) {
      const weight = await this.base.readTensor(`${path}.weight`);
      if (weight) norms.set(path, weight);
    }
    const old = this.session;
    const model = buildModel(this.checkpoint, slotHook(plan));
    this.session = await CausalSession.create(model, this.options);
    this.plan = plan;
    this.baseNorms = norms;
    await this.release(old);
    return true;
  }

  /** Runs with the session as it is now; it stays open until `use` has ended. */
  async with<T>(use: (session: CausalSession) => Promise<T>): Promise<T> {
    const { session } = this;
    this.users.set(session, (this.users.get(session) ?? 0) + 1);
    try {
      return await use(session);
    } finally {
      this.users.set(session, (this.users.get(session) ?? 1) - 1);
      if (session !== this.session) await this.release(session);
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
      return {
        name: embeddingSlot(path),
        width: module?.out ?? 0,
        rowDelta: (id: number) => rowDelta(path, id, active),
        ...(path === virtual?.path && { virtualRows: virtual.rows }),
      };
    });
    return adapterInputs(feeds, {
      embeddings,
      virtualTokens: virtual?.count ?? 0,
      cachePrefix: activeCachePrefix(active, attention),
    });
  }

  async dispose(): Promise<void> {
    await this.session.dispose();
  }

  private async release(session: CausalSession): Promise<void> {
    if ((this.users.get(session) ?? 0) > 0) return;
    this.users.delete(session);
    await session.dispose();
  }
}

/** What all active adapters add to a token's row. */
function rowDelta(path: string, id: number, active: readonly ActiveEffects[]): Float32Array | null {
  let sum: Float32Array | null = null;
  for (const { effects, weight } of active) {
    const own = weight === 0 ? null : (effects.embeddings?.get(path)?.rowDelta(id) ?? null);
    if (!own) continue;
    const before: Float32Array | null = sum;
    sum = own.map((value, i) => weight * value + (before?.[i] ?? 0));
  }
  return sum;
}
