import { t } from "@vscode/l10n";
import { badRequest } from "../base/errors.ts";
import { ByteStream } from "./byteStream.ts";
import type { TokenConstraint } from "./constraint.ts";
import { JsonConstraint } from "./json/jsonConstraint.ts";
import { probabilitiesOf, type TokenProbability } from "./probabilities.ts";
import type { Sampling } from "./sampler.ts";
import { StopText } from "./stopText.ts";
import { TextStream } from "./textStream.ts";
import type { Tokenizer } from "./tokenizer.ts";
import { parseToolCalls, spokenPart, type ToolFormat } from "./toolCalls.ts";
import type { ToolCall } from "./chatTemplate.ts";

export interface WriterOptions {
  readonly sampling: Sampling;
  readonly stopTokens: ReadonlySet<number>;
  /** Keep each token's probability and so many of the likeliest; undefined keeps none. */
  readonly topAlternatives?: number | undefined;
  /** Calls of tools are taken out of the text. */
  readonly toolFormat?: ToolFormat | null | undefined;
}

/** A token of an answer: what it added to the text, and how likely the model found it and others. */
export interface WrittenToken extends TokenProbability {
  readonly piece: string;
  readonly likeliest: readonly TokenProbability[];
}

/** More alternatives than that nobody reads. */
const mostAlternatives = 20;

/** Turns the tokens of one answer into its text, up to a stop text, as it becomes certain. */
export class AnswerWriter {
  readonly constraint: TokenConstraint | null;
  private readonly stream: Pick<TextStream, "text" | "push" | "finish">;
  private readonly stops: StopText;
  private readonly tokens: (TokenProbability & { likeliest: TokenProbability[]; end: number })[] =
    [];
  private cut: { at: number; stop: string } | null = null;
  private count = 0;
  private isDone = false;

  constructor(
    tokenizer: Tokenizer,
    private readonly options: WriterOptions,
  ) {
    const { sampling, stopTokens, topAlternatives: top = 0, toolFormat } = options;
    const { stop = [], jsonSchema } = sampling;
    if (jsonSchema !== undefined && stop.length > 0) {
      throw badRequest(t("A stop text may cut a JSON value in two. Choose one of them, not both."));
    }
    if (!(Number.isInteger(top) && top >= 0 && top <= mostAlternatives)) {
      throw badRequest(
        t("{0} alternatives are asked for; it can be 0 to {1}.", top, mostAlternatives),
      );
    }
    const { vocabulary } = tokenizer;
    this.stops = new StopText(stop);
    this.constraint =
      jsonSchema === undefined
        ? null
        : new JsonConstraint(jsonSchema, vocabulary, stopTokens, {
            encode: (text) => tokenizer.encode(text, { addSpecialTokens: false }),
          });
    // What constrains bytes must see them as they are, not as decoders tidy them up.
    this.stream = this.constraint
      ? new ByteStream(vocabulary)
      : new TextStream(tokenizer, { skipSpecialTokens: !toolFormat });
  }

  /** How many tokens there are. */
  get length(): number {
    return this.count;
  }

  /** A stop text has come: nothing more belongs to the answer. */
  get isEnd(): boolean {
    return this.cut !== null;
  }

  get stoppedBy(): string | null {
    return this.cut?.stop ?? null;
  }

  /** The text so far, without an unfinished character and what may become a stop text or a call. */
  get text(): string {
    const { toolFormat } = this.options;
    const visible = this.visible();
    return toolFormat ? spokenPart(visible, toolFormat, this.isDone) : visible;
  }

  /** Calls of tools in a finished answer. */
  get toolCalls(): ToolCall[] {
    const { toolFormat } = this.options;
    return toolFormat ? parseToolCalls(this.visible(), toolFormat) : [];
  }

  push(id: number, logits: Float32Array): void {
    this.count++;
    this.stream.push(id);
    const { text } = this.stream;
    const { topAlternatives } = this.options;
    if (topAlternatives !== undefined) {
      this.tokens.push({ id, ...probabilitiesOf(logits, id, topAlternatives), end: text.length });
    }
    this.cut = this.stops.find(text);
  }

  /** The end: what was held back is shown, an unfinished character as it is. */
  finish(): void {
    this.isDone = true;
    const text = this.stream.finish();
    const last = this.tokens.at(-1);
    if (last) last.end = text.length;
    this.cut ??= this.stops.find(text);
  }

  /** Tokens from a place on whose text is certain; their pieces, joined, are the text. */
  written(from: number): WrittenToken[] {
    const text = this.visible();
    const all = this.tokens.slice(from);
    const open = all.findIndex(({ end }) => end > text.length);
    const certain = open === -1 || this.isDone || this.isEnd ? all : all.slice(0, open);
    let start = this.tokens[from - 1]?.end ?? 0;
    return certain.map(({ end, ...token }) => {
      const piece = text.slice(start, end);
      start = end;
      return { ...token, piece };
    });
  }

  private visible(): string {
    const text = this.isDone ? this.stream.finish() : this.stream.text;
    if (this.cut) return text.slice(0, this.cut.at);
    return this.isDone ? text : text.slice(0, text.length - this.stops.held(text));
  }
}
