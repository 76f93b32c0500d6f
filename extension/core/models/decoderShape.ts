import type { Value } from "../onnx/graph.ts";
import type { AttentionShape } from "./attention.ts";
import type { ModelBuilder } from "./modelBuilder.ts";
import type { NormKind } from "./norms.ts";
import type { RotaryTable } from "./rope.ts";

/** Where an MLP stands. */
export interface MlpPlace {
  /** The checkpoint's layer, which config.json's lists count. */
  readonly layer: number;
  /** "model.layers.0.mlp" */
  readonly path: string;
  /** What it reads, [batch, seq, hidden]. */
  readonly x: Value;
}

/** Names of the norms of a block, each below the block's path; those that are absent do nothing. */
export interface BlockNorms {
  readonly beforeAttention?: string;
  /** On what attention gives, before it is added to the stream. */
  readonly afterAttention?: string;
  readonly beforeMlp?: string;
  readonly afterMlp?: string;
}

/** A decoder of the Llama pattern; families differ in these. */
export interface DecoderShape extends AttentionShape {
  /** Path of the stack: "model". */
  readonly root: string;
  readonly hiddenSize: number;
  readonly layers: number;
  readonly vocabulary: number;
  readonly contextLength: number;
  readonly tiedEmbeddings: boolean;
  readonly norm: NormKind;
  readonly blockNorms: BlockNorms;
  /** The MLP reads what attention reads, and both are added to the stream. */
  readonly isParallel?: boolean;
  /** Tables that turn queries and keys, and each layer's own; null turns by nothing. */
  readonly rotary: readonly (RotaryTable | null)[];
  /** Query, key and value are one layer, `qkv_proj`. */
  readonly isFused?: boolean;
  readonly queryBias: boolean;
  readonly outputBias: boolean;
  /**
   * Norms of query and key before they turn: of each head with one weight for all ("head"), of all
   * heads at once ("whole"), or of each head with a weight of its own ("each").
   */
  readonly queryKeyNorm: "head" | "whole" | "each" | null;
  /** The MLP of a block, [batch, seq, hidden] → the same. */
  readonly mlp: (m: ModelBuilder, at: MlpPlace) => Value;
  /** Factor on embedded tokens inside the embedding module, which adapters on it are scaled by too. */
  readonly embeddingScale?: number;
  /** Factor on what the embedding module gives. */
  readonly embeddingFactor?: number;
  /** Factor on what attention and MLP add to the stream. */
  readonly residualFactor?: number;
  /** Factor on logits. */
  readonly logitsFactor?: number;
  /** Logits stay within ± this. */
  readonly logitsCap?: number | undefined;
}

/** The same decoder with the checkpoint's layers in another order. */
export function withLayers(shape: DecoderShape, layers: readonly number[]): DecoderShape {
  return {
    ...shape,
    layers: layers.length,
    windows: layers.map((layer) => shape.windows[layer] ?? null),
    rotary: layers.map((layer) => shape.rotary[layer] ?? null),
    scales: shape.scales && layers.map((layer) => shape.scales?.[layer] as number),
  };
}
