import { t } from "@vscode/l10n";
import type { JsonObject } from "../../base/json.ts";
import { chatRenderer, type ChatRenderer } from "../../tokens/chatRenderer.ts";
import type { Tokenizer } from "../../tokens/tokenizer.ts";
import { assistantSpans } from "./chatSpans.ts";
import { type Example, type Fault, fault, type Label } from "./example.ts";
import { tokensInSpans } from "./tokenSpans.ts";

/** Tokens of one text. */
export interface TokenizedExample {
  readonly kind: "tokens";
  readonly ids: readonly number[];
  /** 1 where a token is learned; of a causal model. */
  readonly learned?: Uint8Array;
  /** Of a pair of texts: which of them a token belongs to. */
  readonly tokenTypes?: readonly number[];
  /** Of a model with encoder and decoder: what it answers, its end's token among them. */
  readonly answer?: readonly number[];
  /** Of a question: the first and the last token of its answer; both 0 where the context has none. */
  readonly span?: readonly [number, number];
  /** Of a classified text. */
  readonly label?: Label | readonly Label[];
  /** Of token classification, null where a token has none (transformers: a word's first token alone). */
  readonly tags?: readonly (Label | null)[];
  /** Which of an adapter's tasks the text is of. */
  readonly task?: number;
  /** The prompt alone is tokenised differently than before its completion. */
  readonly isBoundaryMoved?: boolean;
}

export interface TokenizeOptions {
  readonly learn: "answers" | "all";
  readonly template: "auto" | "chat" | "plain";
}

export interface ExampleTokenizer {
  tokenize(example: Example): TokenizedExample | Fault;
  /** Prompts and completions go through the chat template. */
  readonly usesTemplate: boolean;
}

/** Makes tokens of examples as TRL's SFTTrainer does (trl/trainer/sft_trainer.py, tokenize_fn and add_eos). */
export function exampleTokenizer(tokenizer: Tokenizer, options: TokenizeOptions): ExampleTokenizer {
  const renderer = chatRenderer(tokenizer);
  const usesTemplate = options.template !== "plain" && renderer !== null;
  const context: Context = { tokenizer, renderer, options, endTokens: endTokensOf(tokenizer) };
  return {
    usesTemplate,
    tokenize: (example) => {
      switch (example.kind) {
        case "text":
          return tokenizeText(context, example.text);
        case "instruction":
          return usesTemplate
            ? tokenizeChat(context, asChat(example))
            : tokenizeInstruction(context, example);
        case "chat":
          return tokenizeChat(context, example);
        case "answer":
          // transformers' run_summarization.py: both with the tokenizer's own special tokens.
          return {
            kind: "tokens",
            ids: tokenizer.encode(example.prompt),
            answer: tokenizer.encode(example.completion),
          };
        case "classification":
          return tokenizeClassified(tokenizer, example);
        case "question":
          return tokenizeQuestion(tokenizer, example);
        case "tags":
          return tokenizeTagged(tokenizer, example);
        default:
          return example satisfies never;
      }
    },
  };
}

interface Context {
  readonly tokenizer: Tokenizer;
  readonly renderer: ChatRenderer | null;
  readonly options: TokenizeOptions;
  readonly endTokens: readonly string[];
}

type Chat = Extract<Example, { kind: "chat" }>;
type Instruction = Extract<Example, { kind: "instruction" }>;

/** Texts of tokens that end a turn in templates of the known families, beside the tokenizer's own. */
function endTokensOf(tokenizer: Tokenizer): string[] {
  const usual = ["<|im_end|>", "<|eot_id|>", "<end_of_turn>", "<|end|>", "<|end_of_text|>", "</s>"];
  const own = tokenizer.specialTokens["eos_token"];
  return own === undefined ? usual : [own, ...usual];
}

function asChat({ prompt, completion }: Instruction): Chat {
  const messages: JsonObject[] = [
    { role: "user", content: prompt },
    { role: "assistant", content: completion },
  ];
  return { kind: "chat", messages, promptCount: 1 };
}

function tokenizeText({ tokenizer }: Context, text: string): TokenizedExample {
  const ids = tokenizer.encode(withEnd(tokenizer, text));
  return { kind: "tokens", ids, learned: new Uint8Array(ids.length).fill(1) };
}

/** TRL adds the end's token to what is plain text, once. */
function withEnd({ specialTokens }: Tokenizer, text: string): string {
  const end = specialTokens["eos_token"] ?? "";
  return text.endsWith(end) ? text : text + end;
}

