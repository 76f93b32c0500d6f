import type { GenerateResult } from "../protocol/engineContract.ts";
import { formatRate } from "./format.ts";

const finishWords: Record<GenerateResult["finish"], string> = {
  stop: "",
  length: "cut at the token limit",
  context: "the model's context is full",
  cancelled: "stopped",
};

/** "12 tokens · 88 tok/s", after how it ended when that was not by itself. */
export function finishLine(result: GenerateResult): string {
  const tokens = `${result.tokens} token${result.tokens === 1 ? "" : "s"}`;
  const parts = [finishWords[result.finish], tokens, formatRate(result.tokensPerSecond)];
  return parts.filter((part) => part !== "").join(" · ");
}
