import { convertAdapter } from "../core/convertAdapter.ts";
import type { Handlers } from "../protocol/connection.ts";
import type { WriteContract } from "../protocol/writeContract.ts";
import { convertResult } from "./convertResult.ts";
import type { Library } from "./library.ts";
import { mergeResult, previewResult } from "./mergeResult.ts";
import { adapterInfo } from "./modelInfo.ts";

/** What the engine writes to disk: adapters, merged models, exports. */
export function writeHandlers(library: Library): Handlers<WriteContract> {
  return {
    saveAdapter: async ({ base, name, folder, format, convertFrom, ...wishes }, { signal }) => {
      const warnings: string[] = [];
      const files = await library.require(base).saveAdapter(name, folder, {
        ...wishes,
        safeSerialization: format !== "bin",
        pathInitialModelForWeightConversion: convertFrom,
        onWarning: (warning) => warnings.push(warning),
        signal,
      });
      return { files, warnings };
    },
    combineAdapters: async ({ base, adapters, name, folder, type, ...options }, context) => {
      const { majoritySign: majoritySignMethod, ...rest } = options;
      const combined = await library.require(base).addWeightedAdapter(
        adapters.map((each) => each.name),
        adapters.map(({ weight }) => weight),
        name,
        {
          ...rest,
          ...(majoritySignMethod && { majoritySignMethod }),
          folder,
          combinationType: type,
          leadToBase: true,
          onProgress: context.emit,
          signal: context.signal,
        },
      );
      return adapterInfo(combined);
    },
    mergeAdapters: async ({ base, ...options }, { emit, signal }) => {
      const work = { ...options, onProgress: emit, signal };
      return mergeResult(await library.require(base).mergeAndUnload(work));
    },
    exportOnnx: async ({ base, ...options }, { emit, signal }) => {
      const report = await library
        .require(base)
        .exportOnnx({ ...options, onProgress: emit, signal });
      return { ...report, files: [...report.files] };
    },
    previewMerge: async ({ base, ...options }, { emit, signal }) => {
      const work = { ...options, onProgress: emit, signal };
      return previewResult(await library.require(base).previewMerge(work));
    },
    convertAdapter: async (params, { emit, signal }) =>
      convertResult(await convertAdapter({ ...params, onProgress: emit, signal })),
  };
}
