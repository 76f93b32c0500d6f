import type { OnnxType } from "../onnx/graph.ts";

/** An input or output of an exported decoder. */
export interface DecoderPort {
  readonly name: string;
  readonly type: OnnxType;
}

/** A past input of a decoder, and the output that is the next run's. */
export interface PastPort extends DecoderPort {
  readonly present: string;
  readonly heads: number;
  readonly dim: number;
}

/**
 * The inputs and outputs that an ONNX export has of its own, in the place of those that Graft's
 * graphs have (causalModel.ts). The whole past goes in and comes out again, longer.
 */
export interface DecoderPorts {
  /** [batch, seq] */
  readonly tokens: DecoderPort;
  /** 1 for real tokens, past and new [batch, past + seq]; null without. */
  readonly mask: DecoderPort | null;
  /** [batch, seq]; null where the graph counts by itself. */
  readonly positions: DecoderPort | null;
  /** [batch, heads, past, dim]: keys of all layers, then values. */
  readonly past: readonly PastPort[];
  /** True is for a run with a past; null without. */
  readonly useCache: DecoderPort | null;
  /** Inputs that are the same in every run, e.g. the export's own adapters, which are neutral. */
  readonly fixed: readonly { readonly port: DecoderPort; readonly shape: readonly number[] }[];
  /**
   * True where attention only knows how many tokens a row has (GroupQueryAttention), so that rows
   * with padding must be run one by one without it.
   */
  readonly countsTokens: boolean;
}
