/** What the engine does with the Hugging Face Hub. Types only. */
import type { ProgressEvent } from "./engineContract.ts";

/** How the Hub is asked. The host keeps the token and passes it with every call; it is never logged. */
export interface HubAccess {
  /** When absent the engine's environment counts (`HF_TOKEN`, or what `hf auth login` keeps). */
  token?: string;
  /** Address of the Hub; `HF_ENDPOINT` when absent. */
  endpoint?: string;
}

/** Of a load by id: what is not on this machine is downloaded only when `download` says so. */
export interface HubLoad extends HubAccess {
  download?: boolean;
  /** Branch, tag or commit. */
  revision?: string;
  subfolder?: string;
}

export interface HubModelSummary {
  /** "owner/name". */
  id: string;
  likes: number;
  downloads: number;
  /** ISO date. */
  updated: string;
  isPrivate: boolean;
  isGated: boolean;
  licence: string | null;
  /** Ids of the bases that its card names. */
  bases: string[];
  library: string | null;
  task: string | null;
}

export interface SearchHubParams extends HubAccess {
  kind: "adapters" | "models";
  /** Of adapters: a loaded base's path, or a base's id on the Hub. */
  base?: string;
  query?: string;
  limit?: number;
}

export interface SearchHubResult {
  models: HubModelSummary[];
  /** Id that adapters were searched for; null when the base is not known to come from the Hub. */
  base: string | null;
}

/** What an adapter on the Hub is; asked for the rows that are shown. */
export interface HubAdapterInfo {
  id: string;
  commit: string;
  peftType: string;
  method: string;
  rank: number | null;
  baseName: string | null;
  bytes: number;
  format: "safetensors" | "bin";
  /** Why Graft cannot run it; a sentence. */
  problem?: string;
}

/** `fits` is null where only the whole file would tell (.bin). */
export interface RemoteFitReport extends HubAdapterInfo {
  fits: boolean | null;
  bound: number;
  total: number;
  reason?: string;
}

export interface DownloadParams extends HubAccess {
  id: string;
  revision?: string;
  subfolder?: string;
  /** An ONNX export in place of the checkpoint, or its variant ("quantized"). */
  onnx?: boolean | string;
  /** False leaves out the base of an adapter. */
  withBase?: boolean;
  /** Fetch again what is in the cache. */
  force?: boolean;
}

export interface DownloadList {
  id: string;
  revision: string;
  commit: string;
  kind: "base" | "adapter" | "files";
  files: { path: string; size: number; isCached: boolean }[];
  totalBytes: number;
  /** What is not in the cache. */
  bytes: number;
}

export interface DownloadPlanResult extends DownloadList {
  /** Of an adapter whose base is not on this machine. */
  base?: DownloadList;
  /** What would be downloaded, base included. */
  allBytes: number;
  baseProblem?: string;
}

export interface DownloadResult {
  /** The model's folder: the id by which it is loaded. */
  folder: string;
  base: string | null;
  /** Sentences. */
  warnings: string[];
}

export interface PushParams extends HubAccess {
  base: string;
  /** A loaded adapter, which goes into the repository's root. */
  name: string;
  /** "owner/name", or a name in the account of the token. */
  repoId: string;
  /** Of a repository that is made; true when absent. */
  private?: boolean;
  commitMessage?: string;
  revision?: string;
  createPr?: boolean;
  format?: "safetensors" | "bin";
}

/** Everything that would leave this machine, for a question before it does. */
export interface PushPlanResult {
  repoId: string;
  endpoint: string;
  account: string;
  exists: boolean;
  visibility: "private" | "public";
  revision: string;
  createPr: boolean;
  commitMessage: string;
  files: { path: string; size: number; change: "added" | "replaced" | "unchanged" }[];
  bytes: number;
  /** To be given to `pushToHub`: nothing else leaves then. */
  digest: string;
  warnings: string[];
}

export interface PushResult {
  repoId: string;
  url: string;
  visibility: "private" | "public";
  commit: string;
  commitUrl: string;
  pullRequestUrl: string | null;
  createdRepo: boolean;
}

export interface HubAccount {
  name: string;
  organizations: string[];
  canWrite: boolean;
}

/** Calls of the engine that ask the Hub. */
export type HubContract = {
  whoAmI: { params: HubAccess; result: HubAccount };
  searchHub: { params: SearchHubParams; result: SearchHubResult };
  describeHubAdapter: {
    params: HubAccess & { id: string; revision?: string; subfolder?: string };
    result: HubAdapterInfo;
  };
  /** Does an adapter on the Hub fit a loaded base? Config and header are read, no weights. */
  checkRemoteFit: {
    params: HubAccess & { base: string; id: string; revision?: string; subfolder?: string };
    result: RemoteFitReport;
  };
  planDownload: { params: DownloadParams; result: DownloadPlanResult };
  /** Cancelled it goes on from where it stopped when it is asked for again. */
  downloadFromHub: { params: DownloadParams; result: DownloadResult; event: ProgressEvent };
  planPush: { params: PushParams; result: PushPlanResult };
  pushToHub: { params: PushParams & { digest?: string }; result: PushResult; event: ProgressEvent };
};
