import type { ModelStack } from "./model.ts";
import type { RelativePositions } from "./relativePositions.ts";

/**
 * An encoder's graph: every token sees every other, in one pass without a cache.
 *
 * Inputs: `input_ids`, `position_ids` and, where the model has them, `token_type_ids` [batch, seq];
 * `mask` [batch, 1, 1, prefix + seq], 0 or -inf-like; `prefix_key.N`, `prefix_value.N`
 * [batch, heads, prefix, dim], mostly of length 0; and the inputs that the layer hook declared.
 * Output: `logits` [batch, 1 or seq, width].
 */
export interface EncoderModel extends ModelStack {
  readonly kind: "encoder";
  /** Are there segments (`token_type_ids`)? */
  readonly hasTokenTypes: boolean;
  readonly positions: PositionRule;
  /** False where keys and values cannot stand before the sequence, which prefix tuning puts there. */
  readonly takesPrefix: boolean;
  /** Where places are told by distances: the input of their buckets. */
  readonly relative?: RelativePositions;
}

/** How an encoder numbers its tokens. */
export type PositionRule =
  /** 0, 1, 2, … whatever is padding. */
  | { readonly kind: "count" }
  /** From `padding` + 1 on over the ids that are not `padding`, which itself has the position `padding`. */
  | { readonly kind: "afterPadding"; readonly padding: number };