function tokenizeInstruction(
  { tokenizer, options }: Context,
  { prompt, completion }: Instruction,
): TokenizedExample {
  const ids = tokenizer.encode(prompt + withEnd(tokenizer, completion));
  return behindPrompt(ids, tokenizer.encode(prompt), options.learn);
}

/** As many tokens as the prompt has alone are not learned, as TRL counts them. */
function behindPrompt(
  ids: readonly number[],
  prompt: readonly number[],
  learn: TokenizeOptions["learn"],
): TokenizedExample {
  const learned = new Uint8Array(ids.length).fill(1);
  if (learn === "answers") learned.fill(0, 0, prompt.length);
  const isBoundaryMoved = prompt.some((id, i) => ids[i] !== id);
  return { kind: "tokens", ids, learned, ...(isBoundaryMoved && { isBoundaryMoved }) };
}

function tokenizeChat(context: Context, chat: Chat): TokenizedExample | Fault {
  const { tokenizer, renderer, options, endTokens } = context;
  if (!renderer) {
    return fault(
      [],
      t(
        "The base has no chat template. Use “prompt” and “completion” as texts, or a base made for chats.",
      ),
    );
  }
  const encode = (text: string): number[] => tokenizer.encode(text, { addSpecialTokens: false });
  const { messages, tools, promptCount } = chat;
  if (options.learn === "all") {
    const ids = encode(renderer.render({ messages, tools }));
    return { kind: "tokens", ids, learned: new Uint8Array(ids.length).fill(1) };
  }
  if (promptCount !== undefined) {
    const prompt = { messages: messages.slice(0, promptCount), tools, addGenerationPrompt: true };
    return behindPrompt(
      encode(renderer.render({ messages, tools })),
      encode(renderer.render(prompt)),
      "answers",
    );
  }
  const rendered = assistantSpans(renderer, { messages, tools }, endTokens);
  if ("kind" in rendered) return rendered;
  const ids = encode(rendered.text);
  return {
    kind: "tokens",
    ids,
    learned: tokensInSpans(tokenizer, { text: rendered.text, ids }, rendered.spans),
  };
}

function tokenizeClassified(
  tokenizer: Tokenizer,
  { text, pair, label }: Extract<Example, { kind: "classification" }>,
): TokenizedExample {
  const { ids, tokenTypes } = tokenizer.encodePair(text, pair);
  return { kind: "tokens", ids, tokenTypes, label };
}

/** Question and context as a pair, and the answer's tokens (transformers' run_qa.py). */
function tokenizeQuestion(
  tokenizer: Tokenizer,
  { question, context, answer }: Extract<Example, { kind: "question" }>,
): TokenizedExample | Fault {
  const { ids, tokenTypes, pairStart, pairEnd } = tokenizer.encodePair(question, context);
  if (answer === null) return { kind: "tokens", ids, tokenTypes, span: [0, 0] };
  const own = ids.slice(pairStart, pairEnd);
  const mask = tokensInSpans(tokenizer, { text: context, ids: own }, [answer]);
  const first = mask.indexOf(1);
  if (first < 0) return fault(["answers"], t("The answer has no token of its own."));
  const span = [pairStart + first, pairStart + mask.lastIndexOf(1)] as const;
  return { kind: "tokens", ids, tokenTypes, span };
}

/** Words are tokenised one by one; special tokens stand where they stand around an empty text. */
function tokenizeTagged(
  tokenizer: Tokenizer,
  { words, tags }: Extract<Example, { kind: "tags" }>,
): TokenizedExample {
  const frame = tokenizer.encode("");
  const probe = tokenizer.encode(words[0] ?? "a");
  const first = tokenizer.encode(words[0] ?? "a", { addSpecialTokens: false });
  const before = Math.max(0, probe.indexOf(first[0] ?? -1));
  const ids = frame.slice(0, before);
  const labels: (Label | null)[] = ids.map(() => null);
  for (const [i, word] of words.entries()) {
    const own = tokenizer.encode(i === 0 ? word : ` ${word}`, { addSpecialTokens: false });
    ids.push(...own);
    labels.push(...own.map((_, j) => (j === 0 ? (tags[i] ?? null) : null)));
  }
  ids.push(...frame.slice(before));
  labels.push(...frame.slice(before).map(() => null));
  return { kind: "tokens", ids, tokenTypes: ids.map(() => 0), tags: labels };
}
