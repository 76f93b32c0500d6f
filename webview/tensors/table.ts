import type { TensorRow, TensorTable } from "../../extension/protocol/tensorContract.ts";
import { element, setAttribute } from "../shared/element.ts";
import * as format from "../shared/format.ts";
import { icon } from "../shared/icon.ts";
import { virtualList } from "../shared/virtualList.ts";
import { type Line, linesOf, type Sort, type SortKey, sortKeys, sortTensors } from "./rows.ts";
import { text } from "./strings.ts";

const rowHeight = 24;
/** Bytes of both ends in one cell, with the digits grouped. */
const titles: Record<SortKey, string> = {
  name: text.name,
  dtype: text.dtype,
  shape: text.shape,
  bytes: text.size,
  offset: text.offsets,
};

export interface TableOptions {
  table: TensorTable;
  sort: Sort;
  isGrouped: boolean;
  /** The tensor whose details are open. */
  opened: string | null;
  onSort(sort: Sort): void;
  onOpen(tensor: TensorRow): void;
  onCopy(name: string): void;
  /** A letter was typed on the table. */
  onType(letter: string): void;
}

export interface TensorTableView {
  root: HTMLElement;
  /** Shows these of the tensors. @param isSearch all modules are open, to show what was found */
  show(found: readonly TensorRow[], isSearch: boolean): void;
  /** The tensors in the order in which they stand. */
  shown(): readonly TensorRow[];
  group(isGrouped: boolean): void;
  markOpened(name: string | null): void;
  focus(): void;
}

/** The list of tensors: a grid of which only the rows in view exist. */
export function tensorTable(options: TableOptions): TensorTableView {
  let { sort, isGrouped, opened } = options;
  let found: readonly TensorRow[] = [];
  let sorted: TensorRow[] = [];
  let lines: Line[] = [];
  let active = 0;
  let isSearch = false;
  const toggled = new Map<string, boolean>();
  const hasFiles = options.table.files.length > 1;

  const body = element("div", { class: "tensor-body", attributes: { role: "rowgroup" } });
  const head = element("div", { class: "tensor-head", attributes: { role: "rowgroup" } });
  const root = element(
    "div",
    {
      class: `tensor-grid${hasFiles ? " has-files" : ""}`,
      attributes: {
        id: "tensor-grid",
        role: "grid",
        tabindex: 0,
        "aria-label": text.tensors,
        "aria-colcount": hasFiles ? 6 : 5,
        "aria-description": text.openHint,
      },
      on: { keydown: (event) => onKey(event) },
    },
    head,
    body,
  );
  const list = virtualList({
    scroller: root,
    body,
    rowHeight,
    headHeight: rowHeight,
    row: (index) => rowView(lines[index] as Line, index),
  });

  const isOpen = (module: string): boolean =>
    isSearch || (toggled.get(module) ?? module.split(".").length === 1);

  const relist = (): void => {
    lines = linesOf(sorted, isGrouped ? { isOpen } : null);
    active = Math.max(0, Math.min(active, lines.length - 1));
    setAttribute(root, "aria-rowcount", String(lines.length + 1));
    setAttribute(root, "role", isGrouped ? "treegrid" : "grid");
    list.update(lines.length);
    setAttribute(root, "aria-activedescendant", lines.length > 0 ? `tensor-${active}` : null);
  };

  const activate = (index: number, reveal = true): void => {
    const before = active;
    active = Math.max(0, Math.min(lines.length - 1, index));
    list.redraw(before);
    if (reveal) list.reveal(active);
    list.redraw(active);
    setAttribute(root, "aria-activedescendant", lines.length > 0 ? `tensor-${active}` : null);
  };

  const toggle = (module: string, open: boolean): void => {
    toggled.set(module, open);
    relist();
  };

  const enter = (line: Line | undefined): void => {
    if (line?.kind === "tensor") options.onOpen(line.tensor);
    if (line?.kind === "module") toggle(line.path, !line.isOpen);
  };

  const onKey = (event: KeyboardEvent): void => {
    const page = list.pageSize();
    const to = {
      ArrowUp: active - 1,
      ArrowDown: active + 1,
      PageUp: active - page,
      PageDown: active + page,
      Home: 0,
      End: lines.length - 1,
    }[event.key];
    const line = lines[active];
    const isPlain = !event.ctrlKey && !event.metaKey && !event.altKey;
    if (event.target !== root) return;
    if (to !== undefined) activate(to);
    else if (event.key === "Enter") enter(line);
    else if (event.key === "ArrowRight" || event.key === "ArrowLeft") step(event.key);
    else if (event.key === "c" && (event.ctrlKey || event.metaKey) && line) {
      options.onCopy(line.kind === "tensor" ? line.tensor.name : line.path);
    } else if (isPlain && event.key.length === 1 && event.key !== " ") options.onType(event.key);
    else return;
    event.preventDefault();
  };

  /** Into a module and out of it, as in a tree. */
  const step = (key: "ArrowRight" | "ArrowLeft"): void => {
    const line = lines[active];
    if (!line || !isGrouped) return;
    if (key === "ArrowRight") {
      if (line.kind === "module" && !line.isOpen) return toggle(line.path, true);
      return activate(active + 1);
    }
    if (line.kind === "module" && line.isOpen) return toggle(line.path, false);
    const parent = lines.findLastIndex((each, at) => at < active && each.depth < line.depth);
    if (parent >= 0) activate(parent);
  };

  const paintHead = (): void => {
    const cells = sortKeys.map((key) => headCell(key, sort, () => setSort(key)));
    if (hasFiles) {
      const attributes = { role: "columnheader" };
      cells.push(element("div", { class: "cell file", attributes }, text.file));
    }
    const attributes = { role: "row", "aria-rowindex": 1 };
    head.replaceChildren(element("div", { class: "tensor-row head", attributes }, ...cells));
  };

  const setSort = (key: SortKey): void => {
    sort = { key, isDown: sort.key === key ? !sort.isDown : key === "bytes" || key === "shape" };
    sorted = sortTensors(found, sort);
    paintHead();
    relist();
    head.querySelector<HTMLElement>(`#sort-${key}`)?.focus();
    options.onSort(sort);
  };

  const rowView = (line: Line, index: number): HTMLElement => {
    const isActive = index === active;
    const isOpened = line.kind === "tensor" && line.tensor.name === opened;
    return element(
      "div",
      {
        class: `tensor-row ${line.kind}${isActive ? " active" : ""}${isOpened ? " opened" : ""}`,
        attributes: {
          role: "row",
          id: `tensor-${index}`,
          "aria-rowindex": index + 2,
          "aria-selected": isOpened ? "true" : "false",
          "aria-level": isGrouped ? line.depth + 1 : undefined,
          "aria-expanded": line.kind === "module" ? String(line.isOpen) : undefined,
        },
        variables: { depth: line.depth },
        on: {
          click: () => {
            activate(index, false);
            enter(line);
          },
        },
      },
      ...(line.kind === "module"
        ? moduleCells(line, hasFiles)
        : tensorCells(line.tensor, line.label, hasFiles ? options.table : null)),
    );
  };

  paintHead();
  return {
    root,
    show(tensors, search) {
      found = tensors;
      isSearch = search;
      sorted = sortTensors(found, sort);
      active = Math.max(
        0,
        sorted.findIndex(({ name }) => name === opened),
      );
      if (isGrouped) active = 0;
      relist();
      if (lines.length > 0) list.reveal(active);
    },
    shown: () => sorted,
    group(grouped) {
      isGrouped = grouped;
      active = 0;
      relist();
    },
    markOpened(name) {
      opened = name;
      lines.forEach((line, index) => {
        if (line.kind === "tensor") list.redraw(index);
      });
    },
    focus: () => root.focus(),
  };
}

