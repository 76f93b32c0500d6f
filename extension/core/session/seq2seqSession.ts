import { t } from "@vscode/l10n";
import { badRequest } from "../base/errors.ts";
import type { Seq2SeqModel } from "../models/seq2seqModel.ts";
import type { AdapterInputs } from "./adapterInputs.ts";
import { CausalSession } from "./causalSession.ts";
import type { DecodingState, ForwardOptions, Logits } from "./decodingState.ts";
import type { DecodingSession } from "./decodingSession.ts";
import type { DeviceReport } from "./devices.ts";
import { EncoderSession, maskTensor } from "./encoderSession.ts";
import type { SessionOptions, Tensor } from "./ortSession.ts";
import { type Batch, type HeadOutput, type TokenBatch, tokensOf } from "./runningSession.ts";

/** Runs an encoder over each prompt once, and a decoder that attends to what it made of it. */
export class Seq2SeqSession implements DecodingSession {
  readonly readsApart = true;

  private constructor(
    readonly model: Seq2SeqModel,
    private readonly encoder: EncoderSession,
    private readonly decoder: CausalSession,
  ) {}

  static async create(model: Seq2SeqModel, options?: SessionOptions): Promise<Seq2SeqSession> {
    const encoder = await EncoderSession.create(model.encoder, options);
    try {
      const decoder = await CausalSession.create(model.decoder, options);
      return new Seq2SeqSession(model, encoder, decoder);
    } catch (error) {
      await encoder.dispose();
      throw error;
    }
  }

  get device(): DeviceReport {
    return this.decoder.device;
  }

  start(adapters: AdapterInputs, batch = 1): DecodingState {
    return this.decoder.start(adapters, batch);
  }

  /**
   * Reads a prompt [batch][seq] first, which gives the logits of the answer's first token; then the
   * answer's own tokens.
   */
  async forward(
    state: DecodingState,
    tokens: readonly (readonly number[])[],
    options: ForwardOptions = {},
  ): Promise<Logits> {
    if (state.source) return this.decoder.forward(state, tokens, options);
    if (options.logitsRows)
      throw badRequest(t("An encoder has no logits for the tokens of a prompt."));
    const { attentionMask } = options;
    await this.read(state, { kind: "tokens", ids: tokens, attentionMask });
    return this.decoder.forward(
      state,
      tokens.map(() => [this.model.startToken]),
    );
  }

  /** Of `decoderIds`; without them of the tokens themselves, as if they were the answer. */
  async predict(batch: Batch, adapters: AdapterInputs): Promise<HeadOutput> {
    const tokens = tokensOf(batch);
    const { startToken } = this.model;
    const answers = tokens.decoderIds ?? tokens.ids.map((row) => [startToken, ...row.slice(0, -1)]);
    const state = this.start(adapters, tokens.ids.length);
    await this.read(state, tokens);
    const logitsRows = (answers[0] ?? []).map((_, place) => place);
    return this.decoder.forward(state, answers, { logitsRows, countPadding: true });
  }

  async dispose(): Promise<void> {
    await this.encoder.dispose();
    await this.decoder.dispose();
  }

  /** Keeps what the encoder makes of a prompt. */
  private async read(state: DecodingState, prompt: TokenBatch): Promise<void> {
    const { adapters: all } = state;
    // Keys and values of an adapter stand before the answer, virtual tokens before the prompt.
    const adapters = { ...all, cachePrefix: null };
    const names = Array.from({ length: this.model.layers }, (_, layer) => layer);
    const outputs = names.flatMap((layer) => [`cross_key.${layer}`, `cross_value.${layer}`]);
    const read: Record<string, Tensor> = await this.encoder.read(prompt, adapters, outputs);
    state.source = { ...read, cross_mask: maskTensor(prompt, adapters) };
    state.adapters = { ...all, virtualTokens: 0, virtualPadding: [] };
  }
}
