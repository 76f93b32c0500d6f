import { perObject } from "../../base/perObject.ts";

/** How much of a new measurement counts, once there are some. */
const newest = 0.15;
/** The share of a plain step that each further token of a pass takes, before it was measured. */
const usualSlope = 0.25;

/**
 * What passes over one or several tokens cost in a session: a plain step, and per further token a share
 * of it (time was measured to be linear in the tokens of short passes).
 */
export class StepCosts {
  private plain = { ms: 0, count: 0 };
  private slope = usualSlope;
  private drafts = 0;

  took(tokens: number, ms: number): void {
    if (tokens === 1) {
      const weight = Math.max(newest, 1 / (this.plain.count + 1));
      // One that waited for something else says little.
      const fair = this.plain.count === 0 ? ms : Math.min(ms, 3 * this.plain.ms);
      const mean = this.plain.ms + weight * (fair - this.plain.ms);
      this.plain = { ms: mean, count: this.plain.count + 1 };
    } else if (this.plain.count > 0) {
      const slope = (ms / this.plain.ms - 1) / (tokens - 1);
      const weight = Math.max(newest, 1 / (this.drafts++ + 2));
      // As above: one pass that waited must not end reading ahead.
      const most = Math.min(1.5, Math.max(3 * this.slope, usualSlope));
      this.slope += weight * (Math.min(Math.max(slope, 0), most) - this.slope);
    }
  }

  /** Milliseconds of a plain step; 0 before one was measured. */
  get plainMs(): number {
    return this.plain.ms;
  }

  /** Time of a pass over so many tokens in plain steps. */
  relative(tokens: number): number {
    return 1 + this.slope * (tokens - 1);
  }
}

/** What is known of a session's passes: it stays for the next answer. */
export const costsOf = perObject(() => new StepCosts());
