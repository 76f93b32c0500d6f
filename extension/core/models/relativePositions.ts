/**
 * T5's relative positions (https://arxiv.org/abs/1910.10683; transformers T5Attention): a head adds to a
 * score what a small table has for the bucket of the distance from query to key. Near distances have a
 * bucket each, far ones share buckets whose width grows.
 */

export interface RelativePositions {
  /** Name of the graph input [queries, keys] of buckets. */
  readonly input: string;
  readonly buckets: number;
  /** From this distance on all share the last bucket. */
  readonly maxDistance: number;
  /** Are keys behind the query told from those before it? */
  readonly isBidirectional: boolean;
}

/** The bucket of a key that stands `distance` behind a query, in fp32 steps as PyTorch computes it. */
export function bucketOf(
  { buckets, maxDistance, isBidirectional }: Omit<RelativePositions, "input">,
  distance: number,
): number {
  const count = isBidirectional ? Math.floor(buckets / 2) : buckets;
  const first = isBidirectional && distance > 0 ? count : 0;
  const away = isBidirectional ? Math.abs(distance) : Math.max(0, -distance);
  const exact = Math.floor(count / 2);
  if (away < exact) return first + away;
  const { fround, log } = Math;
  const share = fround(fround(log(fround(away / exact))) / fround(log(maxDistance / exact)));
  const large = exact + Math.trunc(fround(share * (count - exact)));
  return first + Math.min(large, count - 1);
}

/** Buckets [queries][keys] of keys and queries at these places. */
export function bucketRows(
  table: RelativePositions,
  queries: readonly number[],
  keys: readonly number[],
): number[][] {
  const known = new Map<number, number>();
  const bucket = (distance: number): number => {
    const own = known.get(distance) ?? bucketOf(table, distance);
    known.set(distance, own);
    return own;
  };
  return queries.map((query) => keys.map((key) => bucket(key - query)));
}
