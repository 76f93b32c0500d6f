import { type Metric, metricNames } from "./metrics.ts";

/** What the reader chose on this page; saved with the page and given back after a reload. */
export interface InspectorUi {
  /** Which adapter the page shows: the host's panel serializer reads this after a reload. */
  path: string | null;
  /** Null: the most telling one that is known. */
  metric: Metric | null;
  /** Figures that are shown as tables, by id. */
  tables: string[];
  /** Path of the module whose spectrum is shown; null is the whole adapter. */
  module: string | null;
  onlyChanged: boolean;
  isRawOpen: boolean;
  isTensorListOpen: boolean;
  scroll: number;
}

/** Parses what an earlier page saved; anything unknown falls back to the default. */
export function restoreUi(saved: unknown): InspectorUi {
  const from = (typeof saved === "object" && saved !== null ? saved : {}) as Record<
    string,
    unknown
  >;
  const tables = Array.isArray(from["tables"]) ? from["tables"] : [];
  return {
    path: typeof from["path"] === "string" ? from["path"] : null,
    metric: metricNames.find((name) => name === from["metric"]) ?? null,
    tables: tables.filter((id) => typeof id === "string"),
    module: typeof from["module"] === "string" ? from["module"] : null,
    onlyChanged: from["onlyChanged"] === true,
    isRawOpen: from["isRawOpen"] === true,
    isTensorListOpen: from["isTensorListOpen"] === true,
    scroll: typeof from["scroll"] === "number" && from["scroll"] >= 0 ? from["scroll"] : 0,
  };
}

/** Remembers how a figure is looked at. */
export function setTable(ui: InspectorUi, id: string, isTable: boolean): void {
  const others = ui.tables.filter((each) => each !== id);
  ui.tables = isTable ? [...others, id] : others;
}
