import { badRequest } from "../core/base/errors.ts";
import { modelFolder } from "../core/checkpoint/findAdapter.ts";
import { analyzed, compared, intruders } from "../engine/analysis.ts";
import { readArguments } from "./arguments.ts";
import { showTransfers } from "./progress.ts";

const options = {
  base: { type: "string" },
  "no-base": { type: "boolean", default: false },
  module: { type: "string", multiple: true },
  thorough: { type: "boolean", default: false },
  intruders: { type: "boolean", default: false },
  json: { type: "boolean", default: false },
} as const;

type Values = ReturnType<typeof readArguments<typeof options>>["values"];

/** Tells in numbers what an adapter changes. */
export async function analyze(args: string[], signal: AbortSignal): Promise<void> {
  const { values, positionals } = readArguments(args, options);
  const [named] = positionals;
  if (named === undefined) throw badRequest("analyze needs an adapter's folder or id.");
  const path = await modelFolder(named, { onProgress: showTransfers(), signal });
  const { base, only } = chosen(values);
  const work = { emit: () => undefined, signal };
  if (values.intruders) {
    const found = await intruders({ path, ...base, ...only }, work);
    const lines = found.modules.map(
      ({ module, intruders: count, likeness, reason }) =>
        `${module}  ${count ?? reason ?? ""}  ${likeness.map((each) => each.toFixed(2)).join(" ")}`,
    );
    print(values, found, [`${found.intruders} intruder dimensions`, ...lines]);
    return;
  }
  const report = await analyzed({ path, thorough: values.thorough, ...base, ...only }, work);
  const { totals, cost, modules, advice, warnings, baseMissing } = report;
  const lines = [
    `${report.method}: norm ${show(totals.norm)}, ${percent(totals.relative)} of the base's, ` +
      `effective rank ${show(totals.effectiveRank)}`,
    `At run time ${cost.bytes.toLocaleString("en")} bytes, ${cost.flops.toLocaleString("en")} operations a token` +
      (cost.base ? ` (${percent(cost.flops / cost.base.flops)} of the base's)` : ""),
    ...table(
      ["module", "rank", "norm", "relative", "eff.", "stable", "largest"],
      modules.map(({ module, rank, norm, relative, spectrum, reason }) => [
        module,
        rank === null ? "" : String(rank),
        norm === null ? (reason ?? "?") : show(norm),
        percent(relative),
        show(spectrum?.effectiveRank ?? null),
        show(spectrum?.stableRank ?? null),
        show(spectrum?.values[0] ?? null),
      ]),
    ),
    ...advice.map(({ text }) => text),
    ...(baseMissing === undefined ? [] : [baseMissing]),
    ...warnings,
  ];
  print(values, report, lines);
}

/** Tells in numbers how two adapters differ. */
export async function compare(args: string[], signal: AbortSignal): Promise<void> {
  const { values, positionals } = readArguments(args, options);
  const [first, second] = positionals;
  if (first === undefined || second === undefined) {
    throw badRequest("compare needs two adapters' folders or ids.");
  }
  const place = { onProgress: showTransfers(), signal };
  const [a, b] = [await modelFolder(first, place), await modelFolder(second, place)];
  const { base, only } = chosen(values);
  const report = await compared({ a, b, ...base, ...only }, { emit: () => undefined, signal });
  const { totals, modules, config, advice, baseMissing } = report;
  const text = (side: { value: unknown } | null): string =>
    side ? JSON.stringify(side.value) : "(absent)";
  const lines = [
    `cosine ${show(totals.cosine)}, norms ${show(totals.normA)} and ${show(totals.normB)}, ` +
      `added ${percent(totals.kept)} is kept, signs opposite ${percent(totals.signConflicts)}`,
    ...config
      .filter(({ differs }) => differs)
      .map((each) => `${each.field}: ${text(each.a)} | ${text(each.b)}`),
    ...table(
      ["module", "cosine", "norm a", "norm b", "φ left", "φ right", "kept", "signs"],
      modules.map(({ module, cosine, normA, normB, overlap, merge, reason }) => [
        module,
        cosine === null ? (reason ?? "?") : show(cosine),
        show(normA),
        show(normB),
        show(overlap?.left.at(-1) ?? null),
        show(overlap?.right.at(-1) ?? null),
        percent(merge?.kept ?? null),
        percent(merge?.signConflicts ?? null),
      ]),
    ),
    ...advice.map((each) => each.text),
    ...(baseMissing === undefined ? [] : [baseMissing]),
  ];
  print(values, report, lines);
}

function chosen(values: Values): {
  base: { base?: string | null };
  only: { only?: string[] };
} {
  const base = values["no-base"] ? { base: null } : values.base ? { base: values.base } : {};
  return { base, only: values.module ? { only: values.module } : {} };
}

function print(values: Values, report: object, lines: readonly string[]): void {
  const text = values.json ? JSON.stringify(report, null, 2) : lines.join("\n");
  process.stdout.write(`${text}\n`);
}

function show(value: number | null): string {
  return value === null ? "" : String(Number(value.toPrecision(4)));
}

function percent(share: number | null): string {
  return share === null ? "" : `${Number((100 * share).toPrecision(3))} %`;
}

/** The first column to the left, the others to the right. */
function table(head: readonly string[], rows: readonly string[][]): string[] {
  const widths = head.map((name, i) =>
    Math.max(name.length, ...rows.map((row) => (row[i] ?? "").length)),
  );
  return [head, ...rows].map((row) =>
    row
      .map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0)))
      .join("  ")
      .trimEnd(),
  );
}
