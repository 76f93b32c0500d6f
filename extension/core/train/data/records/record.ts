import type { Place } from "../problems.ts";

/** A record as its file has it, not yet understood. */
export interface RawRecord extends Place {
  readonly value: unknown;
  /** Where a part of it is written: ["messages", 2, "content"]. */
  placeOf(path: readonly (string | number)[]): Place;
}

/** Takes the text of a file piece by piece and gives the records that are complete. */
export interface RecordSplitter {
  push(text: string): RawRecord[];
  /** The text ended. */
  end(): RawRecord[];
}

/** Told of what is no record; reading goes on behind it. */
export type OnProblem = (place: Place, message: string) => void;

/**
 * A record longer than this is one that was never closed: the longest conversations have a few million
 * characters.
 */
export const longestRecord = 64 * 1024 * 1024;
