import { t } from "@vscode/l10n";
import { badRequest } from "../base/errors.ts";
import type { CausalModel } from "../models/causalModel.ts";
import { headOf } from "../models/model.ts";
import {
  type AdapterInputs,
  embeddingTensors,
  type RouterFeed,
  type TokenWeights,
} from "./adapterInputs.ts";
import { leadWith } from "./companion.ts";
import type { DecodingSession } from "./decodingSession.ts";
import type { DecodingState, ForwardOptions, Logits, Request } from "./decodingState.ts";
import type { DeviceReport } from "./devices.ts";
import { feedGates } from "./gates.ts";
import { GrowingPast } from "./growingPast.ts";
import { fillPrefix, prepend } from "./inFront.ts";
import { forwardOneByOne, mustSplit } from "./oneByOne.ts";
import { int64Tensor, OrtSession, type SessionOptions, type Tensor } from "./ortSession.ts";
import { relativeFeeds } from "./relativeFeeds.ts";
import { lengthOf, positionsFrom, restarted } from "./restart.ts";
import { RopeTable } from "./ropeTable.ts";
import { feedWeights, weighWith } from "./router.ts";
import { type Batch, type HeadOutput, tokensOf } from "./runningSession.ts";
import { type Rope, SplitPast } from "./splitPast.ts";

/** Runs a decoder: feeds tokens, keeps keys and values, hands out logits. */
export class CausalSession implements DecodingSession {
  readonly readsApart = false;
  private readonly ropes: readonly Rope[];
  private readonly feeds: Record<string, Tensor> = {};
  /** What of adapters stands in the feeds as it is; null where a router's weights have replaced some. */
  private fed: AdapterInputs["tensors"] | null = null;
  private turn: Promise<unknown> = Promise.resolve();

  private constructor(
    readonly model: CausalModel,
    private readonly session: OrtSession,
  ) {
    this.ropes = model.rotary.map((table) => ({
      suffix: table.suffix,
      table: new RopeTable(table),
    }));
  }

  static async create(model: CausalModel, options?: SessionOptions): Promise<CausalSession> {
    return new CausalSession(model, await OrtSession.create(model.graph, options));
  }

  get device(): DeviceReport {
    return this.session.device;
  }

  /** @param prompt per row, for adapters that must know all of a prompt that is read in parts */
  start(
    adapters: AdapterInputs,
    batch = 1,
    prompt: readonly (readonly number[])[] | null = null,
  ): DecodingState {
    const rows = (): number[][] => Array.from({ length: batch }, () => []);
    const { ports } = this.model;
    return {
      adapters,
      cache: ports ? new GrowingPast(ports, batch) : new SplitPast(this.model, this.ropes, batch),
      rows: null,
      seen: rows(),
      ids: rows(),
      prompt,
      activeFrom: null,
      first: null,
      companion: null,
      turned: [],
      source: null,
    };
  }

  /**
   * Runs new tokens [batch][seq] after those of `state` and remembers them.
   * Positions count real tokens only, as Hugging Face's generate does for padded batches.
   */
  forward(
    state: DecodingState,
    tokens: readonly (readonly number[])[],
    options: ForwardOptions = {},
  ): Promise<Logits> {
    if (this.model.ports?.countsTokens && mustSplit(state, { tokens, options })) {
      return forwardOneByOne(this, state, { tokens, options });
    }
    // One run at a time: sequences share the feeds, and ONNX Runtime blocks the thread anyway.
    const run = this.turn.then(() => this.run(state, { tokens, options }));
    this.turn = run.catch(() => undefined);
    return run;
  }

  async predict(batch: Batch, adapters: AdapterInputs): Promise<HeadOutput> {
    const { ids, attentionMask } = tokensOf(batch);
    const seq = ids[0]?.length ?? 0;
    const { virtualTokens: virtual } = adapters;
    const isPooled = headOf(this.model).task === "sequence-classification";
    const last = isPooled ? ids.map((row) => this.lastToken(row, virtual)) : null;
    const all = Array.from({ length: virtual + seq }, (_, i) => i - virtual);
    const logitsRows = last ? [...new Set(last)] : all;
    const options = { attentionMask, logitsRows, countPadding: true };
    const logits = await this.forward(this.start(adapters, ids.length), ids, options);
    return last
      ? pickRows(
          logits,
          last.map((row) => logitsRows.indexOf(row)),
        )
      : logits;
  }

