import { adapterFolders } from "../core/checkpoint/findAdapter.ts";
import type { PeftModel } from "../core/peftModel.ts";
import { resolveModel } from "../core/resolveModel.ts";
import type { Handlers } from "../protocol/connection.ts";
import type { EngineContract } from "../protocol/engineContract.ts";
import { AdapterLoads } from "./adapterLoads.ts";
import { hubPlace } from "./hub.ts";
import type { Library } from "./library.ts";
import { adapterInfo, baseInfo } from "./modelInfo.ts";

/** What is loaded and active. */
export function modelHandlers(
  library: Library,
): Pick<
  Handlers<EngineContract>,
  | "loadBaseModel"
  | "unloadBaseModel"
  | "loadAdapter"
  | "unloadAdapter"
  | "setActiveAdapters"
  | "renameAdapter"
  | "measureEffect"
> {
  const adapterLoads = new AdapterLoads();
  return {
    loadBaseModel: async (
      { path: named, forAdapter: wanted, hub, quantCache, ...wish },
      { emit, signal },
    ) => {
      const { base, adapter } = await resolveModel(named, hubPlace(hub, { emit, signal }));
      const forAdapter = adapter ?? wanted;
      const model = await library.open(base, {
        ...wish,
        ...(quantCache !== undefined && { quantCacheDir: quantCache }),
        ...(forAdapter !== undefined && { forAdapter }),
        onProgress: emit,
        signal,
      });
      prepareSoon(model);
      const info = baseInfo(model);
      return adapter === null ? info : { ...info, adapter };
    },
    unloadBaseModel: async ({ base }) => {
      await library.close(base);
      return null;
    },
    loadAdapter: async (params, { emit, signal }) => {
      const model = library.require(params.base);
      const { allowPartial = false, hub } = params;
      const options = { allowPartial, onProgress: emit, signal };
      const { folder } = await adapterFolders(params.path, hubPlace(hub, { emit, signal }));
      return adapterInfo(await adapterLoads.load(model, { ...params, path: folder }, options));
    },
    unloadAdapter: ({ base, name }) => {
      library.require(base).deleteAdapter(name);
      return null;
    },
    setActiveAdapters: ({ base, adapters }) => {
      const started = performance.now();
      library.require(base).setAdapter(adapters, { inferenceMode: true });
      return { swapSeconds: (performance.now() - started) / 1000 };
    },
    renameAdapter: ({ base, name, newName }) => {
      library.require(base).renameAdapter(name, newName);
      return null;
    },
    measureEffect: ({ base, ...options }, { emit, signal }) =>
      library.require(base).measureEffect({ ...options, onProgress: emit, signal }),
  };
}

/** Once the answer is on its way and what the host asks next is done, as far as it is known by then. */
function prepareSoon({ base: { tokenizer } }: PeftModel): void {
  setTimeout(() => {
    try {
      tokenizer?.prepare();
    } catch {
      // The first text says it, to whoever asked for it.
    }
  }, 100).unref();
}
