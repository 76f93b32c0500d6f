import { t } from "@vscode/l10n";
import { unsupported } from "../base/errors.ts";
import { bucketRows, type RelativePositions } from "../models/relativePositions.ts";
import { type AdapterInputs, embeddingTensors } from "./adapterInputs.ts";
import { int64Tensor, type Tensor } from "./ortSession.ts";

/**
 * The buckets [queries, keys] of distances between places, and what adapters add to their table.
 * @throws unsupported when rows of a batch have adapters of their own on that table
 */
export function relativeFeeds(
  table: RelativePositions,
  { embeddings, rows }: AdapterInputs,
  { queries, keys }: { queries: readonly number[]; keys: readonly number[] },
): Record<string, Tensor> {
  const buckets = bucketRows(table, queries, keys);
  const own = embeddings.filter(({ ids }) => ids === table.input);
  if (own.length > 0 && rows > 1) {
    throw unsupported(t("Rows of a batch cannot have relative positions of their own"));
  }
  // A row of buckets is a query's, not a sequence's.
  const ofAll = own.map((each) => ({ ...each, rowDelta: (id: number) => each.rowDelta(id, 0) }));
  const at = { ids: table.input, virtual: 0, weights: null };
  return {
    [table.input]: int64Tensor(buckets.flat(), [queries.length, keys.length]),
    ...Object.fromEntries(embeddingTensors(ofAll, buckets, at)),
  };
}
