import type { TokenConstraint } from "../constraint.ts";
import { Acceptance, type DraftSource, free, type Offer } from "./source.ts";

/** Drafts of what a constraint leaves little choice about: a JSON schema's names and what stands around them. */
export class ForeseenDrafts implements DraftSource {
  private readonly acceptance = new Acceptance(3.4);

  /** @param foresee tokens that likely follow what the answer has taken */
  constructor(private readonly foresee: NonNullable<TokenConstraint["foresee"]>) {}

  /** The constraint knows what was said. */
  push(): void {}

  offer(): Offer | null {
    const ids = this.foresee();
    if (ids.length === 0) return null;
    return {
      most: ids.length,
      acceptance: this.acceptance,
      ...{ cost: free, canProbe: true },
      read: (size) => ids.slice(0, size),
    };
  }
}
