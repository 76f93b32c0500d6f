/** What a model's graph is fed with for a batch of whole sequences. */
import { t } from "@vscode/l10n";
import { badRequest, unsupported } from "../base/errors.ts";
import { elementCount } from "../base/shape.ts";
import type { CausalModel } from "../models/causalModel.ts";
import type { EncoderModel } from "../models/encoderModel.ts";
import type { ImageModel } from "../models/imageModel.ts";
import type { Model } from "../models/model.ts";
import { bucketRows, type RelativePositions } from "../models/relativePositions.ts";
import type { Seq2SeqModel } from "../models/seq2seqModel.ts";
import type { Graph } from "../onnx/graph.ts";
import { float32Tensor, int64Tensor, type Tensor } from "../session/ortSession.ts";
import { RopeTable } from "../session/ropeTable.ts";
import type { Batch } from "./data/batch.ts";
import { decoderInputs } from "./joinedGraph.ts";

/** Masked scores; finite, so that a row that sees nothing stays finite as well. */
const masked = -3.4e38;

type Feeds = Record<string, Tensor>;

/** How many tokens, or keys and values, an adapter puts in front. */
export interface Fronts {
  readonly virtualTokens?: number;
  readonly answerTokens?: number;
  readonly prefixTokens?: number;
}

/** A batch behind the tokens that a prompt method puts in front. */
interface Sequences extends Pick<Batch, "rows" | "length" | "inputIds" | "attentionMask"> {
  readonly tokenTypes?: Int32Array | undefined;
  readonly segments?: Int32Array | undefined;
  readonly positionIds?: Int32Array | undefined;
  /** Rows in front are the adapter's: the model cannot tell which ids are padding. */
  readonly isBlind?: boolean;
}

/** Makes the inputs of a model's graph, tables of angles kept from batch to batch. */
export class ModelFeeds {
  private readonly tables: readonly { suffix: string; table: RopeTable }[];

  constructor(
    private readonly model: Model,
    private readonly fronts: Fronts = {},
  ) {
    const rotary = model.kind === "causal" ? model.rotary : [];
    this.tables = rotary.map((each) => ({ suffix: each.suffix, table: new RopeTable(each) }));
  }

  /** @throws unsupported where `graph` has an input that a batch does not tell */
  feedsOf(batch: Batch, graph: Graph, others: Feeds): Feeds {
    const { model } = this;
    const whole = behindVirtual(batch, this.fronts.virtualTokens);
    const feeds: Feeds = { ...this.own(whole, batch, model), ...others };
    const taken: Feeds = {};
    for (const { name } of graph.inputs) {
      const tensor = feeds[name];
      if (!tensor) throw unsupported(t('Graft does not train a model that reads "{0}" yet', name));
      taken[name] = tensor;
    }
    return taken;
  }

  private own(at: Sequences, batch: Batch, model: ModelFeeds["model"]): Feeds {
    switch (model.kind) {
      case "causal":
        return this.causal(at, model);
      case "encoder":
        return encoder(at, model, this.fronts.prefixTokens);
      case "seq2seq":
        return this.both(at, batch, model);
      case "image":
        return pixelFeeds(batch, model);
    }
  }

  /** The decoder reads the answer one place later, behind the token that answers begin with. */
  private both(at: Sequences, { labels, answerLength }: Batch, model: Seq2SeqModel): Feeds {
    const { rows } = at;
    const length = answerLength ?? 0;
    if (labels.length !== rows * length) {
      throw badRequest(
        t("A model with encoder and decoder learns answers to prompts. Choose the data's task."),
      );
    }
    const inputIds = Int32Array.from(labels, (_, i) =>
      i % length === 0 ? model.startToken : Math.max(0, labels[i - 1] as number),
    );
    const attentionMask = new Int32Array(rows * length).fill(1);
    const source = encoder(at, model.encoder);
    const own = { rows, length, inputIds, attentionMask };
    const answer = this.causal(behindVirtual(own, this.fronts.answerTokens), model.decoder);
    return {
      ...answer,
      ...source,
      [decoderInputs.input_ids]: answer["input_ids"] as Tensor,
      [decoderInputs.mask]: answer["mask"] as Tensor,
      cross_mask: source["mask"] as Tensor,
    };
  }

  private causal(at: Sequences, model: CausalModel): Feeds {
    const { rows, length } = at;
    const positions = positionsOf(at, model.skipsPadding === true);
    const isLearned = model.rotary.length === 0 && !model.hasKeyPositions && !model.relative;
    checkLength(positions, model, isLearned);
    const feeds: Feeds = {
      input_ids: intTensor(at.inputIds, [rows, length]),
      position_ids: intTensor(positions, [rows, length]),
    };
    for (const { suffix, table } of this.tables) {
      const rope = table.rows(length, length);
      feeds[`rope_cos${suffix}`] = float32Tensor(rope.cos, rope.shape);
      feeds[`rope_sin${suffix}`] = float32Tensor(rope.sin, rope.shape);
    }
    for (const { input, window } of model.masks) {
      const copies = model.queriesPerKey;
      const mask = causalMask(at, { window: window ?? Infinity, copies });
      feeds[input] = float32Tensor(mask, [rows, 1, copies * length, length]);
    }
    if (model.hasKeyPositions) {
      const keys = Float32Array.from(positionsOf(at, true));
      feeds["key_positions"] = float32Tensor(keys, [rows, 1, 1, length]);
    }
    return { ...feeds, ...relativeFeeds(model.relative, length) };
  }
}

