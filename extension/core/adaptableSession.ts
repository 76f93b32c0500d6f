import { t } from "@vscode/l10n";
import { GraftError, unsupported } from "./base/errors.ts";
import type { BaseCheckpoint } from "./checkpoint/baseCheckpoint.ts";
import { normTensor } from "./checkpoint/modules.ts";
import { buildCompanion } from "./companionModel.ts";
import { buildModel } from "./models/index.ts";
import type { Model } from "./models/model.ts";
import { bareLayers, type LayerHook } from "./onnx/layerHook.ts";
import { type Arithmetic, inLowPrecision } from "./onnx/lowPrecision.ts";
import type { AdapterEffects, Companion } from "./peft/effect.ts";
import type { MethodBase } from "./peft/method.ts";
import type { ActiveEffects } from "./peft/activeEffects.ts";
import { slotHook } from "./peft/slots/slotHook.ts";
import { extendPlan, initialPlan, type SlotPlan } from "./peft/slots/slotPlan.ts";
import { sessionInputs } from "./sessionInputs.ts";
import type { AdapterInputs } from "./session/adapterInputs.ts";
import { CausalSession } from "./session/causalSession.ts";
import { keptStates } from "./session/keptStates.ts";
import { openSession } from "./session/openSession.ts";
import type { DeviceReport } from "./session/devices.ts";
import type { SessionOptions } from "./session/ortSession.ts";
import type { RunningSession } from "./session/runningSession.ts";

export interface AdaptableOptions extends SessionOptions {
  /** The checkpoint's layers in the order in which they run; each once when absent. */
  readonly layers?: readonly number[];
  /** Rounding in the base's arithmetic; plain fp32 when absent. */
  readonly arithmetic?: Arithmetic;
  /** Builds the graph around a hook, where it is not made from the checkpoint (an ONNX export). */
  readonly build?: (hook: LayerHook) => Model;
  /** Refuses, by name, what such a graph has no place for. */
  readonly refuse?: (effects: AdapterEffects) => void;
}

/** The base's graph with a plan's slots. */
function slottedModel(
  checkpoint: BaseCheckpoint,
  plan: SlotPlan,
  { layers, arithmetic, build }: AdaptableOptions,
): Model {
  if (build) return build(slotHook(plan));
  const model = buildModel(checkpoint, slotHook(plan), layers);
  if (!arithmetic) return model;
  if (model.kind === "causal" && model.hasKeyPositions) {
    throw unsupported(
      t("{0}: Graft has no 16-bit arithmetic for ALiBi", checkpoint.name),
      t("Load the base without dtype; its stored weights are then computed with in fp32."),
    );
  }
  if (model.kind === "seq2seq") {
    throw unsupported(
      t("Models with encoder and decoder are not computed in a 16-bit type as PyTorch does it"),
      t("Load the base without dtype."),
    );
  }
  const bare = buildModel(checkpoint, bareLayers, layers).graph;
  const ofBase = new Set<string>(bare.inputs.map(({ name }) => name));
  return { ...model, graph: inLowPrecision(model.graph, arithmetic, ofBase) };
}

/**
 * The session of a base with room for adapters. Low-rank adapters fit the first session; one that
 * needs another slot has the session built again once, when it is loaded, never when it is chosen.
 */
export class AdaptableSession {
  private users = new Map<RunningSession, number>();
  /** What single adapters feed as trained, so that a swap is a look-up. */
  private known = new WeakMap<AdapterEffects, AdapterInputs>();
  private readonly companions = new Map<Companion, CausalSession>();
  private readonly forgotten: CausalSession[] = [];
  private turn: Promise<unknown> = Promise.resolve();
  private isClosed = false;

  private constructor(
    public checkpoint: BaseCheckpoint,
    public base: MethodBase,
    private readonly options: AdaptableOptions,
    public plan: SlotPlan,
    private session: RunningSession,
    public baseNorms: ReadonlyMap<string, Float32Array>,
  ) {}

  /** @param base as its layers are run: `options.layers` says in which order */

  static async create(
    checkpoint: BaseCheckpoint,
    base: MethodBase,
    options: AdaptableOptions,
  ): Promise<AdaptableSession> {
    const plan = initialPlan(base.groups, base.tree.outputEmbedding);
    const model = slottedModel(checkpoint, plan, options);
    const session = await openSession(model, options);
    return new AdaptableSession(checkpoint, base, options, plan, session, new Map());
  }

  get model(): Model {
    return this.session.model;
  }

  get device(): DeviceReport {
    return this.session.device;
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
    this.options.refuse?.(effects);
    refuseInFront(this.model, effects);
    const { companion } = effects;
    if (companion && !this.companions.has(companion)) {
      this.companions.set(companion, await this.openCompanion(companion));
    }
    const plan = extendPlan(this.plan, effects, this.base.groups);
    if (plan === this.plan) return false;
    await this.build(plan, this);
    return true;
  }