function headCell(key: SortKey, sort: Sort, onSort: () => void): HTMLElement {
  const isSorted = sort.key === key;
  const direction = sort.isDown ? "descending" : "ascending";
  const attributes = { role: "columnheader", "aria-sort": isSorted ? direction : "none" };
  const button = element(
    "button",
    {
      attributes: { type: "button", id: `sort-${key}`, title: text.sortBy(titles[key]) },
      on: { click: onSort },
    },
    titles[key],
    isSorted && element("span", { class: `arrow ${direction}` }, icon("chevron")),
  );
  return element("div", { class: `cell ${key}`, attributes }, button);
}

function tensorCells(tensor: TensorRow, label: string, table: TensorTable | null): HTMLElement[] {
  const { name, dtype, shape, bytes, offset } = tensor;
  const range = `${format.exactCount(offset)} – ${format.exactCount(offset + bytes)}`;
  const cells = [
    // A direction of its own: narrow pages cut names off at their beginning.
    gridCell("name", element("bdi", {}, label), name),
    gridCell("dtype", dtype),
    gridCell("shape", format.shape(shape)),
    gridCell("bytes", format.bytes(bytes), format.exactCount(bytes)),
    gridCell("offset", range),
  ];
  const file = table?.files[tensor.file]?.name;
  return table ? [...cells, gridCell("file", file ?? "", file)] : cells;
}

function moduleCells(line: Line & { kind: "module" }, hasFiles: boolean): HTMLElement[] {
  const { path, label, isOpen, tensors, values, bytes } = line;
  const attributes = { role: "gridcell", title: path };
  const name = element(
    "div",
    { class: "cell name", attributes },
    element("span", { class: `twistie${isOpen ? " open" : ""}` }, icon("chevron")),
    element("span", { class: "label" }, label),
  );
  return [
    name,
    gridCell("dtype", text.tensorCount(format.exactCount(tensors), tensors)),
    gridCell("shape", text.valueCount(format.count(values))),
    gridCell("bytes", format.bytes(bytes), format.exactCount(bytes)),
    gridCell("offset", ""),
    ...(hasFiles ? [gridCell("file", "")] : []),
  ];
}

function gridCell(kind: string, shown: string | HTMLElement, title?: string): HTMLElement {
  return element("div", { class: `cell ${kind}`, attributes: { role: "gridcell", title } }, shown);
}
