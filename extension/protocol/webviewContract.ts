/** Host ⇄ webviews. Types only. */
import type { ActiveAdapter, AdapterInfo } from "./engineContract.ts";
import type { AdapterReport, ModelStatusResult } from "./reportContract.ts";
import type { AnalysisHostContract } from "./picturesContract.ts";

/** What a webview can know about the engine at a glance; sent whole on every change. */
export interface HostState {
  engine: "stopped" | "starting" | "ready" | "restarting" | "failed";
  base: {
    path: string;
    name: string;
    parameters: number;
    dtype: string;
    contextLength: number;
    hasChatTemplate: boolean;
  } | null;
  /** Loaded adapters, in load order. */
  adapters: Pick<AdapterInfo, "name" | "path" | "method" | "rank" | "tasks">[];
  active: ActiveAdapter[];
}

export interface InspectorState {
  /** Of the adapter's folder, for a page without a report. */
  name: string;
  report: AdapterReport | null;
  /** Why there is no report; a sentence. */
  problem: string | null;
  host: HostState;
}

/** What the host offers to the inspector. */
export type InspectorHostContract = AnalysisHostContract & {
  /** First call of a page; state follows through `update` from then on. */
  ready: { params: null; result: InspectorState };
  activate: { params: null; result: null };
  deactivate: { params: null; result: null };
  tryInPlayground: { params: null; result: null };
  merge: { params: null; result: null };
  openRawConfig: { params: null; result: null };
  loadItsBase: { params: null; result: null };
};

/** What the inspector offers to the host. */
export type InspectorContract = {
  update: { params: InspectorState; result: null };
};

export interface StatusState {
  host: HostState;
  /** Loaded adapters with all that is known of them, in load order. */
  adapters: AdapterInfo[];
  status: ModelStatusResult | null;
  /** Why there is no status; a sentence. */
  problem: string | null;
}

/** What the host offers to the page that compares loaded adapters. */
export type StatusHostContract = {
  ready: { params: null; result: StatusState };
  openInspector: { params: { path: string }; result: null };
  loadAdapter: { params: null; result: null };
};

/** What that page offers to the host. */
export type StatusContract = {
  update: { params: StatusState; result: null };
};
