import { t } from "@vscode/l10n";
import { badRequest } from "./base/errors.ts";
import type { LoadedAdapter } from "./loadAdapter.ts";

/** The adapters of a model by name, in the order in which they were loaded. */
export class LoadedAdapters {
  private adapters = new Map<string, LoadedAdapter>();

  get list(): readonly LoadedAdapter[] {
    return [...this.adapters.values()];
  }

  get names(): readonly string[] {
    return [...this.adapters.keys()];
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

  /** Adds an adapter, or takes the place of the one with its name. */
  put(adapter: LoadedAdapter): void {
    this.adapters.set(adapter.name, adapter);
  }

  delete(name: string): void {
    this.adapters.delete(name);
  }

  /** Gives an adapter another name; its place stays. */
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
    this.adapters = new Map(
      this.list.map((each) => {
        const adapter = each.name === name ? { ...each, name: newName } : each;
        return [adapter.name, adapter];
      }),
    );
  }
}
