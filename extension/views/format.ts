import { t } from "@vscode/l10n";
import type { ActiveAdapter, AdapterSummary, ProgressEvent } from "../protocol/engineContract.ts";

/** Numbers as people read them. One file, so that every surface says the same. */

/** 512, "72 K", "1.3 M", "135 M", "1.2 B". */
export function formatCount(count: number): string {
  const [value, unit] = scale(count, ["", "K", "M", "B", "T"]);
  return unit === "" ? String(value) : `${short(value)} ${unit}`;
}

/** 812 B, "287 KB", "2.4 MB": decimal units, as file managers and the Hub show them. */
export function formatBytes(bytes: number): string {
  const [value, unit] = scale(bytes, ["B", "KB", "MB", "GB", "TB"]);
  return `${unit === "B" ? value : short(value)} ${unit}`;
}

/** "71,680": for places where the exact number matters. */
export function formatExact(count: number): string {
  return count.toLocaleString("en-US");
}

/** Share of the base's parameters, from 0 to 1: "5.6 %", "0.02 %". */
export function formatShare(share: number): string {
  const percent = share * 100;
  if (percent === 0) return "0 %";
  if (percent < 0.01) return "< 0.01 %";
  return `${percent.toFixed(percent < 0.1 ? 2 : 1)} %`;
}

export function formatRate(tokensPerSecond: number): string {
  return t(
    "{0} tok/s",
    tokensPerSecond < 10 ? tokensPerSecond.toFixed(1) : Math.round(tokensPerSecond),
  );
}

/** "12 tokens · 41 tok/s": an answer so far. */
export function formatRun(event: { tokens: number; tokensPerSecond: number }): string {
  return `${t("{0} tokens", event.tokens)} · ${formatRate(event.tokensPerSecond)}`;
}

export function formatSeconds(seconds: number): string {
  if (seconds < 1) return t("{0} ms", Math.max(1, Math.round(seconds * 1000)));
  return seconds < 60 ? `${seconds.toFixed(1)} s` : t("{0} min", Math.round(seconds / 60));
}

/** "28 Nov 2026" as the reader's language has it. @param time milliseconds since the epoch */
export function formatDate(time: number): string {
  return new Date(time).toLocaleDateString(undefined, { dateStyle: "medium" });
}

/** "×1.0", "×0.25". */
export function formatWeight(weight: number): string {
  const rounded = Math.round(weight * 100) / 100;
  return `×${Number.isInteger(rounded * 10) ? rounded.toFixed(1) : rounded}`;
}

/** "LoRA r 8"; "IA³" where the method has no rank. */
export function formatMethod(adapter: Pick<AdapterSummary, "method" | "rank">): string {
  return adapter.rank === null ? adapter.method : `${adapter.method} r ${adapter.rank}`;
}

/** "graft-sample + pirate", "graft-sample + pirate ×0.5 + json ×0.5", "graft-sample". */
export function formatModel(base: string, active: readonly ActiveAdapter[]): string {
  const plain = active.length === 1 && active[0]?.weight === 1;
  const parts = active.map((a) => (plain ? a.name : `${a.name} ${formatWeight(a.weight)}`));
  return [base, ...parts].join(" + ");
}

/** Who answers, in short: "pirate", "pirate + json", or the bare base. */
export function formatSpeaker(base: string, active: readonly ActiveAdapter[]): string {
  return active.map(({ name }) => name).join(" + ") || base;
}

/** "Reading weights 312 of 538 MB", "Attaching modules 12 of 28", "Building the graph". */
export function formatProgress({ step, done, total, unit }: ProgressEvent): string {
  if (done === undefined) return step;
  if (unit !== "bytes")
    return total === undefined ? `${step} ${done}` : t("{0} {1} of {2}", step, done, total);
  if (total === undefined) return `${step} ${formatBytes(done)}`;
  const [, totalUnit] = scale(total, byteUnits);
  const divisor = 1000 ** byteUnits.indexOf(totalUnit);
  return t("{0} {1} of {2}", step, short(done / divisor), formatBytes(total));
}

/** A prompt as a title: one line, at most `limit` characters. */
export function formatTitle(text: string, limit = 60): string {
  const line = text.replace(/\s+/g, " ").trim();
  return line.length <= limit ? line : `${line.slice(0, limit - 1).trimEnd()}…`;
}

/** The editor drops the spaces beside icons of a code lens: they become ones that stay. */
export function withGaps(title: string): string {
  return title.replace(/(\$\([\w-]+\)) /g, "$1\u00a0").replaceAll(" $(", "\u00a0$(");
}

const byteUnits = ["B", "KB", "MB", "GB", "TB"];

function scale(value: number, units: string[]): [number, string] {
  let index = 0;
  // 999.95 and above would print as "1000".
  while (value >= 999.5 && index < units.length - 1) {
    value /= 1000;
    index++;
  }
  return [value, units[index] ?? ""];
}

function short(value: number): string {
  return value >= 9.95 ? String(Math.round(value)) : value.toFixed(1).replace(/\.0$/, "");
}