  /** Where transformers reads a sequence's class: at its last token that is no padding. */
  private lastToken(ids: readonly number[], virtual: number): number {
    const { padding = null } = headOf(this.model);
    // Behind virtual tokens the model is given embeddings, of which it cannot tell which are padding.
    if (padding === null || virtual > 0) return ids.length - 1;
    return Math.max(
      0,
      ids.findLastIndex((id) => id !== padding),
    );
  }

  /** Runs new tokens as `forward` does, for another output than the logits. */
  read(state: DecodingState, request: Request, output: string): Promise<Tensor> {
    const run = this.turn.then(() => this.pass(state, request, { weights: null, output }));
    this.turn = run.catch(() => undefined);
    return run.then((results) => results[output] as Tensor);
  }

  private async run(state: DecodingState, asked: Request): Promise<Logits> {
    const { request, undo } = restarted(state, asked, this.model);
    try {
      return await this.runAll(state, request);
    } catch (error) {
      undo();
      throw error;
    }
  }

  private async runAll(state: DecodingState, request: Request): Promise<Logits> {
    const { router, companion } = state.adapters;
    const rows = request.options.logitsRows?.length ?? 1;
    // Tokens that it does not see leave a companion behind; it reads them when it is back.
    if (!companion) state.companion = null;
    const lead = companion && (await leadWith(companion, state, request));
    if (companion && lead) this.feeds[companion.feeds] = lead;
    // Tokens that it does not see leave its first pass behind; it reads them when it is back.
    if (!router) state.first = null;
    const weights = router && (await this.weigh(state, request, router));
    const { logits } = await this.pass(state, request, { weights, output: "logits" });
    const [, , vocabulary = 0] = logits.dims;
    const shape = [state.cache.batch, rows, vocabulary] as const;
    return { data: logits.data as Float32Array, shape };
  }

  /** Runs a router's first pass over new tokens, with a cache of its own. */
  private weigh(state: DecodingState, request: Request, router: RouterFeed): Promise<TokenWeights> {
    return weighWith(router, state, request, {
      start: () => this.start(state.adapters, state.cache.batch, state.prompt),
      read: async (own, asked) =>
        (await this.pass(own, asked, { weights: null, output: router.reads }))[
          router.reads
        ] as Tensor,
    });
  }

  /** One run of the graph over new tokens, which `state` then remembers. */
  private async pass<O extends string>(
    state: DecodingState,
    request: Request,
    { weights, output }: { weights: TokenWeights | null; output: O },
  ): Promise<Record<O, Tensor>> {
    const { cache, adapters } = state;
    const virtual = cache.length === 0 ? adapters.virtualTokens : 0;
    if (adapters.rows > 1 && adapters.rows !== cache.batch) {
      throw badRequest(
        t("The adapters are given for {0} rows, the batch has {1}.", adapters.rows, cache.batch),
      );
    }
    const { tokens, options } = virtual > 0 ? prepend(request, virtual, adapters) : request;
    if (cache.length === 0 && adapters.cachePrefix)
      fillPrefix(state, adapters.cachePrefix, this.model.layers);
    const seq = tokens[0]?.length ?? 0;
    if (tokens.length !== cache.batch || tokens.some((row) => row.length !== seq) || seq === 0) {
      throw badRequest(t("Tokens must be {0} rows of one length, at least 1.", cache.batch));
    }
    const past = cache.length;
    this.checkIds(request.tokens, adapters);
    for (const [i, row] of tokens.entries()) {
      row.forEach((_, j) => state.seen[i]?.push(options.attentionMask?.[i]?.[j] ?? 1));
    }
    try {
      const rows = options.logitsRows ?? [seq - 1];
      const places = { virtual, rows, countPadding: options.countPadding === true };
      this.feedTokens(state, tokens, { ...places, ids: request.tokens, weights });
      const results = await this.session.run(this.feeds, [output, ...cache.outputs]);
      cache.take(results, seq);
      request.tokens.forEach((row, i) => {
        for (let place = 0; place < virtual; place++) state.ids[i]?.push(-1);
        for (const id of row) state.ids[i]?.push(id);
      });
      return results as Record<O, Tensor>;
    } catch (error) {
      for (const row of state.seen) row.length = past;
      throw error;
    }
  }

