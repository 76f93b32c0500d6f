import type { ModelStack } from "./model.ts";
import type { DecoderPorts } from "./decoderPorts.ts";
import type { RelativePositions } from "./relativePositions.ts";
import type { RotaryTable } from "./rope.ts";

/**
 * A decoder's graph and what a session must know to run it. The past is an input and only new keys
 * and values are outputs (split attention), so that nothing is copied that JavaScript already owns.
 *
 * Inputs: `input_ids`, `position_ids` [batch, seq]; per mask `mask` [batch, 1, queries per key head
 * · seq, past + seq], 0 or -inf-like; per rotary table `rope_cos`, `rope_sin` [rows, size / 2], with
 * its suffix; `kv_sizes` = [past, seq];
 * `logits_rows` [n], the positions whose logits are wanted; `past_key.N`, `past_value.N`
 * [batch, kv heads, past, dim]; and the inputs that the layer hook declared.
 * Outputs: `logits` [batch, n, vocab]; `new_kv` [2 · layers · batch, kv heads, seq, dim], keys of
 * all layers first.
 */
export interface CausalModel extends ModelStack {
  readonly kind: "causal";
  /** What positions turn queries and keys by; none where positions are learned. */
  readonly rotary: readonly RotaryTable[];
  readonly masks: readonly AttentionMask[];
  /** True where `key_positions` [batch, 1, 1, past + seq], each key's place in its row, is an input. */
  readonly hasKeyPositions?: boolean;
  /** True where positions never count padding, whatever the class (OPT); others count it in tasks. */
  readonly skipsPadding?: boolean;
  /** Inputs and outputs of an ONNX export, which has others than the above; absent for Graft's graphs. */
  readonly ports?: DecoderPorts;
  /** Where places are told by distances: the input of their buckets. */
  readonly relative?: RelativePositions;
}

export interface AttentionMask {
  /** Name of the graph input. */
  readonly input: string;
  /** A key is seen by the queries fewer than so many positions behind it; null sees all before. */
  readonly window: number | null;
}

/** "mask" for full attention, "mask.4096" for a window of that size. */
export function attentionMask(window: number | null): AttentionMask {
  return { input: window === null ? "mask" : `mask.${window}`, window };
}
