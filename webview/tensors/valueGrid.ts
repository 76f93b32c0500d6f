import type { Cell, ValueWindow } from "../../extension/protocol/tensorContract.ts";
import { element, setAttribute } from "../shared/element.ts";
import { type Digits, firstInView, firstWith, holds, scrollFor, showCell, windowAround } from "./valueCells.ts"; // prettier-ignore
import { text } from "./strings.ts";

const cellHeight = 22;
const cellWidth = 92;
/** Browsers lay out no more than some 33 million pixels; beyond, scrolling goes in larger steps. */
const longestWay = 8_000_000;

export interface ValueGridOptions {
  rows: number;
  columns: number;
  dtype: string;
  digits(): Digits;
  /** Rows of values; rejected when the reader has gone on. */
  read(window: Omit<ValueWindow, "leading">, signal: AbortSignal): Promise<Cell[][]>;
  onProblem(thrown: unknown): void;
}

export interface ValueGrid {
  root: HTMLElement;
  /** Reads anew: another slice. */
  reload(): void;
  /** Writes anew: other digits. */
  redraw(): void;
  goTo(row: number, column: number): void;
  /** What is in view: places, and values as they came. */
  inView(): { row: number; column: number; cells: Cell[][] };
}

interface AxisState {
  count: number;
  inView: number;
  first: number;
}

/**
 * A window on a plane of any size. The cells in view are all there are; they stand still in a layer
 * that stays in sight while the empty page behind it scrolls, and show whole rows and columns.
 */
export function valueGrid(options: ValueGridOptions): ValueGrid {
  const rows: AxisState = { count: options.rows, inView: 1, first: 0 };
  const columns: AxisState = { count: options.columns, inView: 1, first: 0 };
  const active = { row: 0, column: 0 };
  let read: { window: Omit<ValueWindow, "leading">; cells: Cell[][] } | null = null;
  let reading: { abort: AbortController; window: Omit<ValueWindow, "leading"> } | null = null;

  // As wide as the last row's number.
  const headWidth = 24 + 8 * Math.max(3, String(options.rows - 1).length);
  const layer = element("div", { class: "value-layer" });
  const space = element("div", { class: "value-space" }, layer);
  const root = element(
    "div",
    {
      class: "value-grid",
      attributes: {
        id: "values",
        role: "grid",
        tabindex: 0,
        "aria-label": text.values,
        "aria-rowcount": options.rows + 1,
        "aria-colcount": options.columns + 1,
      },
      variables: { "head-width": `${headWidth}px` },
      on: { keydown: (event) => onKey(event) },
    },
    space,
  );

  const ways = (): { down: number; across: number } => ({
    down: root.scrollHeight - root.clientHeight,
    across: root.scrollWidth - root.clientWidth,
  });

  const measure = (): void => {
    rows.inView = Math.max(1, Math.floor(root.clientHeight / cellHeight) - 1);
    columns.inView = Math.max(1, Math.floor((root.clientWidth - headWidth) / cellWidth));
    layer.style.height = `${root.clientHeight}px`;
    layer.style.width = `${root.clientWidth}px`;
    const extra = { down: rows.count - rows.inView, across: columns.count - columns.inView };
    space.style.height = `${root.clientHeight + Math.min(longestWay, Math.max(0, extra.down) * cellHeight)}px`;
    space.style.width = `${root.clientWidth + Math.min(longestWay, Math.max(0, extra.across) * cellWidth)}px`;
  };

  const scrolled = (): void => {
    const { down, across } = ways();
    // What was set below is not read back: a pixel may stand for many rows.
    if (Math.abs(root.scrollTop - expected.top) >= 1) {
      rows.first = firstInView(rows, root.scrollTop, down);
    }
    if (Math.abs(root.scrollLeft - expected.left) >= 1) {
      columns.first = firstInView(columns, root.scrollLeft, across);
    }
    expected = { top: root.scrollTop, left: root.scrollLeft };
    draw();
  };
  let expected = { top: 0, left: 0 };

  const show = (row: number, column: number): void => {
    rows.first = firstWith(rows, rows.first, row);
    columns.first = firstWith(columns, columns.first, column);
    const { down, across } = ways();
    root.scrollTop = scrollFor(rows, rows.first, down);
    root.scrollLeft = scrollFor(columns, columns.first, across);
    expected = { top: root.scrollTop, left: root.scrollLeft };
    draw();
  };

  const moveTo = (row: number, column: number): void => {
    active.row = Math.max(0, Math.min(rows.count - 1, row));
    active.column = Math.max(0, Math.min(columns.count - 1, column));
    show(active.row, active.column);
  };

  const onKey = (event: KeyboardEvent): void => {
    const page = rows.inView;
    const far = event.ctrlKey || event.metaKey;
    const { row, column } = active;
    const targets: Record<string, [number, number]> = {
      ArrowUp: [row - 1, column],
      ArrowDown: [row + 1, column],
      ArrowLeft: [row, column - 1],
      ArrowRight: [row, column + 1],
      PageUp: [row - page, column],
      PageDown: [row + page, column],
      Home: [far ? 0 : row, 0],
      End: [far ? rows.count - 1 : row, columns.count - 1],
    };
    const target = targets[event.key];
    if (!target) return;
    event.preventDefault();
    moveTo(...target);
  };

  const ask = (): void => {
    const { leading: _, ...window } = windowAround(rows, columns, []);
    if (reading && holds({ ...reading.window, leading: [] }, rows, columns)) return;
    reading?.abort.abort();
    const abort = new AbortController();
    reading = { abort, window };
    options.read(window, abort.signal).then(
      (cells) => {
        if (reading?.abort !== abort) return;
        reading = null;
        read = { window, cells };
        draw();
      },
      (thrown: unknown) => {
        if (reading?.abort !== abort) return;
        reading = null;
        options.onProblem(thrown);
      },
    );
  };

  const cellAt = (row: number, column: number): Cell | undefined =>
    read?.cells[row - read.window.row]?.[column - read.window.column];

  const draw = (): void => {
    if (root.clientWidth === 0) return;
    if (!read || !holds({ ...read.window, leading: [] }, rows, columns)) ask();
    const lines = [headLine(columns)];
    const end = Math.min(rows.count, rows.first + rows.inView + 1);
    for (let row = rows.first; row < end; row++) {
      lines.push(valueLine(row, columns, { cellAt, active, ...options, moveTo }));
    }
    layer.replaceChildren(...lines);
    const id = `value-${active.row}-${active.column}`;
    setAttribute(root, "aria-activedescendant", layer.querySelector(`#${id}`) ? id : null);
  };

  root.addEventListener("scroll", scrolled);
  new ResizeObserver(() => {
    measure();
    show(rows.first, columns.first);
  }).observe(root);
  return {
    root,
    reload() {
      read = null;
      reading?.abort.abort();
      reading = null;
      draw();
    },
    redraw: draw,
    goTo(row, column) {
      moveTo(row, column);
      root.focus();
    },
    inView: () => ({
      row: rows.first,
      column: columns.first,
      cells: Array.from({ length: Math.min(rows.inView, rows.count - rows.first) }, (_, i) =>
        Array.from(
          { length: Math.min(columns.inView, columns.count - columns.first) },
          (__, j) => cellAt(rows.first + i, columns.first + j) ?? "",
        ),
      ),
    }),
  };
}

