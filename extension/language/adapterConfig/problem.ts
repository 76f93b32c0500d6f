import type { JsonPath, Span } from "./document.ts";

export type Severity = "error" | "warning" | "information";

/** What is wrong in a config, where, and what can be done at once. */
export interface Problem {
  /** "target-matches-nothing": shown beside the message, and what tests ask for. */
  readonly code: string;
  readonly severity: Severity;
  readonly message: string;
  readonly at: Span;
  readonly fixes: readonly Fix[];
  /** Other bases that are here may be the remedy; they are asked for when fixes are. */
  readonly wantsBases?: boolean;
  /** The editor's JSON support underlines it by the schema: only the fixes are ours. */
  readonly isQuiet?: boolean;
}

/** One thing that can be done; the first of a problem is the likeliest. */
export type Fix = { readonly title: string } & (
  | { readonly kind: "set"; readonly path: JsonPath; readonly value: unknown }
  | { readonly kind: "remove"; readonly path: JsonPath }
  | { readonly kind: "rename"; readonly path: JsonPath; readonly to: string }
  | { readonly kind: "open"; readonly file: string }
  | { readonly kind: "command"; readonly command: string; readonly arguments: readonly unknown[] }
);
