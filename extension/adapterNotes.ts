import { knownEffects, type KeptEffects, withEffect } from "./effects.ts";
import type { AdapterSummary } from "./protocol/engineContract.ts";
import type { AdapterEffect, State } from "./state.ts";
import type { StateStore } from "./stateStore.ts";

export interface AdapterNotesOptions {
  /** Bases that the user has named for adapters that lead to none, by the adapter's path. */
  recallBases?(): Readonly<Record<string, string>> | undefined;
  rememberBases?(bases: Readonly<Record<string, string>>): void;
  /** How strong adapters were found to be, kept from one window to the next. */
  recallEffects?(): KeptEffects | undefined;
  rememberEffects?(effects: KeptEffects): void;
}

/** What the user and earlier windows have said of adapters, which their files do not. */
export class AdapterNotes {
  constructor(
    private readonly store: StateStore,
    private readonly options: AdapterNotesOptions,
  ) {}

  /** Adapters that were found, with what is noted of them. */
  on(adapters: readonly AdapterSummary[]): Pick<State, "adapters" | "effects"> {
    const known = this.options.recallBases?.() ?? {};
    const led = adapters.map((a) => ({ ...a, basePath: a.basePath ?? known[a.path] ?? null }));
    return { adapters: led, effects: knownEffects(this.options.recallEffects?.() ?? {}, led) };
  }

  /** Keeps the base that the user has named for an adapter; null forgets it. */
  noteBase(adapter: string, base: string | null): void {
    const { [adapter]: before, ...others } = this.options.recallBases?.() ?? {};
    if (base === null && before === undefined) return;
    this.options.rememberBases?.(base === null ? others : { ...others, [adapter]: base });
    const adapters = this.store.state.adapters.map((each) =>
      each.path === adapter ? { ...each, basePath: base } : each,
    );
    this.store.set({ adapters });
  }

  /** Keeps how strong an adapter is; what was measured on answers outlives a norm. */
  noteEffect(path: string, effect: AdapterEffect): void {
    const { adapters, effects } = this.store.state;
    const adapter = adapters.find((each) => each.path === path);
    if (!adapter || (effect.kind === "norm" && effects.get(path)?.kind === "logits")) return;
    const kept = withEffect(this.options.recallEffects?.() ?? {}, adapter, effect);
    this.options.rememberEffects?.(kept);
    this.store.set({ effects: new Map([...effects, [path, effect]]) });
  }
}
