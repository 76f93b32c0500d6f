/** What the reader chose on this page; saved with the page and given back after a reload. */
export interface InspectorUi {
  /** Which adapter the page shows: the host's panel serializer reads this after a reload. */
  path: string | null;
  measure: "parameters" | "rank";
  view: "grid" | "table";
  onlyChanged: boolean;
  isTensorListOpen: boolean;
  scroll: number;
}

/** Parses what an earlier page saved; anything unknown falls back to the default. */
export function restoreUi(saved: unknown): InspectorUi {
  const from = (typeof saved === "object" && saved !== null ? saved : {}) as Record<
    string,
    unknown
  >;
  return {
    path: typeof from["path"] === "string" ? from["path"] : null,
    measure: from["measure"] === "rank" ? "rank" : "parameters",
    view: from["view"] === "table" ? "table" : "grid",
    onlyChanged: from["onlyChanged"] === true,
    isTensorListOpen: from["isTensorListOpen"] === true,
    scroll: typeof from["scroll"] === "number" && from["scroll"] >= 0 ? from["scroll"] : 0,
  };
}
