import type { CausalModel } from "./causalModel.ts";
import type { EncoderModel } from "./encoderModel.ts";
import type { ModelStack } from "./model.ts";

/**
 * An encoder that reads the prompt and a decoder that writes the answer, a graph each; `graph` is the
 * decoder's.
 *
 * The encoder's outputs are what the decoder attends to, in all layers, computed once a prompt:
 * `cross_key.N`, `cross_value.N` [batch, heads, source, dim]. They are inputs of the decoder, and so is
 * `cross_mask` [batch, 1, 1, source], 0 or -inf-like.
 */
export interface Seq2SeqModel extends ModelStack {
  readonly kind: "seq2seq";
  readonly encoder: EncoderModel;
  readonly decoder: CausalModel;
  /** The token that answers begin with, before their first. */
  readonly startToken: number;
}
