import * as path from "node:path";
import { t } from "@vscode/l10n";
import type { AdapterSummary } from "../protocol/engineContract.ts";
import { adapterGroups, baseLabel, compareText, type State } from "../state.ts";
import { formatBytes, formatDate } from "./format.ts";

/** How the Adapters view is laid out: pure, so that it can be tested and remembered as it is. */
export interface Arrangement {
  readonly grouping: Grouping;
  readonly order: Order;
  /** What the user typed; "" shows all. */
  readonly filter: string;
}

export const groupings = ["base", "folder", "method"] as const;
export type Grouping = (typeof groupings)[number];

export const orders = ["name", "size", "date", "effect"] as const;
export type Order = (typeof orders)[number];

export const usualArrangement: Arrangement = { grouping: "base", order: "name", filter: "" };

export interface AdapterGroup {
  /** Unlike the label unique, and the same from one drawing to the next. */
  readonly id: string;
  readonly label: string;
  /** Beside the label: where a folder lies. */
  readonly description: string;
  readonly tooltip: string;
  readonly adapters: readonly AdapterSummary[];
  /** Of a group of one base's adapters: that base, where it is on this machine. */
  readonly basePath: string | null;
}

/** The groups of the view and their rows in order; what the filter leaves out is not among them. */
export function arrange(state: State, { grouping, order, filter }: Arrangement): AdapterGroup[] {
  const isWanted = matcher(filter);
  const wanted =
    filter === ""
      ? state.adapters
      : state.adapters.filter((adapter) => isWanted(searchable(state, adapter)));
  const compare = comparer(state, order);
  const groups = grouped({ ...state, adapters: wanted }, grouping);
  return groups.map((group) => ({ ...group, adapters: [...group.adapters].sort(compare) }));
}

function grouped(state: State, grouping: Grouping): AdapterGroup[] {
  switch (grouping) {
    case "base":
      return adapterGroups(state).map(({ label, adapters }) => ({
        id: `base:${label}`,
        label,
        description: "",
        tooltip: t("Adapters trained on {0}", label),
        adapters,
        basePath: adapters.find(({ basePath }) => basePath !== null)?.basePath ?? null,
      }));
    case "folder":
      return groupBy(state, folderOf);
    case "method":
      return groupBy(state, ({ method }) => {
        const label = method === "unknown" || method === "" ? t("Method not known") : method;
        return {
          id: label,
          label,
          description: "",
          tooltip: t("Adapters of the method {0}", label),
        };
      });
    default:
      return grouping satisfies never;
  }
}

type Heading = Pick<AdapterGroup, "id" | "label" | "description" | "tooltip">;

function groupBy(state: State, headingOf: (adapter: AdapterSummary) => Heading): AdapterGroup[] {
  const groups = new Map<string, { heading: Heading; adapters: AdapterSummary[] }>();
  for (const adapter of state.adapters) {
    const heading = headingOf(adapter);
    const known = groups.get(heading.id);
    if (known) known.adapters.push(adapter);
    else groups.set(heading.id, { heading, adapters: [adapter] });
  }
  return [...groups.values()]
    .map(({ heading, adapters }) => ({ ...heading, adapters, basePath: null }))
    .sort((a, b) => compareText(a.label, b.label) || compareText(a.id, b.id));
}

/** The folder that an adapter's own folder lies in; caches and the sample are one place each. */
function folderOf({ path: own, source }: AdapterSummary): Heading {
  if (source === "cache" || source === "sample") {
    const label = source === "cache" ? t("Hugging Face cache") : t("Built-in sample");
    return { id: source, label, description: "", tooltip: label };
  }
  const parent = path.dirname(own);
  const description = path.dirname(parent);
  return { id: parent, label: path.basename(parent) || parent, description, tooltip: parent };
}

/** Every word that was typed is somewhere in the text; case does not matter. */
function matcher(filter: string): (text: string) => boolean {
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
  return (text) => {
    const lower = text.toLowerCase();
    return words.every((word) => lower.includes(word));
  };
}

/** What the filter looks into: name, method with rank, base, path and the names of loaded adapters. */
function searchable(state: State, adapter: AdapterSummary): string {
  const loaded = state.loaded.find((each) => each.path === adapter.path);
  const active = loaded && state.active.some(({ name }) => name === loaded.name);
  const rank = adapter.rank === null ? "" : `r ${adapter.rank} r${adapter.rank}`;
  const words = [adapter.name, loaded?.name, adapter.method, adapter.peftType, rank];
  const place = [baseLabel(state, adapter), adapter.baseName, adapter.path];
  const status = [loaded && t("loaded"), active && t("active")];
  return [...words, ...place, ...status].filter(Boolean).join("\n");
}

function comparer(state: State, order: Order): (a: AdapterSummary, b: AdapterSummary) => number {
  const byName = (a: AdapterSummary, b: AdapterSummary): number =>
    compareText(a.name, b.name) || compareText(a.path, b.path);
  switch (order) {
    case "name":
      return byName;
    case "size":
      return (a, b) => b.bytes - a.bytes || byName(a, b);
    case "date":
      return (a, b) => b.modified - a.modified || byName(a, b);
    case "effect":
      return (a, b) => compareEffects(state, a, b) || byName(a, b);
    default:
      return order satisfies never;
  }
}

/** Measured ones first, the strongest first; then by the size of their update; unknown last. */
function compareEffects(state: State, a: AdapterSummary, b: AdapterSummary): number {
  const [first, second] = [a, b].map(({ path: own }) => state.effects.get(own));
  const rank = (effect: typeof first): number =>
    effect === undefined ? 2 : effect.kind === "logits" ? 0 : 1;
  return rank(first) - rank(second) || (second?.value ?? 0) - (first?.value ?? 0);
}

/** What a row says besides its usual facts, so that the order can be understood. */
export function orderFact(state: State, adapter: AdapterSummary, order: Order): string {
  if (order === "date") return adapter.modified > 0 ? formatDate(adapter.modified) : "";
  if (order !== "effect") return "";
  const effect = state.effects.get(adapter.path);
  if (effect === undefined) return t("effect not measured");
  const value = effect.value.toPrecision(2);
  return effect.kind === "logits" ? t("moves logits by {0}", value) : `‖ΔW‖ ${value}`;
}

/** What stands beside the view's title: what differs from the usual, in words. */
export function describeArrangement({ grouping, order, filter }: Arrangement): string {
  const groups = { base: "", folder: t("by folder"), method: t("by method") };
  const sorts = {
    name: "",
    size: t("largest first"),
    date: t("newest first"),
    effect: t("strongest first"),
  };
  const shown = filter === "" ? "" : t("filter “{0}”", filter);
  return [shown, groups[grouping], sorts[order]].filter(Boolean).join(" · ");
}

/** The line above the rows while some are left out; none where nothing is left: that has its own text. */
export function filterMessage(shown: number, total: number, filter: string): string | undefined {
  if (filter === "" || shown === 0) return undefined;
  return t("{0} of {1} adapters match “{2}”.", shown, total, filter);
}

/** Total size of a group, for its tooltip. */
export function groupFacts({ adapters }: AdapterGroup): string {
  const bytes = formatBytes(adapters.reduce((sum, adapter) => sum + adapter.bytes, 0));
  return adapters.length === 1
    ? t("1 adapter, {0}", bytes)
    : t("{0} adapters, {1}", adapters.length, bytes);
}
