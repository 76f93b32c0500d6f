/** What a long request reports. */
export interface Progress {
  step: string;
  done?: number;
  total?: number;
  unit?: "bytes" | "items";
}

/** What is under way: none of it keeps the rest of a page from being read. */
export type ComputingState =
  | { kind: "none" }
  | { kind: "running"; progress: Progress | null }
  | { kind: "cancelled" }
  | { kind: "failed"; message: string };
