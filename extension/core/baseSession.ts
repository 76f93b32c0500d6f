import { t } from "@vscode/l10n";
import { badRequest } from "./base/errors.ts";
import { type AdaptableOptions, AdaptableSession } from "./adaptableSession.ts";
import type { BaseCheckpoint } from "./checkpoint/baseCheckpoint.ts";
import type { Model } from "./models/model.ts";
import type { AdapterEffects } from "./peft/effect.ts";
import type { MethodBase } from "./peft/method.ts";
import { type ActiveEffects, rowsOf } from "./peft/activeEffects.ts";
import type { AdapterInputs } from "./session/adapterInputs.ts";
import type { DecodingSession } from "./session/decodingSession.ts";
import { decodingSession } from "./session/openSession.ts";
import type { DeviceReport } from "./session/devices.ts";
import type { Batch, HeadOutput } from "./session/runningSession.ts";

/** What adapters feed, and to which session of a base. */
export interface BaseInputs extends AdapterInputs {
  /** The order of layers that they run; "" is the base as it is. */
  readonly order: string;
}

export interface BaseSessionOptions extends Omit<AdaptableOptions, "layers"> {
  /** Frees what the weights stand in, once no session maps them. */
  readonly release?: () => Promise<void>;
}

/**
 * The sessions of a base: one for its layers as they are and, when an adapter that repeats layers
 * is loaded, one more for its order. All map the same weights from disk.
 */
export class BaseSession {
  private readonly others = new Map<string, AdaptableSession>();
  private turn: Promise<unknown> = Promise.resolve();

  private constructor(
    private readonly own: AdaptableSession,
    private readonly checkpoint: BaseCheckpoint,
    private readonly base: MethodBase,
    private readonly options: BaseSessionOptions,
  ) {}

  static async create(
    checkpoint: BaseCheckpoint,
    base: MethodBase,
    options: BaseSessionOptions,
  ): Promise<BaseSession> {
    try {
      const own = await AdaptableSession.create(checkpoint, base, options);
      return new BaseSession(own, checkpoint, base, options);
    } catch (error) {
      await options.release?.();
      throw error;
    }
  }

  /** The model without adapters. */
  get model(): Model {
    return this.own.model;
  }

  /** Where the model runs now; a session that is built again may fall back to the CPU. */
  get device(): DeviceReport {
    return this.own.device;
  }

  /** Makes room for an adapter; true when a session had to be built again. */
  async prepare(effects: AdapterEffects): Promise<boolean> {
    return (await this.sessionFor(effects.layers)).prepare(effects);
  }

  /** What a set of active adapters feeds; none is the bare base. */
  inputs(active: readonly ActiveEffects[]): BaseInputs {
    return this.inputsOfRows(rowsOf(active));
  }

  /** The same with adapters of its own for every row of a batch. */
  inputsOfRows(rows: readonly (readonly ActiveEffects[])[]): BaseInputs {
    const orders = new Set(
      rows.flatMap((active) =>
        active.length === 0 ? [""] : active.map(({ effects }) => orderOf(effects.layers)),
      ),
    );
    if (orders.size > 1) {
      throw badRequest(t("An adapter that repeats layers can be active only with its like."));
    }
    const [order = ""] = orders;
    return { ...this.sessionOf(order).inputs(rows), order };
  }

  /**
   * Runs the layers as they are on other weights, e.g. merged ones; null goes back to the base's own.
   * Inputs made before are for the old weights.
   */
  rebase(other: { checkpoint: BaseCheckpoint; base: MethodBase } | null): Promise<void> {
    return other
      ? this.own.rebase(other.checkpoint, other.base)
      : this.own.rebase(this.checkpoint, this.base);
  }

  /**
   * Decodes with the session that these inputs are for; it stays open until `use` has ended.
   * @throws unsupported where the model does not write text
   */
  with<T>(
    { order }: Pick<BaseInputs, "order">,
    use: (session: DecodingSession) => Promise<T>,
  ): Promise<T> {
    return this.sessionOf(order).with((session) => use(decodingSession(session)));
  }

  /** What the model's head says of a batch, in one pass. */
  predict(batch: Batch, inputs: BaseInputs): Promise<HeadOutput> {
    return this.sessionOf(inputs.order).with((session) => session.predict(batch, inputs));
  }

  /** Frees what an adapter that was deleted ran on alone. */
  forget(effects: AdapterEffects): void {
    this.sessionOf(orderOf(effects.layers)).forget(effects);
  }

  async dispose(): Promise<void> {
    await this.turn;
    await Promise.all([this.own, ...this.others.values()].map((session) => session.dispose()));
    await this.options.release?.();
  }

  private sessionOf(order: string): AdaptableSession {
    return this.others.get(order) ?? this.own;
  }

  private async sessionFor(layers: readonly number[] | undefined): Promise<AdaptableSession> {
    if (!layers) return this.own;
    const order = orderOf(layers);
    // One at a time, so that two adapters of one order share its session.
    const made = this.turn.then(async () => {
      const known = this.others.get(order);
      if (known) return known;
      const { checkpoint, options } = this;
      const base = this.base.withLayers(layers);
      const session = await AdaptableSession.create(checkpoint, base, { ...options, layers });
      this.others.set(order, session);
      return session;
    });
    this.turn = made.catch(() => undefined);
    return made;
  }
}

function orderOf(layers: readonly number[] | undefined): string {
  return layers?.join() ?? "";
}
