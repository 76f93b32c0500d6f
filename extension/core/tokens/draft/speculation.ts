import type { DecodingSession } from "../../session/decodingSession.ts";
import type { TokenConstraint } from "../constraint.ts";
import { Drafter } from "./drafter.ts";
import type { ModelDrafts } from "./draftModel.ts";
import { ForeseenDrafts } from "./foreseen.ts";
import { LookupDrafts } from "./lookup.ts";
import { costsOf } from "./stepCosts.ts";

/**
 * Whether tokens that the text suggests are read ahead and kept where the model chooses the same: the
 * answer stays what it is without. "auto" does so where it was measured to save time, a size always.
 */
export type Speculation =
  | "auto"
  | "off"
  | { readonly maxDraft: number; /** Without it all propose. */ readonly source?: "model" };

export interface DraftOptions {
  readonly prompt: readonly number[];
  /** Of a smaller model; null without one. */
  readonly drafts: ModelDrafts | null;
  readonly speculation?: Speculation | undefined;
  readonly stopTokens: ReadonlySet<number>;
  readonly constraint?: TokenConstraint | null | undefined;
}

/** What proposes tokens to read ahead of an answer of this session. */
export function createDrafter(
  session: DecodingSession,
  { prompt, drafts, speculation = "auto", stopTokens, constraint }: DraftOptions,
): Drafter {
  const size = typeof speculation === "object" ? speculation.maxDraft : null;
  const isModelOnly = typeof speculation === "object" && speculation.source === "model";
  const ofText = [
    ...(constraint?.foresee ? [new ForeseenDrafts(() => constraint.foresee?.() ?? [])] : []),
    new LookupDrafts(prompt),
  ];
  const sources = [...(isModelOnly ? [] : ofText), ...(drafts ? [drafts] : [])];
  return new Drafter(sources, { costs: costsOf(session), size, stopTokens });
}