/** @throws bad-request for texts, and for images of another size than the model reads */
function pixelFeeds({ rows, pixels }: Batch, { channels, imageSize }: ImageModel): Feeds {
  const shape = [rows, channels, ...imageSize];
  if (pixels?.length === elementCount(shape)) return { pixel_values: float32Tensor(pixels, shape) };
  throw badRequest(
    t(
      "The base reads images of {0} × {1}, which these data are not.",
      channels,
      imageSize.join(" × "),
    ),
  );
}

/** transformers counts positions from the row's start, padding and all; OPT counts tokens alone. */
function positionsOf(at: Sequences, skipsPadding: boolean): Int32Array {
  const { rows, length, attentionMask, positionIds } = at;
  if (positionIds) return positionIds;
  const positions = new Int32Array(rows * length);
  for (let row = 0; row < rows; row++) {
    let count = 0;
    for (let i = 0; i < length; i++) {
      const place = row * length + i;
      positions[place] = skipsPadding ? Math.max(0, count - 1 + (attentionMask[place] ?? 0)) : i;
      count += attentionMask[place] ?? 0;
    }
  }
  return positions;
}

/** Additive mask [rows, 1, copies · length, length]: tokens of the same text, not later ones, in the window. */
function causalMask(
  { rows, length, attentionMask, segments }: Sequences,
  { window, copies }: { window: number; copies: number },
): Float32Array {
  const block = length * length;
  const out = new Float32Array(rows * copies * block).fill(masked);
  for (let row = 0; row < rows; row++) {
    const start = row * copies * block;
    const from = row * length;
    for (let query = 0; query < length; query++) {
      for (let key = Math.max(0, query - window + 1); key <= query; key++) {
        const isOwn = !segments || segments[from + key] === segments[from + query];
        if (isOwn && attentionMask[from + key] === 1) out[start + query * length + key] = 0;
      }
    }
    for (let copy = 1; copy < copies; copy++) {
      out.copyWithin(start + copy * block, start, start + block);
    }
  }
  return out;
}

/** @param prefix keys and values before each row, which count as places and are seen by all */
function encoder(at: Sequences, model: EncoderModel, prefix = 0): Feeds {
  const { rows, length, inputIds, attentionMask } = at;
  if (at.segments) {
    throw badRequest(t("Packed texts are for decoders. Train an encoder without packing."));
  }
  const positions = encoderPositions(at, model, prefix);
  checkLength(positions, model, !model.relative);
  const types = at.tokenTypes ?? new Int32Array(rows * length);
  const width = prefix + length;
  const mask = new Float32Array(rows * width);
  attentionMask.forEach((real, i) => {
    if (real !== 1) mask[Math.floor(i / length) * width + prefix + (i % length)] = masked;
  });
  const feeds: Feeds = {
    input_ids: intTensor(inputIds, [rows, length]),
    position_ids: intTensor(positions, [rows, length]),
    token_type_ids: intTensor(types, [rows, length]),
    mask: float32Tensor(mask, [rows, 1, 1, width]),
  };
  return { ...feeds, ...relativeFeeds(model.relative, length) };
}

function relativeFeeds(relative: RelativePositions | undefined, length: number): Feeds {
  if (!relative) return {};
  const places = Array.from({ length }, (_, place) => place);
  const buckets = bucketRows(relative, places, places);
  return { [relative.input]: int64Tensor(buckets.flat(), [length, length]) };
}

function encoderPositions(
  { rows, length, inputIds, isBlind = false }: Sequences,
  { positions: rule }: EncoderModel,
  prefix: number,
): Int32Array {
  const out = new Int32Array(rows * length);
  for (let row = 0; row < rows; row++) {
    let count = 0;
    for (let i = 0; i < length; i++) {
      const place = row * length + i;
      if (rule.kind === "count") out[place] = prefix + i;
      else if (!isBlind && inputIds[place] === rule.padding) out[place] = rule.padding;
      else out[place] = rule.padding + prefix + ++count;
    }
  }
  return out;
}

/** Learned positions end where the context does; what is padding there reads the last one. */
function checkLength(
  positions: Int32Array,
  { contextLength }: { contextLength: number },
  isLearned: boolean,
): void {
  if (!isLearned || positions.every((position) => position < contextLength)) return;
  throw badRequest(
    t("The model has positions for {0} tokens. Train with shorter texts.", contextLength),
  );
}

/** The batch with so many tokens in front of each row, whose ids are 0 and whose rows the adapter adds. */
function behindVirtual(batch: Sequences, count = 0): Sequences {
  if (count === 0) return batch;
  const { rows, length } = batch;
  const wide = (values: Int32Array, front: number): Int32Array => {
    const out = new Int32Array(rows * (length + count)).fill(front);
    for (let row = 0; row < rows; row++) {
      out.set(values.subarray(row * length, (row + 1) * length), row * (length + count) + count);
    }
    return out;
  };
  if (batch.segments) {
    throw badRequest(
      t("A prompt method cannot be trained on packed texts. Train without packing."),
    );
  }
  return {
    rows,
    length: length + count,
    inputIds: wide(batch.inputIds, 0),
    attentionMask: wide(batch.attentionMask, 1),
    tokenTypes: batch.tokenTypes && wide(batch.tokenTypes, 0),
    isBlind: true,
  };
}

function intTensor(values: Int32Array, shape: readonly number[]): Tensor {
  return int64Tensor(Array.from(values), shape);
}
