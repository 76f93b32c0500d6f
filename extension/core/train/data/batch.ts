/** What a training step is fed with, and how it is asked for. */

/** No loss where a label is this, as in torch's cross entropy and transformers. */
export const ignored = -100;

/** A batch of texts, padded on the right. Matrices are row-major [rows, length]. */
export interface Batch {
  readonly rows: number;
  /** Of the longest row, rounded up so that few sizes occur. */
  readonly length: number;
  /** [rows, length] */
  readonly inputIds: Int32Array;
  /** [rows, length]; 1 for tokens, 0 for padding. */
  readonly attentionMask: Int32Array;
  /**
   * Of a causal model [rows, length], in place (the loss shifts them, as transformers'), so the label of a
   * row's first token counts for nothing; of token classification [rows, length]; of sequence
   * classification [rows]; of question answering [rows, 2], an answer's first and last token. -100 where nothing is learned. Numbers that are learned as such, or labels' shares
   * where several may apply, are floats [rows, width].
   */
  readonly labels: Int32Array | Float32Array;
  /** Of a model with encoder and decoder: labels are [rows, answerLength], the decoder's own tokens. */
  readonly answerLength?: number;
  /** [rows, channels, height, width], of a model that reads images; `length` is 0 then. */
  readonly pixels?: Float32Array;
  /** [rows, length], of an encoder with segments. */
  readonly tokenTypes?: Int32Array;
  /**
   * [rows, length], of packed rows alone: which text of its row a token belongs to, from 1; 0 is padding. A
   * token attends to tokens of its own text alone.
   */
  readonly segments?: Int32Array;
  /** [rows, length], of packed rows alone: places begin with 0 in every text. */
  readonly positionIds?: Int32Array;
  /** [rows], which of an adapter's tasks each text is of; absent where the data do not say. */
  readonly tasks?: Int32Array;
  /** Terms of the loss: labels that count, without the first of each row of a causal model. */
  readonly learnedTokens: number;
  /** Without padding. */
  readonly tokens: number;
}

/** Where a run stands in its data: the next batch to be taken. Plain data, kept in checkpoints. */
export interface DataPosition {
  readonly epoch: number;
  readonly batch: number;
}

/** One pass over a split in the order of its epoch; a batch is made when it is asked for. */
export interface EpochPlan {
  readonly batches: number;
  batch(index: number): Batch;
}

export interface EpochOptions {
  readonly epoch: number;
  readonly batchSize: number;
  readonly seed: number;
  /** False keeps the order of the files (evaluation). */
  readonly isShuffled: boolean;
  /** Texts of like length together; true needs less padding, false is transformers' default. */
  readonly groupByLength?: boolean;
  /** Batches of one step: lengths are grouped over all of them, as transformers does. */
  readonly accumulation?: number;
}

/** Tokenised texts of one half of a data set. */
export interface Split {
  readonly count: number;
  /** Tokens of each text, cut and packed as they will be fed. */
  readonly lengths: Uint32Array;
  /** Of the texts' tasks; absent where the data name none. */
  readonly tasks?: TaskCount;
  plan(options: EpochOptions): EpochPlan;
}

/** Which tasks texts are of. */
export interface TaskCount {
  readonly largest: number;
  /** Texts without a task. */
  readonly missing: number;
}
