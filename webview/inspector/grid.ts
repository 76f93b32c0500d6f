import type {
  AdapterAnalysis,
  IntruderAnalysis,
  ModuleAnalysis,
  ModuleIntruders,
} from "../../extension/protocol/analysisContract.ts";
import type { AdapterReport, GridCell } from "../../extension/protocol/reportContract.ts";
import { layerLabel } from "../shared/labels.ts";

/** A module with all that is known of it so far. */
export interface Module extends GridCell {
  analysis: ModuleAnalysis | null;
  intruders: ModuleIntruders | null;
}

/** One place of the grid; several modules share it where a model repeats a module inside a layer. */
export interface Place {
  modules: Module[];
  /** Some module here finds no place in the loaded base. */
  isUnbound: boolean;
}

export interface GridLayout {
  rows: string[];
  columns: string[];
  /** [row][column]; null where the adapter leaves the module alone. */
  places: (Place | null)[][];
  /** All modules, in the order of the report. */
  modules: Module[];
  hasUnbound: boolean;
}

export interface Numbers {
  analysis: AdapterAnalysis | null;
  intruders: IntruderAnalysis | null;
}

/** Arranges modules by row and column; nothing is left out. */
export function layOutGrid(report: AdapterReport, { analysis, intruders }: Numbers): GridLayout {
  const modules = joined(report.grid.cells, { analysis, intruders });
  const { rows, columns } = analysis && analysis.modules.length > 0 ? analysis.grid : report.grid;
  const rowKeys = [...new Set([...rows, ...modules.map(({ row }) => row)])];
  const columnKeys = [...new Set([...columns, ...modules.map(({ column }) => column)])];
  const isMore = rowKeys.length > rows.length;
  if (isMore) rowKeys.sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  // What lies outside the layers goes below them.
  rowKeys.sort((a, b) => Number(a === "") - Number(b === ""));
  const missing = new Set(report.fit?.unbound);
  const places: (Place | null)[][] = rowKeys.map(() => columnKeys.map(() => null));
  const rowIndex = new Map(rowKeys.map((key, index) => [key, index]));
  const columnIndex = new Map(columnKeys.map((key, index) => [key, index]));
  for (const module of modules) {
    const row = places[rowIndex.get(module.row) ?? 0];
    const column = columnIndex.get(module.column) ?? 0;
    if (!row) continue;
    const place = (row[column] ??= { modules: [], isUnbound: false });
    place.modules.push(module);
    if (missing.has(module.module)) place.isUnbound = true;
  }
  return {
    rows: rowKeys,
    columns: columnKeys,
    places,
    modules,
    hasUnbound: modules.some(({ module }) => missing.has(module)),
  };
}

/**
 * The report's modules with their numbers, and those that only the analysis knows. A file may name
 * its modules otherwise than the model has them (experts one by one): then the model's names count.
 */
function joined(cells: readonly GridCell[], { analysis, intruders }: Numbers): Module[] {
  const numbers = new Map(analysis?.modules.map((module) => [module.module, module]));
  const found = new Map(intruders?.modules.map((module) => [module.module, module]));
  const isOther = numbers.size > 0 && !cells.some(({ module }) => numbers.has(module));
  const known = (isOther ? [] : cells).map((cell): Module => {
    const own = numbers.get(cell.module) ?? null;
    numbers.delete(cell.module);
    const place = own ? { row: own.row, column: own.column } : {};
    return { ...cell, ...place, analysis: own, intruders: found.get(cell.module) ?? null };
  });
  const others = [...numbers.values()].map(({ kind: _, ...own }): Module => {
    const { row, column, module, parameters, rank, alpha, scaling, shape } = own;
    const cell = { row, column, module, parameters, rank, alpha, scaling, shape, dtype: "" };
    const analysis = numbers.get(module) ?? null;
    return { ...cell, analysis, intruders: found.get(module) ?? null };
  });
  return [...known, ...others];
}

/** Where a module stands, or null. */
export function placeOf(
  { places }: GridLayout,
  module: string | null,
): { row: number; column: number } | null {
  if (module === null) return null;
  for (const [row, line] of places.entries()) {
    const column = line.findIndex((place) => place?.modules.some((each) => each.module === module));
    if (column >= 0) return { row, column };
  }
  return null;
}

export const rowLabel = layerLabel;
