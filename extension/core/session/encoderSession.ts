import { t } from "@vscode/l10n";
import { badRequest, unsupported } from "../base/errors.ts";
import type { EncoderModel, PositionRule } from "../models/encoderModel.ts";
import { type AdapterInputs, type CachedPrefix, embeddingTensors } from "./adapterInputs.ts";
import type { DeviceReport } from "./devices.ts";
import { relativeFeeds } from "./relativeFeeds.ts";
import {
  float32Tensor,
  int64Tensor,
  OrtSession,
  type SessionOptions,
  type Tensor,
} from "./ortSession.ts";
import {
  type Batch,
  type HeadOutput,
  headOutput,
  type RunningSession,
  type TokenBatch,
  tokensOf,
} from "./runningSession.ts";

/** Masked scores; finite, so that a row that sees nothing stays finite as well. */
const masked = -3.4e38;

type Rows = readonly (readonly number[])[];

/** Runs an encoder: whole sequences at once, nothing remembered. */
export class EncoderSession implements RunningSession {
  private turn: Promise<unknown> = Promise.resolve();

  private constructor(
    readonly model: EncoderModel,
    private readonly session: OrtSession,
  ) {}

  get device(): DeviceReport {
    return this.session.device;
  }

  static async create(model: EncoderModel, options?: SessionOptions): Promise<EncoderSession> {
    return new EncoderSession(model, await OrtSession.create(model.graph, options));
  }

  async predict(batch: Batch, adapters: AdapterInputs): Promise<HeadOutput> {
    const { logits } = await this.read(batch, adapters, ["logits"]);
    return headOutput(logits as Tensor);
  }

  /** What outputs of the graph say of a batch. */
  read(
    batch: Batch,
    adapters: AdapterInputs,
    outputs: readonly string[],
  ): Promise<Record<string, Tensor>> {
    // One run at a time, as ONNX Runtime blocks the thread anyway.
    const run = this.turn.then(() =>
      this.session.run(this.feedsOf(tokensOf(batch), adapters), outputs),
    );
    this.turn = run.catch(() => undefined);
    return run;
  }

  /** Waits for the run that is under way, then frees the session. */
  async dispose(): Promise<void> {
    await this.turn;
    await this.session.dispose();
  }

  private feedsOf(batch: TokenBatch, adapters: AdapterInputs): Record<string, Tensor> {
    this.check(batch, adapters);
    const { virtualTokens: virtual, cachePrefix: prefix } = adapters;
    const { positions: rule, hasTokenTypes, relative } = this.model;
    // Behind virtual tokens a model is given embeddings, of which it cannot tell which are padding.
    const counted = virtual > 0 && rule.kind === "afterPadding" ? { ...rule, isBlind: true } : rule;
    const front = Array.from({ length: virtual }, () => 0);
    const ids = batch.ids.map((row) => [...front, ...row]);
    const types = ids.map((row, i) =>
      row.map((_, j) => (j < virtual ? 0 : (batch.tokenTypes?.[i]?.[j - virtual] ?? 0))),
    );
    const positions = positionsOf(ids, counted, prefix?.count ?? 0);
    this.checkPositions(positions);
    const size = this.model.vocabulary;
    // A token that an adapter added has no row in the base's table; its own is in the embedding slot.
    const known = ids.map((row) => row.map((id) => (id < size ? id : 0)));
    const feeds: Record<string, Tensor> = {
      ...Object.fromEntries(adapters.tensors),
      ...this.prefixTensors(batch.ids.length, prefix),
      input_ids: rowsTensor(known),
      position_ids: rowsTensor(positions),
      mask: maskTensor(batch, adapters),
    };
    if (hasTokenTypes) feeds["token_type_ids"] = rowsTensor(types);
    if (relative) {
      const places = (ids[0] ?? []).map((_, place) => place);
      Object.assign(feeds, relativeFeeds(relative, adapters, { queries: places, keys: places }));
    }
    const tables: [string, Rows][] = [
      ["input_ids", ids],
      ["position_ids", positions],
      ["token_type_ids", types],
    ];
    for (const [name, rows] of tables) {
      const at = { ids: name, virtual, weights: null };
      Object.assign(feeds, Object.fromEntries(embeddingTensors(adapters.embeddings, rows, at)));
    }
    return feeds;
  }

