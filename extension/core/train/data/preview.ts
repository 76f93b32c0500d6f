import type { Tokenizer } from "../../tokens/tokenizer.ts";
import type { PreviewedExample, TextSegment } from "./dataset.ts";
import type { TokenizedExample } from "./tokenizeExample.ts";

/** A text as the model will see it: special tokens by name, what is learned apart from what is not. */
export function previewExample(
  tokenizer: Tokenizer,
  { ids, learned, tags, answer, span }: TokenizedExample,
  { maxLength, labels }: { maxLength: number; labels: readonly string[] },
): PreviewedExample {
  const shown = ids.slice(0, maxLength);
  if (answer) {
    const own = answer.slice(0, maxLength);
    const [prompt, completion] = [shown, own].map((part) =>
      tokenizer.decode(part, { skipSpecialTokens: false }),
    ) as [string, string];
    const segments = [
      { text: prompt, isLearned: false },
      { text: completion, isLearned: true },
    ];
    return { segments, tokens: shown.length + own.length };
  }
  const isLearned = (i: number): boolean => {
    if (tags) return tags[i] !== null;
    if (span) return i >= span[0] && i <= span[1];
    // Nothing foretells the first token, so nothing is learned of it.
    return learned !== undefined && learned[i] === 1 && i > 0;
  };
  const segments: TextSegment[] = [];
  for (let from = 0; from < shown.length;) {
    let to = from + 1;
    while (to < shown.length && isLearned(to) === isLearned(from)) to++;
    const text = tokenizer.decode(shown.slice(from, to), { skipSpecialTokens: false });
    segments.push({ text, isLearned: isLearned(from) });
    from = to;
  }
  return { segments, tokens: shown.length, ...(labels.length > 0 && { label: labels.join(", ") }) };
}
