import type { AdapterComparison } from "../../extension/protocol/analysisContract.ts";
import type { PageFile } from "../../extension/protocol/picturesContract.ts";
import { type ComputingState } from "../shared/computing.ts";
import { type PairMetric, pairMetrics } from "./modules.ts";

/** What the reader chose on this page; saved with the page and given back after a reload. */
export interface CompareUi {
  /** Which adapters the page shows: the host's panel serializer reads this after a reload. */
  pair: [string, string] | null;
  /** Null: the most telling one that is known. */
  metric: PairMetric | null;
  onlyDifferences: boolean;
  tables: string[];
  module: string | null;
  scroll: number;
}

/** Parses what an earlier page saved; anything unknown falls back to the default. */
export function restoreUi(saved: unknown): CompareUi {
  const from = (typeof saved === "object" && saved !== null ? saved : {}) as Record<
    string,
    unknown
  >;
  const [a, b] = Array.isArray(from["pair"]) ? (from["pair"] as unknown[]) : [];
  const tables = Array.isArray(from["tables"]) ? from["tables"] : [];
  return {
    pair: typeof a === "string" && typeof b === "string" ? [a, b] : null,
    metric: pairMetrics.find((name) => name === from["metric"]) ?? null,
    onlyDifferences: from["onlyDifferences"] !== false,
    tables: tables.filter((id) => typeof id === "string"),
    module: typeof from["module"] === "string" ? from["module"] : null,
    scroll: typeof from["scroll"] === "number" && from["scroll"] >= 0 ? from["scroll"] : 0,
  };
}

/** What the page's sections share and may do. */
export interface Page {
  ui: CompareUi;
  comparison: AdapterComparison | null;
  computing: ComputingState;
  save(): void;
  choose(module: string | null): void;
  saveFile(file: PageFile): void;
  compute(): void;
  cancel(): void;
  act(action: "swap" | "mix" | "combine"): void;
  inspect(path: string): void;
  chooseSide(side: 0 | 1): void;
}

/** Remembers how a figure is looked at. */
export function setTable(ui: CompareUi, id: string, isTable: boolean): void {
  const others = ui.tables.filter((each) => each !== id);
  ui.tables = isTable ? [...others, id] : others;
}
