import { readFileSync } from "node:fs";
import type { Batch, Split } from "../../extension/core/train/data/batch.ts";
import { torchGenerator } from "../../extension/core/base/torchRandom.ts";
import { renderChat } from "../../extension/core/tokens/chatTemplate.ts";
import type { Tokenizer } from "../../extension/core/tokens/tokenizer.ts";

export interface Text {
  readonly ids: readonly number[];
  /** -100 where nothing is learned. */
  readonly labels: readonly number[];
}

/** Prompts and completions of a .jsonl as a chat, of which the answer is learned. */
export function chatTexts(file: string, tokenizer: Tokenizer): Text[] {
  const lines = readFileSync(file, "utf8").trim().split("\n");
  return lines.map((line) => {
    const { prompt, completion } = JSON.parse(line) as { prompt: string; completion: string };
    const question = { role: "user", content: prompt } as const;
    const plain = { addSpecialTokens: false };
    const front = tokenizer.encode(renderChat(tokenizer, [question]), plain);
    const answer = { role: "assistant", content: completion } as const;
    const whole = renderChat(tokenizer, [question, answer], { addGenerationPrompt: false });
    const ids = tokenizer.encode(whole, plain);
    return { ids, labels: ids.map((id, i) => (i < front.length ? -100 : id)) };
  });
}

/** Texts as a split, each epoch in an order of its own. */
export function splitOf(texts: readonly Text[]): Split {
  return {
    count: texts.length,
    lengths: Uint32Array.from(texts, ({ ids }) => ids.length),
    plan: ({ epoch, batchSize, seed, isShuffled }) => {
      const { length } = texts;
      const order = isShuffled
        ? torchGenerator(seed + epoch).permutation(length)
        : Int32Array.from({ length }, (_, i) => i);
      const batches = Math.ceil(length / batchSize);
      const batch = (index: number): Batch => {
        const own = order.subarray(index * batchSize, (index + 1) * batchSize);
        return batchOf(Array.from(own, (i) => texts[i] as Text));
      };
      return { batches, batch };
    },
  };
}

export function batchOf(texts: readonly Text[]): Batch {
  const longest = Math.max(...texts.map(({ ids }) => ids.length));
  const length = Math.ceil(longest / 8) * 8;
  const fill = (of: (text: Text) => readonly number[], padding: number): Int32Array =>
    Int32Array.from(
      texts.flatMap((text) => Array.from({ length }, (_, i) => of(text)[i] ?? padding)),
    );
  const labels = fill(({ labels: own }) => own, -100);
  return {
    rows: texts.length,
    length,
    inputIds: fill(({ ids }) => ids, 0),
    attentionMask: fill(({ ids }) => ids.map(() => 1), 0),
    labels,
    learnedTokens: labels.filter((label, i) => label !== -100 && i % length !== 0).length,
    tokens: texts.reduce((sum, { ids }) => sum + ids.length, 0),
  };
}
