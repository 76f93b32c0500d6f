import type {
  AdapterComparison,
  ModuleComparison,
} from "../../extension/protocol/analysisContract.ts";
import type { AdapterReport } from "../../extension/protocol/reportContract.ts";
import type { CompareState } from "../../extension/protocol/picturesContract.ts";
import * as format from "../shared/format.ts";
import { type HeatCell, type HeatData } from "../shared/heatData.ts";
import { layerLabel, shortLabels } from "../shared/labels.ts";
import { diverging, sequential } from "../shared/scale.ts";
import { text } from "./strings.ts";

/** A module that either adapter changes, with all that is known so far. */
export interface PairModule {
  module: string;
  row: string;
  column: string;
  changedBy: "both" | "a" | "b";
  rankA: number | null;
  rankB: number | null;
  numbers: ModuleComparison | null;
}

export interface PairLayout {
  rows: string[];
  columns: string[];
  modules: PairModule[];
  places: (PairModule[] | null)[][];
}

export const pairMetrics = [
  "cosine",
  "overlap",
  "ratio",
  "normA",
  "normB",
  "conflicts",
  "rankA",
  "rankB",
] as const;
export type PairMetric = (typeof pairMetrics)[number];

/** Modules of both adapters in one grid; the headers' names until the comparison is there. */
export function layOutPair(state: CompareState, comparison: AdapterComparison | null): PairLayout {
  const [a, b] = state.sides.map(({ report }) => report?.grid ?? null);
  const modules = comparison
    ? comparison.modules.map((numbers) => fromNumbers(numbers, { a, b }))
    : fromHeaders(a, b);
  const given = comparison?.grid ?? {
    rows: [...(a?.rows ?? []), ...(b?.rows ?? [])],
    columns: [...(a?.columns ?? []), ...(b?.columns ?? [])],
  };
  const rows = [...new Set([...given.rows, ...modules.map(({ row }) => row)])];
  rows.sort((x, y) => Number(x === "") - Number(y === ""));
  const columns = [...new Set([...given.columns, ...modules.map(({ column }) => column)])];
  const places: (PairModule[] | null)[][] = rows.map(() => columns.map(() => null));
  const rowIndex = new Map(rows.map((key, index) => [key, index]));
  const columnIndex = new Map(columns.map((key, index) => [key, index]));
  for (const module of modules) {
    const row = places[rowIndex.get(module.row) ?? 0];
    if (row) (row[columnIndex.get(module.column) ?? 0] ??= []).push(module);
  }
  return { rows, columns, modules, places };
}

type Grid = AdapterReport["grid"] | null | undefined;

function fromNumbers(numbers: ModuleComparison, { a, b }: { a: Grid; b: Grid }): PairModule {
  const rank = (grid: Grid): number | null =>
    grid?.cells.find((cell) => cell.module === numbers.module)?.rank ?? null;
  const { module, row, column, changedBy } = numbers;
  return { module, row, column, changedBy, rankA: rank(a), rankB: rank(b), numbers };
}

function fromHeaders(a: Grid, b: Grid): PairModule[] {
  const made = new Map<string, PairModule>();
  for (const { module, row, column, rank } of a?.cells ?? []) {
    const own = { module, row, column, rankA: rank, rankB: null, numbers: null };
    made.set(module, { ...own, changedBy: "a" });
  }
  for (const { module, row, column, rank } of b?.cells ?? []) {
    const known = made.get(module);
    if (known) Object.assign(known, { changedBy: "both", rankB: rank });
    else {
      const own = { module, row, column, rankA: null, rankB: rank, numbers: null };
      made.set(module, { ...own, changedBy: "b" });
    }
  }
  return [...made.values()];
}

/** φ at the largest number of directions that both have. */
export function overlapOf(numbers: ModuleComparison | null, side: "left" | "right"): number | null {
  return numbers?.overlap?.[side].at(-1) ?? null;
}

