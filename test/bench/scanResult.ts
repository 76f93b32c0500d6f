/** What a step took, in milliseconds. */
export interface Took {
  readonly milliseconds: number;
  readonly cpu: number;
  /** The longest that nothing else could happen. */
  readonly block: number;
}

/** What scanOnce prints. */
export interface ScanResult {
  readonly adapters: number;
  /** Finding all, with their configurations. */
  readonly list: Took;
  /** Reading the headers of all weights, behind the list. */
  readonly weights: Took;
  /** Finding all again, nothing changed. */
  readonly again: Took;
  /** One changed folder. */
  readonly changed: Took;
  /** Grouping and sorting the view. */
  readonly arrange: Took;
}
