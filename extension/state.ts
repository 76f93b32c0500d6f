import { t } from "@vscode/l10n";
import type {
  ActiveAdapter,
  AdapterInfo,
  AdapterSummary,
  BaseModelInfo,
  BaseModelSummary,
  DiscoverResult,
} from "./protocol/engineContract.ts";
import type { FitReport } from "./protocol/reportContract.ts";
import type { HostState } from "./protocol/webviewContract.ts";

export type EngineState = HostState["engine"];

/** Everything that the host knows; whatever a surface shows is derived from it. */
export interface State {
  readonly engine: EngineState;
  /** Whether the folders have been looked at, and why not when that failed. */
  readonly discovery: "none" | "running" | "done" | { failed: string };
  readonly bases: readonly BaseModelSummary[];
  readonly adapters: readonly AdapterSummary[];
  readonly problems: DiscoverResult["problems"];
  /** The Hugging Face cache, once it was looked into. */
  readonly cache: string | null;
  readonly base: BaseModelInfo | null;
  /** Loaded adapters, in load order. */
  readonly loaded: readonly AdapterInfo[];
  readonly active: readonly ActiveAdapter[];
  /** By adapter path, against the loaded base. */
  readonly fits: ReadonlyMap<string, FitReport>;
  /** How strong adapters are, by path, as far as that is known. */
  readonly effects: ReadonlyMap<string, AdapterEffect>;
  /** The last answer of a model that writes text. */
  readonly lastAnswer: { tokens: number; tokensPerSecond: number } | null;
}

/** Mean change of a logit on probe prompts at weight 1, or the norm of the update of all weights. */
export interface AdapterEffect {
  kind: "logits" | "norm";
  value: number;
}

export const emptyState: State = {
  engine: "stopped",
  discovery: "none",
  bases: [],
  adapters: [],
  problems: [],
  cache: null,
  base: null,
  loaded: [],
  active: [],
  fits: new Map(),
  effects: new Map(),
  lastAnswer: null,
};

/** What an adapter is to the loaded base, most important first. */
export type AdapterStatus =
  | { kind: "active"; name: string; weight: number; task?: number | undefined }
  | { kind: "loaded"; name: string }
  | { kind: "unsupported"; reason: string }
  | { kind: "unreadable"; reason: string }
  | { kind: "misfit"; reason: string }
  /** `partly` says what finds no place, when something does not. */
  | { kind: "fits"; partly?: string }
  | { kind: "baseNotLoaded" }
  | { kind: "baseMissing" };

export function adapterStatus(state: State, adapter: AdapterSummary): AdapterStatus {
  const loaded = state.loaded.find((l) => l.path === adapter.path);
  const active = loaded && state.active.find((a) => a.name === loaded.name);
  if (active) return { kind: "active", ...active };
  if (loaded) return { kind: "loaded", name: loaded.name };
  if (adapter.problem !== undefined) {
    // What has no tensors to show was not readable; the rest is fine but not for this Graft.
    const kind = adapter.bytes === 0 ? "unreadable" : "unsupported";
    return { kind, reason: adapter.problem };
  }
  const fit = state.fits.get(adapter.path);
  if (fit?.fits) return { kind: "fits", partly: fit.reason };
  if (fit) return { kind: "misfit", reason: fit.reason ?? t("No module of it is in the base.") };
  return { kind: adapter.basePath === null ? "baseMissing" : "baseNotLoaded" };
}

const noBase = t("Base not named");

/** The display name of the base that an adapter was trained on. */
export function baseLabel(state: State, adapter: AdapterSummary): string {
  const known = state.bases.find((b) => b.path === adapter.basePath);
  return known?.name ?? adapter.baseName ?? noBase;
}

/** Adapters by the base that they name: the loaded base first, the sample behind what is the user's own. */
export function adapterGroups(state: State): { label: string; adapters: AdapterSummary[] }[] {
  const groups = new Map<string, AdapterSummary[]>();
  for (const adapter of state.adapters) {
    const label = baseLabel(state, adapter);
    const known = groups.get(label);
    if (known) known.push(adapter);
    else groups.set(label, [adapter]);
  }
  const order = ({ label, adapters }: { label: string; adapters: AdapterSummary[] }): number => {
    if (label === state.base?.name) return 0;
    if (label === noBase) return 3;
    return adapters.every(({ source }) => source === "sample") ? 2 : 1;
  };
  return [...groups]
    .map(([label, adapters]) => ({ label, adapters: adapters.sort(byName) }))
    .sort((a, b) => order(a) - order(b) || byName(a, b));
}

/** What the weights of a loaded base run in: "fp32", "int4". */
export function runsIn({ precision, dtype }: BaseModelInfo): string {
  // The engine says it in the reader's language.
  return precision === t("as stored") ? dtype : precision;
}

/** The snapshot that webviews get. */
export function hostState(state: State): HostState {
  const { engine, base, loaded, active } = state;
  return {
    engine,
    base: base && {
      path: base.path,
      name: base.name,
      parameters: base.parameters,
      dtype: runsIn(base),
      contextLength: base.contextLength,
      hasChatTemplate: base.hasChatTemplate,
    },
    adapters: loaded.map(({ name, path, method, rank, tasks }) => ({
      name,
      path,
      method,
      rank,
      tasks,
    })),
    active: [...active],
  };
}

function byName(
  a: { name?: string; label?: string },
  b: { name?: string; label?: string },
): number {
  return compareText(a.name ?? a.label ?? "", b.name ?? b.label ?? "");
}

let collator: Intl.Collator | undefined;

/**
 * The order of names that people read. The collator is made once (localeCompare makes one for every call,
 * which is felt with ten thousand adapters), and late: the first one costs more than activation.
 */
export function compareText(a: string, b: string): number {
  collator ??= new Intl.Collator(undefined, { numeric: true });
  return collator.compare(a, b);
}