const pairValue: Record<PairMetric, (module: PairModule) => number | null> = {
  cosine: ({ numbers }) => numbers?.cosine ?? null,
  overlap: ({ numbers }) => overlapOf(numbers, "left"),
  ratio: ({ numbers }) =>
    numbers && numbers.normA !== null && numbers.normB !== null && numbers.normA > 0
      ? numbers.normB / numbers.normA
      : null,
  normA: ({ numbers }) => numbers?.normA ?? null,
  normB: ({ numbers }) => numbers?.normB ?? null,
  conflicts: ({ numbers }) => numbers?.merge?.signConflicts ?? null,
  rankA: ({ rankA }) => rankA,
  rankB: ({ rankB }) => rankB,
};

const pairShow: Record<PairMetric, (value: number) => string> = {
  cosine: cosineText,
  overlap: (value) => format.percent(value),
  ratio: (value) => `${figures(value)}×`,
  normA: figures,
  normB: figures,
  conflicts: (value) => format.percent(value),
  rankA: String,
  rankB: String,
};

export function knownPairMetrics({ modules }: PairLayout): Set<PairMetric> {
  return new Set(
    pairMetrics.filter((name) => modules.some((module) => pairValue[name](module) !== null)),
  );
}

/** The picture of one metric. Where several modules share a cell it is their mean. */
export function pairHeat(layout: PairLayout, metric: PairMetric): HeatData {
  const show = pairShow[metric];
  const value = (modules: readonly PairModule[] | null): number | null => {
    const known = (modules ?? []).map(pairValue[metric]).filter((each) => each !== null);
    return known.length === 0 ? null : known.reduce((sum, each) => sum + each, 0) / known.length;
  };
  const values = layout.places.map((row) => row.map(value));
  const found = values.flat().filter((each) => each !== null);
  const labels = shortLabels(layout.columns);
  const line = (label: string, title: string) => ({ label, title, total: null });
  return {
    label: text.gridLabel(text.metrics[metric].label),
    rows: layout.rows.map((key) => line(layerLabel(key), key)),
    columns: layout.columns.map((key, index) => line(labels[index] ?? key, key)),
    total: null,
    cell(row, column): HeatCell | null {
      const modules = layout.places[row]?.[column];
      if (!modules) return null;
      const own = values[row]?.[column] ?? null;
      return {
        value: own,
        short: own === null ? "–" : show(own),
        spoken: pairFacts(modules),
        isMarked: modules.some(({ changedBy }) => changedBy !== "both"),
      };
    },
    scale: scaleOf(metric, found),
    show,
  };
}

function scaleOf(metric: PairMetric, found: readonly number[]): HeatData["scale"] {
  if (metric === "cosine") {
    const most = Math.max(0, ...found.map(Math.abs));
    return diverging([0.1, 0.25, 0.5].find((limit) => most <= limit) ?? 1);
  }
  if (metric === "overlap" || metric === "conflicts") {
    return sequential(found, { from: 0, to: 1, hasSteps: false });
  }
  return sequential(found, { hasSteps: metric === "rankA" || metric === "rankB" });
}

/** All that is known of the modules of a cell, on one line. */
export function pairFacts(modules: readonly PairModule[]): string {
  const [first] = modules;
  if (!first) return text.notTargeted;
  if (modules.length > 1) return text.modules(modules.length);
  const said = pairMetrics.map((name) => {
    const value = pairValue[name](first);
    return value === null ? "" : text.fact(text.metrics[name].label, pairShow[name](value));
  });
  return format.factLine(
    first.changedBy === "a" && text.onlyA,
    first.changedBy === "b" && text.onlyB,
    ...said,
    first.numbers?.reason,
  );
}

/** 0.123 → "0.12", with a minus that is as wide as a plus. */
export function cosineText(value: number): string {
  const rounded = value.toFixed(2);
  return (Number(rounded) === 0 ? "0.00" : rounded).replace("-", "−");
}

export function figures(value: number): string {
  const size = Math.abs(value);
  if (size >= 1000) return format.exactCount(Math.round(value));
  return size !== 0 && size < 1e-4 ? value.toExponential(1) : String(Number(value.toPrecision(3)));
}
