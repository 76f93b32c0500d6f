import type { TokenDetail } from "../../extension/protocol/generationContract.ts";

/** Where an answer parts from the first column's. */
export interface Divergence {
  /** The token, counted from 0. */
  readonly token: number;
  /** Characters of the answer before it. */
  readonly offset: number;
}

/**
 * The first token in which an answer differs from another; null while all that both have is the same,
 * and for ever when the two are equal.
 * @param isDone both are complete, so that the shorter one's end is a difference too
 */
export function divergence(
  first: readonly TokenDetail[],
  other: readonly TokenDetail[],
  isDone: boolean,
): Divergence | null {
  const shared = Math.min(first.length, other.length);
  let offset = 0;
  for (let token = 0; token < shared; token++) {
    if (first[token]?.id !== other[token]?.id) return { token, offset };
    offset += other[token]?.piece.length ?? 0;
  }
  return isDone && first.length !== other.length ? { token: shared, offset } : null;
}
