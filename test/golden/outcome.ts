import { asGraftError } from "../../extension/core/base/errors.ts";
import { leftOutReason } from "./leftOut.ts";

/** Refused: by name, with a reason. Left out: its truth is none (leftOut.ts). */
export const results = ["passed", "refused", "failed", "left out"] as const;

export type Result = (typeof results)[number];

/** How one case ended; `note` is the figure seen, the reason, or what differs. */
export interface Outcome {
  readonly id: string;
  /** What the table groups by: a method, "bad", "tokenizer". */
  readonly group: string;
  readonly result: Result;
  readonly note: string;
}

/** Thrown by a check: the case needs something that Graft does not run yet. */
export class Skip extends Error {}

/** Runs a check; an "unsupported" of the core is a refusal, any other error a failure. */
export async function outcomeOf(
  id: string,
  group: string,
  check: () => Promise<string>,
): Promise<Outcome> {
  const reason = leftOutReason(id);
  if (reason !== undefined) return { id, group, result: "left out", note: reason };
  try {
    return { id, group, result: "passed", note: await check() };
  } catch (error) {
    const { code, message } = asGraftError(error);
    const result = error instanceof Skip || code === "unsupported" ? "refused" : "failed";
    return { id, group, result, note: message };
  }
}

export function expect(condition: boolean, problem: string): void {
  if (!condition) throw new Error(problem);
}

/** @throws when a difference is above the tolerance; returns it for the table */
export function expectClose(what: string, difference: number, tolerance: number): string {
  expect(difference <= tolerance, `${what} differ by ${difference}, allowed is ${tolerance}`);
  return `${what} ${difference.toExponential(1)}`;
}