function headLine({ first, inView, count }: AxisState): HTMLElement {
  const heads = [];
  for (let column = first; column < Math.min(count, first + inView + 1); column++) {
    heads.push(
      element(
        "div",
        { class: "value-head", attributes: { role: "columnheader", "aria-colindex": column + 2 } },
        String(column),
      ),
    );
  }
  return element(
    "div",
    { class: "value-line", attributes: { role: "row", "aria-rowindex": 1 } },
    element(
      "div",
      { class: "value-head corner", attributes: { role: "columnheader", "aria-colindex": 1 } },
      element("span", { class: "visually-hidden" }, text.row),
    ),
    ...heads,
  );
}

function valueLine(
  row: number,
  { first, inView, count }: AxisState,
  from: {
    cellAt(row: number, column: number): Cell | undefined;
    active: { row: number; column: number };
    dtype: string;
    digits(): Digits;
    moveTo(row: number, column: number): void;
  },
): HTMLElement {
  const cells = [];
  for (let column = first; column < Math.min(count, first + inView + 1); column++) {
    const cell = from.cellAt(row, column);
    const isActive = from.active.row === row && from.active.column === column;
    const shown = cell === undefined ? "…" : showCell(cell, from.dtype, from.digits());
    const isOdd = typeof cell === "string" && /NaN|Inf/.test(cell);
    cells.push(
      element(
        "div",
        {
          class: `value-cell${isActive ? " active" : ""}${isOdd ? " odd" : ""}${cell === 0 ? " zero" : ""}`,
          attributes: {
            role: "gridcell",
            id: `value-${row}-${column}`,
            "aria-colindex": column + 2,
            "aria-selected": isActive ? "true" : undefined,
            title: cell === undefined ? undefined : `[${row}, ${column}] ${cell}`,
          },
          on: { mousedown: () => from.moveTo(row, column) },
        },
        shown,
      ),
    );
  }
  return element(
    "div",
    { class: "value-line", attributes: { role: "row", "aria-rowindex": row + 2 } },
    element(
      "div",
      { class: "value-head row-head", attributes: { role: "rowheader", "aria-colindex": 1 } },
      String(row),
    ),
    ...cells,
  );
}
