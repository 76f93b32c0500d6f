import type { AdapterCost } from "../../extension/protocol/analysisContract.ts";
import * as format from "../shared/format.ts";
import { text } from "./strings.ts";

/** What it costs, in sentences. */
export function costWords({ bytes, flops, base, extraTokens }: AdapterCost): string[] {
  const memory = format.bytes(bytes);
  const time = format.count(flops);
  return [
    base && base.bytes > 0
      ? text.costMemory(memory, format.percent(bytes / base.bytes))
      : text.costMemoryOnly(memory),
    flops === 0
      ? ""
      : base && base.flops > 0
        ? text.costTime(time, format.percent(flops / base.flops))
        : text.costTimeOnly(time),
    extraTokens > 0 ? text.costTokens(extraTokens) : "",
  ].filter((sentence) => sentence !== "");
}
