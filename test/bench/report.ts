import type { CaseResult, RunResult } from "./compare.ts";
import { type Config, tensorsOf } from "./makeRandomModel.ts";
import { elementCount } from "../../extension/core/base/shape.ts";
import { rivals } from "./parties.ts";

type Cells = readonly (string | number)[];

export function table(head: Cells, rows: readonly Cells[]): string {
  const show = (cells: Cells): string => `| ${cells.join(" | ")} |`;
  return [show(head), show(head.map(() => "---")), ...rows.map(show)].join("\n");
}

/** The run as Markdown: one row for each thing that a party did, with ratios to its rivals' times. */
export function report(run: RunResult, config: Config): string {
  const names = [...new Set(run.cases.map((each) => each.case))];
  const rows = names.flatMap((name) =>
    run.cases.filter((each) => each.case === name).map((own) => rowOf(own, run, config)),
  );
  const head = ["what", "party", "ms median (min; p25–p75)", "tok/s", "÷ least possible", "time ÷ rival's, medians (minima)"]; // prettier-ignore
  const { bandwidth, arithmetic, threads } = run.machine;
  const memory = run.parties.map(({ party, memory: own, bytes, loadMilliseconds }) => [
    party,
    (loadMilliseconds / 1000).toFixed(2),
    ...[bytes, own.rss, own.peak, own.anonymous ?? NaN].map((each) => (each / 1e9).toFixed(2)),
  ]);
  return [
    `${threads} threads read ${bandwidth.toFixed(1)} GB/s and compute ${arithmetic.toFixed(0)} GFLOP/s (fp32).`,
    table(head, rows),
    table(["party", "load s", "weights GB", "resident GB", "peak GB", "not mapped GB"], memory),
    ...run.parties.map(({ party, greedy }) => `- first tokens, ${party}: ${greedy.join(" ")}`),
    ...run.refused.map((each) => `- not measured: ${each}`),
  ].join("\n\n");
}

function rowOf(own: CaseResult, run: RunResult, config: Config): string[] {
  const { median, min, p25, p75 } = own.milliseconds;
  const isRead = ["decode", "prefill", "plain", "ahead"].includes(own.kind);
  const tokens = own.kind === "prefill" ? own.context : own.batch;
  const ratios = (rivals[own.party] ?? []).flatMap((rival) => {
    const other = run.cases.find((each) => each.case === own.case && each.party === rival);
    if (!other) return [];
    const [medians, minima] = [median / other.milliseconds.median, min / other.milliseconds.min];
    return [`${medians.toFixed(2)} (${minima.toFixed(2)}) ${rival}`];
  });
  return [
    own.case,
    own.party,
    `${digits(median)} (${digits(min)}; ${digits(p25)}–${digits(p75)})`,
    isRead ? digits((1000 * tokens) / median) : "",
    isRead ? (median / leastMilliseconds(own, run, config)).toFixed(2) : "",
    ratios.join("; "),
  ];
}

function digits(value: number): string {
  return value.toFixed(value < 20 ? 2 : value < 200 ? 1 : 0);
}

/**
 * The time that memory (a step: every weight is read once) or arithmetic (a prompt: two operations a weight
 * and token) allows at best; adapters and the cache of keys and values are left out.
 */
export function leastMilliseconds(own: CaseResult, run: RunResult, config: Config): number {
  const { bandwidth, arithmetic } = run.machine;
  if (own.kind !== "prefill") {
    const bytes = run.parties.find(({ party }) => party === own.party)?.bytes ?? NaN;
    return bytes / bandwidth / 1e6;
  }
  const inLayers = tensorsOf(config).filter(({ name }) => name.includes("_proj.weight"));
  const weights = inLayers.reduce((sum, { shape }) => sum + elementCount(shape), 0);
  return (2 * weights * own.context) / arithmetic / 1e6;
}
