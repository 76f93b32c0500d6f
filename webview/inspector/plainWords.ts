import type { AdapterAnalysis } from "../../extension/protocol/analysisContract.ts";
import type { AdapterReport } from "../../extension/protocol/reportContract.ts";
import * as format from "../shared/format.ts";
import { rowLabel } from "./grid.ts";
import { words } from "./wordTexts.ts";

type Does = keyof typeof words.does;

/** What each method does, by `peft_type`; low rank is what most do. */
const doing: Record<string, Does> = {
  LOHA: "product",
  LOKR: "product",
  OFT: "rotation",
  BOFT: "rotation",
  HRA: "rotation",
  ROAD: "rotation",
  IA3: "scale",
  HIRA: "scale",
  GLORA: "any",
  BEFT: "shift",
  SHIRA: "sparse",
  FOURIERFT: "spectral",
  WAVEFT: "spectral",
  C3A: "spectral",
  FROD: "any",
  SUPERTUNING: "any",
  OSF: "any",
  LN_TUNING: "replaced",
  SHADOW: "any",
};
const virtualTokens = new Set(["PROMPT_TUNING", "MULTITASK_PROMPT_TUNING", "P_TUNING", "CPT"]);
const cachePrefixes = new Set(["PREFIX_TUNING", "CARTRIDGE"]);

/** The config as a paragraph: what was trained, on what, how strong. Each entry is a sentence. */
export function plainWords(report: AdapterReport, analysis: AdapterAnalysis | null): string[] {
  const config = new Map(report.config.map(({ field, value }) => [field, value]));
  return [
    what(report, config, analysis),
    does(report, config),
    ...strength(report, config),
    ...extras(config),
    size(report),
    moves(analysis),
  ].filter((sentence) => sentence !== "");
}

type Config = ReadonlyMap<string, unknown>;

function what(
  { summary, fit }: AdapterReport,
  config: Config,
  analysis: AdapterAnalysis | null,
): string {
  const { name, method, baseName } = summary;
  // A base may be named by a path; its last part is what people call it.
  const known = fit?.baseName ?? analysis?.base?.name;
  const base = known ?? baseName?.split(/[/\\]/).at(-1) ?? null;
  const purpose = words.purposes[String(config.get("task_type"))];
  if (base !== null && purpose !== undefined) return words.isOnFor(name, method, base, purpose);
  if (base !== null) return words.isOn(name, method, base);
  return purpose === undefined ? words.is(name, method) : words.isFor(name, method, purpose);
}

function does(report: AdapterReport, config: Config): string {
  const { peftType } = report.summary;
  const count = numberOf(config, "num_virtual_tokens") ?? numberOf(config, "cpt_tokens_len");
  const tokens = count ?? listOf(config, "cpt_token_ids").length;
  if (virtualTokens.has(peftType)) return words.virtualTokens(tokens);
  if (cachePrefixes.has(peftType)) return words.cachePrefix(tokens);
  if (peftType === "ADAPTION_PROMPT") {
    const prompts = numberOf(config, "adapter_len") ?? 0;
    return words.adaptionPrompt(numberOf(config, "adapter_layers") ?? 0, prompts);
  }
  if (peftType === "TRAINABLE_TOKENS") {
    const ids = listOf(config, "token_indices");
    if (ids.length > 0) return words.someTokens(ids.length);
  }
  const where = whereOf(report.grid);
  return where === "" ? "" : words.does[doing[peftType] ?? "lowRank"](where);
}

/** "28 modules (q_proj, …) in all 4 layers" */
export function whereOf({ rows, columns, cells }: AdapterReport["grid"]): string {
  const [first] = cells;
  if (!first) return "";
  if (cells.length === 1) return words.oneModule(first.module);
  const names = listed(columns, 8);
  const layers = rows.filter((row) => row !== "");
  if (layers.length === 0) return words.outsideLayers(cells.length, names);
  return words.inLayers(cells.length, names, layersOf(layers));
}