  /** Runs on other weights of the same architecture from now on; what is under way ends on the old. */
  rebase(checkpoint: BaseCheckpoint, base: MethodBase): Promise<void> {
    const rebased = this.turn.then(async () => {
      if (this.isClosed) throw baseGone();
      await this.build(this.plan, { checkpoint, base });
      // They may read the base's embedding.
      for (const [companion, old] of [...this.companions]) {
        this.companions.set(companion, await this.openCompanion(companion));
        this.forgotten.push(old);
      }
      await this.freeForgotten();
    });
    this.turn = rebased.catch(() => undefined);
    return rebased;
  }

  private async build(
    plan: SlotPlan,
    { checkpoint, base }: { checkpoint: BaseCheckpoint; base: MethodBase },
  ): Promise<void> {
    const norms = new Map<string, Float32Array>();
    for (const path of plan.norms) {
      const weight = await base.readTensor(normTensor(path));
      if (weight) norms.set(path, weight);
    }
    const old = this.session;
    const model = slottedModel(checkpoint, plan, this.options);
    this.session = await openSession(model, this.options);
    this.checkpoint = checkpoint;
    this.base = base;
    this.plan = plan;
    this.baseNorms = norms;
    this.known = new WeakMap();
    await this.release(old);
  }

  private openCompanion(companion: Companion): Promise<CausalSession> {
    return CausalSession.create(buildCompanion(this.checkpoint, companion), this.options);
  }

  /** Runs with the session as it is now; it stays open until `use` has ended. */
  async with<T>(use: (session: RunningSession) => Promise<T>): Promise<T> {
    if (this.isClosed) throw baseGone();
    const { session } = this;
    this.users.set(session, (this.users.get(session) ?? 0) + 1);
    try {
      return await use(session);
    } finally {
      this.users.set(session, (this.users.get(session) ?? 1) - 1);
      if (session !== this.session || this.isClosed) await this.release(session);
      await this.freeForgotten();
    }
  }

  /** What the active adapters of each row of a batch feed, one entry for all; none is the bare base. */
  inputs(rows: readonly (readonly ActiveEffects[])[]): AdapterInputs {
    const [only] = rows.length === 1 ? (rows[0] ?? []) : [];
    const isAsTrained = rows[0]?.length === 1 && only?.weight === 1 && only.task === undefined;
    // A companion's session may be another one the next time.
    if (!only || !isAsTrained || only.effects.companion) return sessionInputs(this, rows);
    const inputs = this.known.get(only.effects) ?? sessionInputs(this, rows);
    this.known.set(only.effects, inputs);
    return inputs;
  }

  companionOf(companion: Companion): CausalSession {
    const session = this.companions.get(companion);
    if (session) return session;
    throw new GraftError("internal", t("The adapter's companion was not prepared."));
  }

  /** Frees what an adapter that was deleted ran on beside the base, once no run needs it. */
  forget({ companion }: AdapterEffects): void {
    keptStates(this.session).clear();
    const session = companion && this.companions.get(companion);
    if (!session) return;
    this.companions.delete(companion);
    this.forgotten.push(session);
    this.turn = this.turn.then(() => this.freeForgotten()).catch(() => undefined);
  }

  private async freeForgotten(): Promise<void> {
    if ([...this.users.values()].some((count) => count > 0)) return;
    for (const session of this.forgotten.splice(0)) await session.dispose();
  }

  /** Closes when the last run has ended; whoever closes stops the runs first. */
  async dispose(): Promise<void> {
    this.isClosed = true;
    await this.turn;
    await this.release(this.session);
    this.forgotten.push(...this.companions.values());
    this.companions.clear();
    await this.freeForgotten();
  }

  private async release(session: RunningSession): Promise<void> {
    if ((this.users.get(session) ?? 0) > 0) return;
    this.users.delete(session);
    await session.dispose();
  }
}

function baseGone(): GraftError {
  return new GraftError("not-found", t("The base model was unloaded. Load it again."));
}

/** Refuses what stands in front of a sequence where a model has no place for it. */
function refuseInFront(model: Model, { virtualTokens, cachePrefix }: AdapterEffects): void {
  if (model.kind === "image" && (virtualTokens || cachePrefix)) {
    throw unsupported(t("Virtual tokens go in front of text, and this base reads images"));
  }
  if (model.kind === "encoder" && cachePrefix && !model.takesPrefix) {
    throw unsupported(
      t(
        "Prefix tuning puts keys and values in front of a sequence, which this base takes none of: transformers runs its family without a cache",
      ),
      t("Train with prompt tuning, P-tuning or a method on its layers."),
    );
  }
}
