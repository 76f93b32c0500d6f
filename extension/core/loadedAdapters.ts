import { t } from "@vscode/l10n";
import { badRequest } from "./base/errors.ts";
import type { LoadedAdapter } from "./loadAdapter.ts";
import type { ActiveEffects } from "./peft/activeEffects.ts";
import { checkTogether } from "./peft/together.ts";

export interface ActiveAdapter {
  readonly name: string;
  /** Factor on the adapter's update; 1 is as trained. */
  readonly weight: number;
  /** Task of an adapter for several: one, or one a row of the batch; the first when absent. */
  readonly task?: number | readonly number[] | undefined;
}

/** Adapters by their names, which stand for adapters as trained. */
export type AdapterChoice = string | readonly (string | ActiveAdapter)[];

export function asActive(adapters: AdapterChoice): ActiveAdapter[] {
  const list = typeof adapters === "string" ? [adapters] : adapters;
  return list.map((each) => (typeof each === "string" ? { name: each, weight: 1 } : each));
}

/** An active adapter's effects under its name. */
export interface NamedEffects extends ActiveEffects {
  readonly name: string;
}

/** The adapters of a model in the order in which they were loaded, and which of them are active and trained. */
export class LoadedAdapters {
  private adapters = new Map<string, LoadedAdapter>();
  private chosen: readonly ActiveAdapter[] = [];
  private trained: ReadonlySet<string> = new Set();

  get list(): readonly LoadedAdapter[] {
    return [...this.adapters.values()];
  }

  get names(): readonly string[] {
    return [...this.adapters.keys()];
  }

  /** In the order in which they act. */
  get active(): readonly ActiveAdapter[] {
    return this.chosen;
  }

  /** Names of those that count as trainable. */
  get trainable(): ReadonlySet<string> {
    return this.trained;
  }

  find(name: string): LoadedAdapter | undefined {
    return this.adapters.get(name);
  }

  /** @throws bad-request for a name that no adapter has */
  require(name: string): LoadedAdapter {
    const adapter = this.adapters.get(name);
    if (adapter) return adapter;
    const names = this.names.join(", ") || "none";
    throw badRequest(t('No adapter named "{0}" is loaded. Loaded: {1}.', name, names));
  }

  refuseTaken(name: string): void {
    if (this.adapters.has(name)) {
      throw badRequest(t('An adapter named "{0}" is already loaded.', name));
    }
  }

  /**
   * What a set of adapters does, in its order.
   * @throws bad-request for names that are not loaded or named twice, and for adapters that exclude each other
   */
  effectsOf(adapters: readonly ActiveAdapter[]): NamedEffects[] {
    const seen = new Set<string>();
    const effects = adapters.map(({ name, weight, task }) => {
      if (seen.has(name)) throw badRequest(t('Adapter "{0}" is named twice.', name));
      if (!Number.isFinite(weight))
        throw badRequest(t('The weight of "{0}" is {1}.', name, weight));
      seen.add(name);
      return { name, effects: this.require(name).weights.effects, weight, task };
    });
    checkTogether(effects);
    return effects;
  }

  /** Adds an adapter, or takes the place of the one with its name. */
  put(adapter: LoadedAdapter): void {
    this.adapters.set(adapter.name, adapter);
  }

  activate(adapters: readonly ActiveAdapter[]): void {
    this.chosen = adapters;
  }

  /** Has exactly these count as trainable. */
  train(names: Iterable<string>): void {
    this.trained = new Set(names);
  }

  /** Forgets an adapter, which is then neither active nor trained. */
  delete(name: string): void {
    this.adapters.delete(name);
    this.chosen = this.chosen.filter((each) => each.name !== name);
    this.train([...this.trained].filter((each) => each !== name));
  }

  /** Gives an adapter another name; its place, and whether it is active and trained, stay. */
  rename(name: string, newName: string): void {
    this.require(name);
    if (newName === name) return;
    // It names the folder that savePretrained writes.
    if (newName.trim() === "" || /[\\/]|^\.{1,2}$/.test(newName)) {
      throw badRequest(
        t('"{0}" cannot be the name of an adapter. Use a name for a folder.', newName),
      );
    }
    this.refuseTaken(newName);
    const renamed = <T extends { readonly name: string }>(each: T): T =>
      each.name === name ? { ...each, name: newName } : each;
    this.adapters = new Map(this.list.map(renamed).map((each) => [each.name, each]));
    this.chosen = this.chosen.map(renamed);
    this.train([...this.trained].map((each) => (each === name ? newName : each)));
  }
}