function layersOf(layers: readonly string[]): string {
  const numbers = layers.map((layer) => Number(/(\d+)$/.exec(layer)?.[1] ?? Number.NaN));
  const [only] = layers;
  if (layers.length === 1 && only !== undefined) return words.oneLayer(rowLabel(only));
  const isRun = numbers.every((number, index) => number === index);
  return isRun ? words.allLayers(layers.length) : words.someLayers(layers.length, ranges(numbers));
}

/** [0, 1, 2, 5] → "0–2, 5" */
export function ranges(numbers: readonly number[]): string {
  const runs: [number, number][] = [];
  for (const number of [...numbers].sort((a, b) => a - b)) {
    const last = runs.at(-1);
    if (last && (number === last[1] + 1 || number === last[1])) last[1] = number;
    else runs.push([number, number]);
  }
  return listed(
    runs.map(([from, to]) => (from === to ? String(from) : `${from}–${to}`)),
    6,
  );
}

function strength(report: AdapterReport, config: Config): string[] {
  const ranks = report.grid.cells.flatMap(({ rank }) => (rank === null ? [] : [rank]));
  if (ranks.length === 0) return [];
  const [low, high] = [Math.min(...ranks), Math.max(...ranks)];
  if (low !== high) return [words.ranks(String(low), String(high))];
  const rank = String(low);
  const { alpha, scaling } = report;
  if (alpha === null || scaling === null) return [words.rank(rank)];
  const isRoot = config.get("use_rslora") === true;
  const sum = (isRoot ? words.rootRatio : words.ratio)(format.plain(alpha), rank);
  return [words.rankScaled(rank, format.scale(scaling), sum)];
}

function extras(config: Config): string[] {
  const said: string[] = [];
  if (config.get("use_dora") === true) said.push(words.dora);
  if (listOf(config, "alora_invocation_tokens").length > 0) said.push(words.alora);
  const init = config.get("init_lora_weights");
  if (typeof init === "string") said.push(words.init(init));
  const bias = config.get("bias");
  if (typeof bias === "string" && bias !== "none") said.push(words.biases(bias));
  const saved = listOf(config, "modules_to_save").map(String);
  if (saved.length > 0) said.push(words.saved(listed(saved, 6)));
  const tokens = config.get("trainable_token_indices");
  if (tokens !== null && typeof tokens === "object") said.push(words.tokens);
  const dropout = numberOf(config, "lora_dropout") ?? numberOf(config, "module_dropout") ?? 0;
  if (dropout > 0) said.push(words.dropout(format.percent(dropout)));
  if (config.get("fan_in_fan_out") === true) said.push(words.reversed);
  return said;
}

function size({ totals, fit }: AdapterReport): string {
  const numbers = format.exactCount(totals.parameters);
  const facts: [string, string, string] = [
    numbers,
    totals.dtypes.join(", "),
    format.bytes(totals.bytes),
  ];
  return fit ? words.sizeOfBase(facts, format.percent(fit.share)) : words.size(...facts);
}

function moves(analysis: AdapterAnalysis | null): string {
  const relative = analysis?.totals.relative ?? null;
  if (!analysis || relative === null) return "";
  const shares = [...analysis.totals.rowShares].sort((a, b) => b.share - a.share);
  const [most] = shares;
  const moved = format.percent(relative);
  if (!most || most.row === "" || shares.length < 2) return words.moves(moved);
  return words.movesMost(moved, format.percent(most.share), rowLabel(most.row));
}

function listed(names: readonly string[], most: number): string {
  const shown = names.slice(0, most).join(", ");
  return names.length > most ? words.andMore(shown, names.length - most) : shown;
}

function numberOf(config: Config, field: string): number | null {
  const value = config.get(field);
  return typeof value === "number" ? value : null;
}

function listOf(config: Config, field: string): unknown[] {
  const value = config.get(field);
  return Array.isArray(value) ? value : [];
}
