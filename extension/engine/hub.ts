import { isFolder } from "../core/base/files.ts";
import type { HubPlace } from "../core/checkpoint/findAdapter.ts";
import { whoAmI } from "../core/hub/account.ts";
import { isRepoId, repoIdOf } from "../core/hub/cache.ts";
import { searchAdapters, searchModels } from "../core/hub/search.ts";
import { downloadModel, planModel } from "../core/hubModel.ts";
import type { PeftModel } from "../core/peftModel.ts";
import { planPush, type PushOptions, type PushSource, pushToHub } from "../core/pushToHub.ts";
import { describeRemoteAdapter, fitOfRemoteAdapter } from "../core/remoteFit.ts";
import type { HandlerContext, Handlers } from "../protocol/connection.ts";
import type { ProgressEvent } from "../protocol/engineContract.ts";
import type { HubContract, HubLoad, PushParams, SearchHubParams } from "../protocol/hubContract.ts";
import type { Library } from "./library.ts";

/** What the engine does with the Hub. Tokens pass through; none is kept or logged. */
export function hubHandlers(library: Library): Handlers<HubContract> {
  return {
    whoAmI: async (access, { signal }) => {
      const { organizations, ...account } = await whoAmI(access, signal);
      return { ...account, organizations: [...organizations] };
    },
    searchHub: async (params, { signal }) => {
      const base = await baseIdOf(params);
      const options = { ...params, signal };
      const isOfBase = params.kind === "adapters" && params.base !== undefined;
      if (isOfBase && base === null) return { models: [], base };
      const found =
        params.kind === "adapters"
          ? await searchAdapters({ ...options, base: base ?? undefined })
          : await searchModels(options);
      return { models: found.map((each) => ({ ...each, bases: [...each.bases] })), base };
    },
    describeHubAdapter: ({ id, ...options }, { signal }) =>
      describeRemoteAdapter(id, { ...options, signal }),
    checkRemoteFit: ({ base, id, ...options }, { signal }) =>
      fitOfRemoteAdapter(id, library.require(base).base.adaptable, { ...options, signal }),
    planDownload: async ({ id, force, ...options }, { signal }) => {
      const { base, ...plan } = await planModel(id, { ...options, forceDownload: force, signal });
      const files = [...plan.files];
      return { ...plan, files, ...(base && { base: { ...base, files: [...base.files] } }) };
    },
    downloadFromHub: async ({ id, force, ...options }, { emit, signal }) => {
      const warnings: string[] = [];
      const onWarning = (warning: string): void => void warnings.push(warning);
      const work = { forceDownload: force, onProgress: emit, onWarning, signal };
      return { ...(await downloadModel(id, { ...options, ...work })), warnings };
    },
    planPush: async (params, { signal }) => {
      const { source, options } = pushOf(library.require(params.base), params);
      const plan = await planPush(source, params.repoId, { ...options, signal });
      return { ...plan, files: [...plan.files], warnings: [...plan.warnings] };
    },
    pushToHub: ({ digest, ...params }, { emit, signal }) => {
      const { source, options } = pushOf(library.require(params.base), params);
      const work = { digest, onProgress: emit, signal };
      return pushToHub(source, params.repoId, { ...options, ...work });
    },
  };
}

/** Where a model that the host names by id is had: nothing is downloaded unless the host says so. */
export function hubPlace(
  { download = false, ...access }: HubLoad = {},
  { emit, signal }: Pick<HandlerContext<ProgressEvent>, "emit" | "signal">,
): HubPlace {
  return { ...access, localFilesOnly: !download, onProgress: emit, signal };
}

async function baseIdOf({ base }: SearchHubParams): Promise<string | null> {
  if (base === undefined) return null;
  if (await isFolder(base)) return repoIdOf(base);
  return isRepoId(base) ? base : null;
}

function pushOf(
  model: PeftModel,
  { name, format, ...options }: PushParams,
): { source: PushSource; options: PushOptions } {
  const { base: _base, repoId: _repoId, ...rest } = options;
  return {
    source: model.pushSource([name]),
    options: { ...rest, safeSerialization: format !== "bin" },
  };
}
