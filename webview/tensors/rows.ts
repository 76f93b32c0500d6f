/** What the table shows of a file's tensors, in which order; no page needed. */
import type { TensorRow, TensorTable } from "../../extension/protocol/tensorContract.ts";

export const sortKeys = ["name", "dtype", "shape", "bytes", "offset"] as const;
export type SortKey = (typeof sortKeys)[number];
export interface Sort {
  key: SortKey;
  isDown: boolean;
}

/** A line of the table: a tensor, or where lines are grouped a module with what lies in it. */
export type Line =
  | { kind: "tensor"; tensor: TensorRow; label: string; depth: number }
  | {
      kind: "module";
      path: string;
      label: string;
      depth: number;
      isOpen: boolean;
      tensors: number;
      values: number;
      bytes: number;
    };

export function countOf({ shape }: TensorRow): number {
  return shape.reduce((product, size) => product * size, 1);
}

/** `a.2` before `a.10`: numbers in names are compared as numbers. */
function naturalKey(name: string): string {
  return name.replace(/\d+/g, (digits) => digits.padStart(9, "0"));
}

export function sortTensors(tensors: readonly TensorRow[], { key, isDown }: Sort): TensorRow[] {
  const names = new Map(tensors.map((each) => [each, naturalKey(each.name)]));
  const byName = (a: TensorRow, b: TensorRow): number => compare(names.get(a) ?? "", names.get(b) ?? ""); // prettier-ignore
  const order: Record<SortKey, (a: TensorRow, b: TensorRow) => number> = {
    name: byName,
    dtype: (a, b) => compare(a.dtype, b.dtype),
    shape: (a, b) => countOf(a) - countOf(b),
    bytes: (a, b) => a.bytes - b.bytes,
    offset: (a, b) => a.file - b.file || a.offset - b.offset,
  };
  const sign = isDown ? -1 : 1;
  return [...tensors].sort((a, b) => sign * order[key](a, b) || byName(a, b));
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

export interface Matcher {
  matches(tensor: TensorRow): boolean;
  /** The text is meant as a regular expression and is none; it is searched for as it stands. */
  isBroken: boolean;
}

/**
 * Words that must all occur in name or dtype; with `*` or `?` a pattern for the name, between
 * slashes a regular expression.
 */
export function matcherOf(query: string): Matcher {
  const text = query.trim().toLowerCase();
  const inName = (pattern: RegExp): Matcher => ({
    matches: ({ name }) => pattern.test(name),
    isBroken: false,
  });
  const regular = /^\/(.+?)\/?$/.exec(query.trim())?.[1];
  if (regular !== undefined) {
    try {
      return inName(new RegExp(regular, "i"));
    } catch {
      return { matches: ({ name }) => name.toLowerCase().includes(text), isBroken: true };
    }
  }
  if (/[*?]/.test(text)) {
    const escaped = text.replace(/[.+^${}()|[\]\\]/g, "\\$&");
    return inName(new RegExp(escaped.replace(/\*/g, ".*").replace(/\?/g, "."), "i"));
  }
  const words = text.split(/\s+/).filter((word) => word !== "");
  return {
    isBroken: false,
    matches: ({ name, dtype }) =>
      words.every((word) => name.toLowerCase().includes(word) || dtype.toLowerCase() === word),
  };
}

interface Module {
  path: string;
  modules: Map<string, Module>;
  tensors: TensorRow[];
  count: number;
  values: number;
  bytes: number;
}

/** All tensors in a line each, or under their modules of which only the open ones show what they hold. */
export function linesOf(
  tensors: readonly TensorRow[],
  grouping: { isOpen(module: string): boolean } | null,
): Line[] {
  if (!grouping) {
    return tensors.map((tensor) => ({ kind: "tensor", tensor, label: tensor.name, depth: 0 }));
  }
  const lines: Line[] = [];
  addLines(moduleTree(tensors), { depth: 0, lines, isOpen: grouping.isOpen });
  return lines;
}

function emptyModule(path: string): Module {
  return { path, modules: new Map(), tensors: [], count: 0, values: 0, bytes: 0 };
}

function moduleTree(tensors: readonly TensorRow[]): Module {
  const root = emptyModule("");
  for (const tensor of tensors) {
    let at = root;
    for (const part of tensor.name.split(".").slice(0, -1)) {
      const path = at.path === "" ? part : `${at.path}.${part}`;
      const next = at.modules.get(part) ?? emptyModule(path);
      at.modules.set(part, next);
      at = next;
      at.count += 1;
      at.values += countOf(tensor);
      at.bytes += tensor.bytes;
    }
    at.tensors.push(tensor);
  }
  return root;
}

function addLines(
  module: Module,
  to: { depth: number; lines: Line[]; isOpen(module: string): boolean },
): void {
  const { depth, lines, isOpen } = to;
  for (let child of module.modules.values()) {
    const from = module.path === "" ? 0 : module.path.length + 1;
    // A module that holds one module alone shares its line, as folders do in the Explorer.
    while (child.tensors.length === 0 && child.modules.size === 1) {
      child = [...child.modules.values()][0] ?? child;
    }
    const { path, count, values, bytes } = child;
    const open = isOpen(path);
    const label = path.slice(from);
    lines.push({ kind: "module", path, label, depth, isOpen: open, tensors: count, values, bytes });
    if (open) addLines(child, { ...to, depth: depth + 1 });
  }
  for (const tensor of module.tensors) {
    lines.push({ kind: "tensor", tensor, label: tensor.name.split(".").at(-1) ?? "", depth });
  }
}

export interface DtypeTotal {
  dtype: string;
  tensors: number;
  values: number;
  bytes: number;
}

/** What there is of each type, the most bytes first. */
export function totalsOf(tensors: readonly TensorRow[]): DtypeTotal[] {
  const totals = new Map<string, DtypeTotal>();
  for (const tensor of tensors) {
    const own = totals.get(tensor.dtype) ?? {
      dtype: tensor.dtype,
      tensors: 0,
      values: 0,
      bytes: 0,
    };
    own.tensors += 1;
    own.values += countOf(tensor);
    own.bytes += tensor.bytes;
    totals.set(tensor.dtype, own);
  }
  return [...totals.values()].sort((a, b) => b.bytes - a.bytes);
}

/** The rows of a copied table; the file is named where there are several. */
export function tableFields(
  { files }: TensorTable,
  tensors: readonly TensorRow[],
): { headings: string[]; rows: (string | number)[][] } {
  const hasFiles = files.length > 1;
  return {
    headings: ["name", "dtype", "shape", "bytes", "begin", "end", ...(hasFiles ? ["file"] : [])],
    rows: tensors.map((each) => [
      each.name,
      each.dtype,
      each.shape.join("x"),
      each.bytes,
      each.offset,
      each.offset + each.bytes,
      ...(hasFiles ? [files[each.file]?.name ?? ""] : []),
    ]),
  };
}

/** The table as JSON, shapes as lists. */
export function tableJson({ files }: TensorTable, tensors: readonly TensorRow[]): string {
  const hasFiles = files.length > 1;
  const rows = tensors.map(({ name, dtype, shape, offset, bytes, file }) => ({
    ...{ name, dtype, shape, bytes, begin: offset, end: offset + bytes },
    ...(hasFiles && { file: files[file]?.name }),
  }));
  return `${JSON.stringify(rows, null, 2)}\n`;
}