  /** Sets the inputs of a run over new tokens, which `state.seen` has already. */
  private feedTokens(
    state: DecodingState,
    tokens: readonly (readonly number[])[],
    at: {
      ids: readonly (readonly number[])[];
      virtual: number;
      rows: readonly number[];
      countPadding: boolean;
      weights: TokenWeights | null;
    },
  ): void {
    const { cache, adapters, seen } = state;
    const { hasKeyPositions, relative, skipsPadding, vocabulary, rotary } = this.model;
    const { rows, virtual, weights } = at;
    const past = cache.length;
    const positions = seen.map((row) => positionsFrom(row, past, at.countPadding && !skipsPadding));
    if (this.ropes.length === 0 && !hasKeyPositions && !relative) this.checkPositions(positions);
    state.turned = rotary.map((table) => table.frequencies(lengthOf(positions)));
    // A token that an adapter added has no row in the base's table; its own is in the embedding slot.
    const known = tokens.map((row) => row.map((id) => (id < vocabulary ? id : 0)));
    cache.feed(this.feeds, { ids: known, positions, seen });
    this.feedAdapters(adapters, tokens, { positions, virtual, weights });
    if (relative) {
      const queries = Array.from({ length: tokens[0]?.length ?? 0 }, (_, place) => past + place);
      const keys = [...Array.from({ length: cache.capacity }, (_, place) => place), ...queries];
      Object.assign(this.feeds, relativeFeeds(relative, adapters, { queries, keys }));
    }
    Object.assign(this.feeds, state.source);
    if (adapters.activation) {
      const ids = at.ids.map((row) => [...Array<number>(virtual).fill(-1), ...row]);
      feedGates(this.feeds, state, adapters.activation, { ids, rows });
    }
    this.feeds["logits_rows"] = int64Tensor(rows, [rows.length]);
  }

  private checkIds(tokens: readonly (readonly number[])[], { vocabulary }: AdapterInputs): void {
    const size = vocabulary ?? this.model.vocabulary;
    const id = tokens.flat().find((each) => !(each >= 0 && each < size));
    if (id !== undefined)
      throw badRequest(t("Token {0} is not one of the {1} that there are.", id, size));
  }

  private feedAdapters(
    adapters: AdapterInputs,
    tokens: readonly (readonly number[])[],
    at: {
      positions: readonly (readonly number[])[];
      virtual: number;
      weights: TokenWeights | null;
    },
  ): void {
    const { positions, weights } = at;
    if (adapters.tensors !== this.fed) {
      for (const [name, tensor] of adapters.tensors) this.feeds[name] = tensor;
    }
    this.fed = weights ? null : adapters.tensors;
    if (weights) feedWeights(this.feeds, weights, tokens);
    const { embeddings } = adapters;
    for (const [name, tensor] of [
      ...embeddingTensors(embeddings, tokens, { ...at, ids: "input_ids" }),
      ...embeddingTensors(embeddings, positions, { ...at, ids: "position_ids" }),
    ]) {
      this.feeds[name] = tensor;
    }
  }

  /** Waits for the run that is under way, then frees the session. */
  async dispose(): Promise<void> {
    await this.turn;
    await this.session.dispose();
  }

  /** Learned positions end where the context does. */
  private checkPositions(positions: readonly (readonly number[])[]): void {
    const { contextLength } = this.model;
    if (positions.every((row) => row.every((position) => position < contextLength))) return;
    throw badRequest(
      t("The model has positions for {0} tokens. Shorten the prompt.", contextLength),
    );
  }
}

/** One row [1, width] of each sequence's logits [rows, width]. */
function pickRows({ data, shape }: Logits, picked: readonly number[]): HeadOutput {
  const [batch, rows, width] = shape;
  const out = new Float32Array(batch * width);
  picked.forEach((row, i) => {
    const start = (i * rows + row) * width;
    out.set(data.subarray(start, start + width), i * width);
  });
  return { data: out, shape: [batch, 1, width] };
}
