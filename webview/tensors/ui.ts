import type { DetailsUi } from "./details.ts";
import { type Sort, sortKeys } from "./rows.ts";

/** What the reader has chosen, kept while the tab is hidden and when the window reloads. */
export interface TensorsUi extends DetailsUi {
  search: string;
  sort: Sort;
  isGrouped: boolean;
  /** Name of the tensor whose details are open. */
  opened: string | null;
}

export function restoreUi(saved: unknown): TensorsUi {
  const known = (typeof saved === "object" && saved !== null ? saved : {}) as Record<string, unknown>; // prettier-ignore
  const sort = (known["sort"] ?? {}) as Record<string, unknown>;
  const digits = known["digits"];
  return {
    search: typeof known["search"] === "string" ? known["search"] : "",
    sort: {
      key: sortKeys.find((key) => key === sort["key"]) ?? "name",
      isDown: sort["isDown"] === true,
    },
    isGrouped: known["isGrouped"] === true,
    opened: typeof known["opened"] === "string" ? known["opened"] : null,
    digits: digits === "8" || digits === "all" ? digits : "4",
    isHistogramTable: known["isHistogramTable"] === true,
  };
}