  private check({ ids, tokenTypes }: TokenBatch, adapters: AdapterInputs): void {
    if (adapters.router ?? adapters.companion ?? adapters.activation) {
      throw unsupported(t("Adapters that route or find tokens go with models that only decode"));
    }
    const seq = ids[0]?.length ?? 0;
    if (seq === 0 || ids.some((row) => row.length !== seq)) {
      throw badRequest(t("Tokens must be rows of one length, at least 1."));
    }
    if (adapters.rows > 1 && adapters.rows !== ids.length) {
      throw badRequest(
        t("The adapters are given for {0} rows, the batch has {1}.", adapters.rows, ids.length),
      );
    }
    const size = adapters.vocabulary ?? this.model.vocabulary;
    const strange = ids.flat().find((id) => !(id >= 0 && id < size));
    if (strange !== undefined) {
      throw badRequest(t("Token {0} is not one of the {1} that there are.", strange, size));
    }
    if (tokenTypes && tokenTypes.some((row, i) => row.length !== ids[i]?.length)) {
      throw badRequest(t("Every token needs a token type where some have one."));
    }
  }

  /** Learned positions end where the context does. */
  private checkPositions(positions: Rows): void {
    const { contextLength } = this.model;
    if (positions.every((row) => row.every((position) => position < contextLength))) return;
    throw badRequest(t("The model has positions for {0} tokens. Shorten the text.", contextLength));
  }

  /** Keys and values before the sequence, by layer; of length 0 without any. */
  private prefixTensors(batch: number, prefix: CachedPrefix | null): Record<string, Tensor> {
    const { layers, keyValueHeads, headDim } = this.model;
    const count = prefix?.count ?? 0;
    const shape = [batch, keyValueHeads, count, headDim];
    const size = keyValueHeads * count * headDim;
    const of = (part: number): Tensor => {
      const data = new Float32Array(batch * size);
      for (let row = 0; row < batch; row++) {
        const own = prefix?.rows[row] ?? prefix?.rows[0];
        if (own) data.set(own.subarray(part * size, (part + 1) * size), row * size);
      }
      return float32Tensor(data, shape);
    };
    const feeds: Record<string, Tensor> = {};
    for (let layer = 0; layer < layers; layer++) {
      feeds[`prefix_key.${layer}`] = of(layer);
      feeds[`prefix_value.${layer}`] = of(layers + layer);
    }
    return feeds;
  }
}

/** transformers' create_position_ids_from_input_ids and …_from_inputs_embeds (modeling_roberta.py). */
function positionsOf(
  ids: Rows,
  rule: PositionRule & { isBlind?: boolean },
  past: number,
): number[][] {
  if (rule.kind === "count") return ids.map((row) => row.map((_, place) => past + place));
  const { padding, isBlind = false } = rule;
  return ids.map((row) => {
    let count = 0;
    return row.map((id) => (isBlind || id !== padding ? padding + past + ++count : padding));
  });
}

/** Additive mask [batch, 1, 1, prefix + virtual + seq]. */
export function maskTensor({ ids, attentionMask }: TokenBatch, adapters: AdapterInputs): Tensor {
  const { virtualTokens, virtualPadding, cachePrefix } = adapters;
  const fronts = [
    { count: cachePrefix?.count ?? 0, padding: cachePrefix?.padding ?? [] },
    { count: virtualTokens, padding: virtualPadding },
  ];
  const rows = ids.map((row, i) => [
    ...fronts.flatMap(({ count, padding }) => {
      const empty = padding[i] ?? padding[0] ?? 0;
      return Array.from({ length: count }, (_, place) => (place < empty ? masked : 0));
    }),
    ...row.map((_, j) => ((attentionMask?.[i]?.[j] ?? 1) === 1 ? 0 : masked)),
  ]);
  const width = rows[0]?.length ?? 0;
  return float32Tensor(Float32Array.from(rows.flat()), [rows.length, 1, 1, width]);
}

function rowsTensor(rows: Rows): Tensor {
  return int64Tensor(rows.flat(), [rows.length, rows[0]?.length ?? 0]);
}
