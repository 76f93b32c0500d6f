import * as format from "../shared/format.ts";
import { type HeatCell, type HeatData } from "../shared/heatData.ts";
import { layerLabel, shortLabels } from "../shared/labels.ts";
import { type ColourScale, sequential } from "../shared/scale.ts";
import { type GridLayout, type Module, type Place } from "./grid.ts";
import { text } from "./strings.ts";

export const metricNames = [
  "parameters",
  "rank",
  "norm",
  "relative",
  "effectiveRank",
  "largest",
  "intruders",
] as const;
export type Metric = (typeof metricNames)[number];

interface MetricInfo {
  /** Of modules together; null is "not known" or "has none". */
  value(modules: readonly Module[]): number | null;
  show(value: number): string;
  /** Whether lines have a total that says something. */
  hasTotal: boolean;
}

const metrics: Record<Metric, MetricInfo> = {
  parameters: {
    value: (modules) => sum(modules.map(({ parameters }) => parameters)),
    show: (value) => format.exactCount(value),
    hasTotal: true,
  },
  rank: {
    value: (modules) => largest(modules.map(({ rank }) => rank)),
    show: (value) => String(value),
    hasTotal: false,
  },
  norm: {
    value: (modules) => root(modules.map(({ analysis }) => analysis?.norm ?? null)),
    show: figures,
    hasTotal: true,
  },
  relative: {
    value: relative,
    show: (value) => format.percent(value),
    hasTotal: true,
  },
  effectiveRank: {
    value: (modules) =>
      mean(modules.map(({ analysis }) => analysis?.spectrum?.effectiveRank ?? null)),
    show: (value) => value.toFixed(1),
    hasTotal: false,
  },
  largest: {
    value: (modules) => largest(modules.map(({ analysis }) => analysis?.spectrum?.values[0])),
    show: figures,
    hasTotal: false,
  },
  intruders: {
    value: (modules) => sum(modules.map((module) => module.intruders?.intruders ?? null)),
    show: (value) => String(value),
    hasTotal: true,
  },
};

/** Metrics that some module has a number for. */
export function knownMetrics({ modules }: GridLayout): Set<Metric> {
  return new Set(
    metricNames.filter((name) => modules.some((each) => metrics[name].value([each]) !== null)),
  );
}

/** The picture of one metric. */
export function heatData(layout: GridLayout, metric: Metric): HeatData {
  const { value, show, hasTotal } = metrics[metric];
  const values = layout.places.map((row) => row.map((place) => place && value(place.modules)));
  const found = values.flat().filter((each) => each !== null);
  const total = (modules: readonly Module[]): string | null => {
    const all = hasTotal ? value(modules) : null;
    return all === null ? null : shortTotal(metric, all);
  };
  const byRow = groups(layout.modules, ({ row }) => row);
  const byColumn = groups(layout.modules, ({ column }) => column);
  const labels = shortLabels(layout.columns);
  return {
    label: text.gridLabel(text.metrics[metric].label),
    rows: layout.rows.map((key) => ({
      label: layerLabel(key),
      title: key,
      total: total(byRow.get(key) ?? []),
    })),
    columns: layout.columns.map((key, index) => ({
      label: labels[index] ?? key,
      title: key,
      total: total(byColumn.get(key) ?? []),
    })),
    total: hasTotal ? (total(layout.modules) ?? "–") : null,
    cell(row, column): HeatCell | null {
      const place = layout.places[row]?.[column];
      if (!place) return null;
      const own = values[row]?.[column] ?? null;
      return {
        value: own,
        short: own === null ? "–" : shortTotal(metric, own),
        spoken: facts(place),
        isMarked: place.isUnbound,
      };
    },
    scale: scaleOf(metric, found),
    show,
  };
}

function scaleOf(metric: Metric, values: readonly number[]): ColourScale {
  const isCount = metric === "parameters" || metric === "rank" || metric === "intruders";
  return sequential(values, { hasSteps: isCount });
}

/** All that is known of a place, on one line. */
export function facts(place: Place): string {
  const [first] = place.modules;
  const isSingle = place.modules.length === 1;
  const said = (["norm", "relative", "effectiveRank", "largest", "intruders"] as const).map(
    (name) => {
      const value = metrics[name].value(place.modules);
      const { label } = text.metrics[name];
      return value === null ? "" : text.fact(label, metrics[name].show(value));
    },
  );
  const reason = isSingle ? first?.analysis?.reason : undefined;
  return format.factLine(
    rankRange(place.modules),
    isSingle && isNumber(first?.alpha) && text.alpha(format.plain(first.alpha)),
    isSingle && isNumber(first?.scaling) && text.scale(format.scale(first.scaling)),
    text.parameters(format.exactCount(sum(place.modules.map((m) => m.parameters)) ?? 0)),
    isSingle && first?.shape && text.cellInOut(format.shape(first.shape)),
    [...new Set(place.modules.map((cell) => cell.dtype))].join(", "),
    ...said,
    place.isUnbound && text.notInBase,
    reason,
  );
}

function rankRange(modules: readonly Module[]): string {
  const ranks = modules.flatMap(({ rank }) => (rank === null ? [] : [rank]));
  if (ranks.length === 0) return "";
  const [low, high] = [Math.min(...ranks), Math.max(...ranks)];
  return text.rank(low === high ? String(low) : `${low}–${high}`);
}

/** Three significant figures: 0.01234 → "0.0123", 12345 → "12,345". */
export function figures(value: number): string {
  const size = Math.abs(value);
  if (size >= 1000) return format.exactCount(Math.round(value));
  if (size !== 0 && size < 1e-4) return value.toExponential(1);
  return String(Number(value.toPrecision(3)));
}

function shortTotal(metric: Metric, value: number): string {
  return metric === "parameters" ? format.count(value) : metrics[metric].show(value);
}

type Maybe = number | null | undefined;

function isNumber(value: Maybe): value is number {
  return typeof value === "number";
}

function sum(values: readonly Maybe[]): number | null {
  const known = values.filter(isNumber);
  return known.length === 0 ? null : known.reduce((all, each) => all + each, 0);
}

function mean(values: readonly Maybe[]): number | null {
  const known = values.filter(isNumber);
  const all = sum(known);
  return all === null ? null : all / known.length;
}

function largest(values: readonly Maybe[]): number | null {
  const known = values.filter(isNumber);
  return known.length === 0 ? null : known.reduce((most, each) => Math.max(most, each));
}

function root(values: readonly Maybe[]): number | null {
  const squares = sum(values.filter(isNumber).map((value) => value * value));
  return squares === null ? null : Math.sqrt(squares);
}

/** ‖ΔW‖ / ‖W‖ over modules as one vector. */
function relative(modules: readonly Module[]): number | null {
  const pairs = modules.flatMap(({ analysis }) =>
    isNumber(analysis?.norm) && isNumber(analysis.baseNorm)
      ? [{ norm: analysis.norm, base: analysis.baseNorm }]
      : [],
  );
  const base = root(pairs.map((pair) => pair.base));
  const norm = root(pairs.map((pair) => pair.norm));
  return base === null || norm === null || base === 0 ? null : norm / base;
}

function groups(
  modules: readonly Module[],
  keyOf: (module: Module) => string,
): Map<string, Module[]> {
  const made = new Map<string, Module[]>();
  for (const module of modules) {
    const key = keyOf(module);
    const group = made.get(key);
    if (group) group.push(module);
    else made.set(key, [module]);
  }
  return made;
}
