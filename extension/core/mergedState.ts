import { t } from "@vscode/l10n";
import { badRequest } from "./base/errors.ts";
import { type BaseModel, describeBase } from "./baseModel.ts";
import type { BaseInputs } from "./baseSession.ts";
import type { ActiveAdapter } from "./loadedAdapters.ts";
import { mergeInMemory, type MergeInMemoryOptions, type MergedWeights } from "./mergeInMemory.ts";
import type { ActiveEffects } from "./peft/activeEffects.ts";
import type { MergeDrift } from "./peft/mergeRounding.ts";

export interface MergedReport {
  /** Names in the order in which they were merged. */
  readonly adapters: readonly string[];
  readonly drift: readonly MergeDrift[];
  /** Share of the change that rounding to the base's type swallowed, 0 to 1. */
  readonly swallowed: number;
}

/**
 * Which adapters the session's weights hold. Merging more starts from the base each time and
 * unmerging goes back to it, so nothing is ever subtracted: what comes back is the base bit for bit.
 */
export class MergedState {
  private list: readonly ActiveAdapter[] = [];
  private weights: MergedWeights | null = null;
  private turn: Promise<unknown> = Promise.resolve();

  constructor(private readonly base: BaseModel) {}

  get adapters(): readonly ActiveAdapter[] {
    return this.list;
  }

  get isMerged(): boolean {
    return this.list.length > 0;
  }

  /**
   * Runs the session on the base with these adapters merged in.
   * @param effectsOf what the adapters do, asked when it is their turn
   * @throws unsupported when an adapter cannot be merged; the session then runs on as before
   */
  merge(
    added: readonly ActiveAdapter[],
    effectsOf: (all: readonly ActiveAdapter[]) => ActiveEffects[],
    options: MergeInMemoryOptions,
  ): Promise<MergedReport> {
    return this.inTurn(async () => {
      const known = new Set(this.list.map(({ name }) => name));
      const all = [...this.list, ...added.filter(({ name }) => !known.has(name))];
      const merged = await mergeInMemory(this.base, effectsOf(all), options);
      try {
        const { checkpoint } = merged;
        await this.base.session.rebase({ checkpoint, base: describeBase(checkpoint) });
      } catch (error) {
        await merged.dispose();
        throw error;
      }
      const old = this.weights;
      [this.list, this.weights] = [all, merged];
      await old?.dispose();
      const { drift, swallowed } = merged;
      return { adapters: all.map(({ name }) => name), drift, swallowed };
    });
  }

  /** Runs the session on the base's own weights again. */
  unmerge(): Promise<void> {
    return this.inTurn(async () => {
      if (!this.isMerged) return;
      await this.base.session.rebase(null);
      const old = this.weights;
      [this.list, this.weights] = [[], null];
      await old?.dispose();
    });
  }

  /** Inputs for the adapters that are merged; others would need weights that are not there now. */
  inputsFor(asked: readonly ActiveAdapter[]): BaseInputs {
    const isSame =
      asked.length === this.list.length &&
      asked.every(({ name, weight }, i) => {
        const own = this.list[i];
        return own?.name === name && own.weight === weight;
      });
    if (isSame) return this.base.session.inputs([]);
    throw this.refusal(t("answer with other adapters or with the base alone"));
  }

  /** @throws bad-request while adapters are merged (one of this name, where it is given) */
  refuseWhileMerged(wish: string, name?: string): void {
    const isHeld =
      name === undefined ? this.isMerged : this.list.some((each) => each.name === name);
    if (isHeld) throw this.refusal(wish);
  }

  private refusal(wish: string): Error {
    const names = this.list.map(({ name }) => `"${name}"`).join(", ");
    return badRequest(
      t("{0} is merged into the weights in memory. To {1}, unmerge first.", names, wish),
    );
  }

  rename(name: string, newName: string): void {
    this.list = this.list.map((each) => (each.name === name ? { ...each, name: newName } : each));
  }

  /** Removes the merged weights; the session is closed by its owner. */
  async dispose(): Promise<void> {
    await this.turn;
    await this.weights?.dispose();
  }

  private inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.turn.then(work);
    this.turn = done.catch(() => undefined);
    return done;
  }
}
