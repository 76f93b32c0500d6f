import type { AdapterInfo } from "../../extension/protocol/engineContract.ts";
import type { LayerStatus, ModelStatusResult } from "../../extension/protocol/reportContract.ts";
import type { StatusState } from "../../extension/protocol/webviewContract.ts";
import * as format from "../shared/format.ts";
import { text } from "./strings.ts";

/** One fact of every adapter, in the order of the adapters; "" where one has none. */
export interface FactRow {
  label: string;
  values: string[];
  /** Whether the adapters do not all say the same. */
  differs: boolean;
}

/** What is known of loaded adapters, a row a fact; facts that none has are left out. */
export function compareAdapters(state: StatusState): FactRow[] {
  const readers = readersOf(state);
  return (Object.keys(text.facts) as (keyof typeof text.facts)[])
    .map((fact) => {
      const values = state.adapters.map((adapter) => readers[fact](adapter));
      return { label: text.facts[fact], values, differs: new Set(values).size > 1 };
    })
    .filter(({ values }) => values.some((value) => value !== ""));
}

type Reader = (adapter: AdapterInfo) => string;

function readersOf({ host, status }: StatusState): Record<keyof typeof text.facts, Reader> {
  const activeOf = ({ name }: AdapterInfo) => host.active.find((each) => each.name === name);
  const merged = status?.mergedAdapters ?? [];
  const isMerged = ({ name }: AdapterInfo): boolean =>
    merged !== "irregular" && merged.includes(name);
  const counts = ({ name }: AdapterInfo, kind: "trained" | "added" | "stored"): string => {
    const own = status?.parameters[name];
    return own ? format.exactCount(own[kind]) : "";
  };
  return {
    state: (adapter) =>
      isMerged(adapter) ? text.isMerged : activeOf(adapter) ? text.isActive : text.isLoaded,
    weight: (adapter) => {
      const active = activeOf(adapter);
      return active ? `×${format.scale(active.weight)}` : "";
    },
    task: (adapter) =>
      adapter.tasks === null ? "" : text.tasks(activeOf(adapter)?.task ?? 0, adapter.tasks),
    method: ({ method }) => method,
    rank: ({ rank }) => (rank === null ? "" : String(rank)),
    bound: ({ bound, total }) => text.ofTotal(bound, total),
    trained: (adapter) => counts(adapter, "trained"),
    share: ({ name }) => {
      const own = status?.parameters[name]?.trained;
      return own === undefined || !host.base ? "" : format.percent(own / host.base.parameters);
    },
    added: (adapter) => counts(adapter, "added"),
    stored: (adapter) => counts(adapter, "stored"),
    dtype: ({ dtypes }) => dtypes.join(", "),
    devices: ({ name }) => (status?.devices[name] ?? []).join(", "),
    trainable: ({ name }) => answer(status?.requiresGrad[name]),
    merged: (adapter) =>
      merged === "irregular" ? text.irregularShown : isMerged(adapter) ? text.yes : text.no,
    attach: ({ attachSeconds }) => text.milliseconds(Math.max(1, Math.round(attachSeconds * 1000))),
    warnings: ({ warnings }) => warnings.join(" "),
    folder: ({ path }) => path,
  };
}

export interface ModelFact {
  label: string;
  value: string;
  meaning: string;
  isIrregular: boolean;
}

/** PEFT's get_model_status, with what each field means. */
export function modelFacts(status: ModelStatusResult): ModelFact[] {
  return (Object.keys(text.modelFacts) as (keyof typeof text.modelFacts)[]).map((field) => {
    const [label, meaning] = text.modelFacts[field];
    const value = status[field];
    const isIrregular =
      value === text.irregular ||
      (typeof value === "object" && Object.values(value).includes(text.irregular));
    return { label, meaning, isIrregular, value: words(value) };
  });
}

/** Layers whose path, class or adapters hold what was typed. */
export function matchLayers(layers: readonly LayerStatus[], query: string): LayerStatus[] {
  const wanted = query.trim().toLowerCase();
  return layers.filter(({ name, moduleType, availableAdapters }) =>
    [name, moduleType, ...availableAdapters].some((word) => word.toLowerCase().includes(wanted)),
  );
}

/** A value of PEFT's status as people read it. */
function words(value: ModelStatusResult[keyof typeof text.modelFacts]): string {
  if (typeof value === "number") return format.exactCount(value);
  if (typeof value !== "object") return answer(value);
  if (Array.isArray(value)) return value.join(", ") || text.nothing;
  const entries = Object.entries(value);
  if (entries.length === 0) return text.nothing;
  return entries
    .map(([name, own]) => `${name}: ${Array.isArray(own) ? own.join(", ") : answer(own)}`)
    .join(" · ");
}

function answer(value: boolean | string | undefined): string {
  if (typeof value === "boolean") return value ? text.yes : text.no;
  return value === text.irregular ? text.irregularShown : (value ?? "");
}
