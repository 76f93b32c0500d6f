import { t } from "@vscode/l10n";
import type { GenerateResult } from "../protocol/generationContract.ts";
import { formatRate } from "./format.ts";

const finishWords: Record<GenerateResult["finish"], string> = {
  stop: "",
  length: t("cut at the token limit"),
  context: t("the model's context is full"),
  cancelled: "stopped",
};

/** "12 tokens · 88 tok/s", after how it ended when that was not by itself. */
export function finishLine(result: GenerateResult): string {
  const tokens = result.tokens === 1 ? t("1 token") : t("{0} tokens", result.tokens);
  const parts = [finishWords[result.finish], tokens, formatRate(result.tokensPerSecond)];
  return parts.filter((part) => part !== "").join(" · ");
}
