import { type AdapterReport, type GridCell } from "../../extension/protocol/engineContract.ts";

export type Measure = "parameters" | "rank";

/** One place of the grid; several modules share it where a model repeats a module inside a layer. */
export interface Place {
  modules: GridCell[];
  parameters: number;
  /** Smallest and largest rank here, null where the method has none. */
  rank: [number, number] | null;
  /** Some module here finds no place in the loaded base. */
  isUnbound: boolean;
}

export interface Line {
  key: string;
  label: string;
  parameters: number;
  rank: [number, number] | null;
}

export interface GridLayout {
  rows: Line[];
  columns: Line[];
  /** [row][column]; null where the adapter leaves the module alone. */
  places: (Place | null)[][];
  total: Place;
  hasUnbound: boolean;
}

/** Arranges the cells of a report by row and column, with totals; nothing is left out. */
export function layOutGrid(grid: AdapterReport["grid"], unbound: readonly string[]): GridLayout {
  const missing = new Set(unbound);
  const rowKeys = [...new Set([...grid.rows, ...grid.cells.map((cell) => cell.row)])];
  const columnKeys = [...new Set([...grid.columns, ...grid.cells.map((cell) => cell.column)])];
  // What lies outside the layers goes below them.
  rowKeys.sort((a, b) => Number(a === "") - Number(b === ""));
  const rowIndex = new Map(rowKeys.map((key, index) => [key, index]));
  const columnIndex = new Map(columnKeys.map((key, index) => [key, index]));

  const groups: GridCell[][][] = rowKeys.map(() => columnKeys.map(() => []));
  for (const cell of grid.cells) {
    groups[rowIndex.get(cell.row) ?? 0]?.[columnIndex.get(cell.column) ?? 0]?.push(cell);
  }
  const byRow = rowKeys.map((_, row) => groups[row]?.flat() ?? []);
  const byColumn = columnKeys.map((_, column) => groups.flatMap((row) => row[column] ?? []));
  const labels = shortLabels(columnKeys);
  return {
    rows: rowKeys.map((key, row) => line(key, rowLabel(key), byRow[row] ?? [])),
    columns: columnKeys.map((key, column) =>
      line(key, labels[column] ?? key, byColumn[column] ?? []),
    ),
    places: groups.map((row) =>
      row.map((cells) => (cells.length > 0 ? place(cells, missing) : null)),
    ),
    total: place(grid.cells, missing),
    hasUnbound: grid.cells.some((cell) => missing.has(cell.module)),
  };
}

function place(modules: GridCell[], missing: ReadonlySet<string>): Place {
  return {
    modules,
    parameters: modules.reduce((sum, cell) => sum + cell.parameters, 0),
    rank: rankRange(modules),
    isUnbound: modules.some((cell) => missing.has(cell.module)),
  };
}

function line(key: string, label: string, modules: GridCell[]): Line {
  const { parameters, rank } = place(modules, new Set());
  return { key, label, parameters, rank };
}

function rankRange(modules: readonly GridCell[]): [number, number] | null {
  let range: [number, number] | null = null;
  for (const { rank } of modules) {
    if (rank === null) continue;
    range = range ? [Math.min(range[0], rank), Math.max(range[1], rank)] : [rank, rank];
  }
  return range;
}

/** "0" → "layer 0"; "" → "outside layers"; anything else as it is. */
export function rowLabel(key: string): string {
  if (key === "") return "outside layers";
  return /^\d+$/.test(key) ? `layer ${key}` : key;
}

/** Column keys as short as they stay distinct: "self_attn.q_proj" → "q", "mlp.gate_proj" → "gate". */
export function shortLabels(keys: readonly string[]): string[] {
  const last = keys.map((key) => key.slice(key.lastIndexOf(".") + 1));
  const shortest = last.map((key) => key.replace(/_proj$/, ""));
  return keys.map((key, index) => {
    const candidates = [shortest, last].map((labels) => ({ labels, label: labels[index] ?? key }));
    const unique = candidates.find(
      ({ labels, label }) => label !== "" && labels.filter((other) => other === label).length === 1,
    );
    return unique?.label ?? key;
  });
}

/** What a place counts for in the picture: null is "nothing to shade". */
export function valueOf(place: Place | null, measure: Measure): number | null {
  if (!place) return null;
  return measure === "parameters" ? place.parameters : (place.rank?.[1] ?? null);
}

/**
 * The legend of a sequential palette. Few distinct values get a step each, so that the legend names
 * them all; many get a ramp between the ends. Shades run from 0 (weakest) to 1.
 */
export interface Scale {
  kind: "steps" | "ramp";
  /** For steps each value once, ascending; for a ramp its two ends. */
  values: number[];
  shade(value: number): number;
}

const mostSteps = 6;

export function scaleOf(layout: GridLayout, measure: Measure): Scale {
  const distinct = new Set<number>();
  for (const place of layout.places.flat()) {
    const value = valueOf(place, measure);
    if (value !== null) distinct.add(value);
  }
  const values = [...distinct].sort((a, b) => a - b);
  const low = values[0] ?? 0;
  const high = values.at(-1) ?? 0;
  if (values.length <= mostSteps) {
    const last = values.length - 1;
    return {
      kind: "steps",
      values,
      // A single value is neither weak nor strong.
      shade: (value) => (last === 0 ? 0.55 : values.indexOf(value) / last),
    };
  }
  return {
    kind: "ramp",
    values: [low, high],
    shade: (value) => (high === low ? 0.55 : (value - low) / (high - low)),
  };
}

export interface Position {
  row: number;
  column: number;
}

const pageOfRows = 10;

/** Where a key leads in an ARIA grid, or null when the grid does not use that key. */
export function movePosition(
  from: Position,
  key: string,
  size: { rows: number; columns: number; hasControl: boolean },
): Position | null {
  const lastRow = size.rows - 1;
  const lastColumn = size.columns - 1;
  const at = (row: number, column: number): Position => ({
    row: Math.max(0, Math.min(lastRow, row)),
    column: Math.max(0, Math.min(lastColumn, column)),
  });
  switch (key) {
    case "ArrowUp":
      return at(from.row - 1, from.column);
    case "ArrowDown":
      return at(from.row + 1, from.column);
    case "ArrowLeft":
      return at(from.row, from.column - 1);
    case "ArrowRight":
      return at(from.row, from.column + 1);
    case "Home":
      return at(size.hasControl ? 0 : from.row, 0);
    case "End":
      return at(size.hasControl ? lastRow : from.row, lastColumn);
    case "PageUp":
      return at(from.row - pageOfRows, from.column);
    case "PageDown":
      return at(from.row + pageOfRows, from.column);
    default:
      return null;
  }
}
