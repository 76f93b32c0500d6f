import { realpath } from "node:fs/promises";
import { throwIfAborted } from "../core/base/errors.ts";
import { folderLabel } from "../core/hub/cache.ts";
import type { LoadAdapterOptions, LoadedAdapter } from "../core/loadAdapter.ts";
import type { PeftModel } from "../core/peftModel.ts";
import type { LoadAdapterParams } from "../protocol/engineContract.ts";

type Options = Pick<LoadAdapterOptions, "allowPartial" | "onProgress" | "signal">;

/** Loads of adapters onto the models of an engine: each folder once, each under a name of its own. */
export class AdapterLoads {
  /** By model, then by the real path of the folder. */
  private readonly underWay = new WeakMap<PeftModel, Map<string, Load>>();

  /** What is loaded from the folder already, or is being loaded, or a load begun now. */
  async load(
    model: PeftModel,
    params: Pick<LoadAdapterParams, "path" | "name">,
    options: Options,
  ): Promise<LoadedAdapter> {
    const folder = await realpath(params.path).catch(() => params.path);
    const known = model.adapters.find(({ checkpoint }) => checkpoint.dir === folder);
    if (known) return known;
    const loads = this.underWay.get(model) ?? new Map<string, Load>();
    this.underWay.set(model, loads);
    const other = loads.get(folder);
    if (other) {
      // Whoever began it may stop it or refuse a partial one; that is no wish of this caller.
      await other.result.catch(() => undefined);
      throwIfAborted(options.signal);
      return this.load(model, params, options);
    }
    const name = params.name ?? freeName(folder, { model, loads });
    const result = model.loadAdapter(folder, { ...options, adapterName: name });
    loads.set(folder, { name, result });
    try {
      return await result;
    } finally {
      loads.delete(folder);
    }
  }
}

interface Load {
  readonly name: string;
  readonly result: Promise<LoadedAdapter>;
}

/** The folder's name, with a number where another adapter has it already. */
function freeName(
  folder: string,
  { model, loads }: { model: PeftModel; loads: ReadonlyMap<string, Load> },
): string {
  const names = [...model.adapters, ...loads.values()].map(({ name }) => name);
  const wanted = folderLabel(folder);
  let name = wanted;
  for (let count = 2; names.includes(name); count++) name = `${wanted}-${count}`;
  return name;
}
