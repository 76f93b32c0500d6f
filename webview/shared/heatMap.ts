import { element } from "./element.ts";
import { heatLegend } from "./heatLegend.ts";
import { movePosition, type Position, rowWindow } from "./gridKeys.ts";
import { type HeatCell, type HeatData, type HeatLine } from "./heatData.ts";
import { text } from "./strings.ts";

export interface HeatMapOptions {
  /** Unique on the page. */
  id: string;
  data: HeatData;
  /** What marked cells are; null where none is. */
  markText: string | null;
  /** What an empty cell is. */
  emptyText: string;
  chosen: Position | null;
  detail(position: Position | null): HTMLElement[];
  /** Null: the cell that was chosen is chosen no more. */
  onChoose(position: Position | null): void;
}

/** Above these the cells get small, so that the whole picture stays in view. */
const roomyColumns = 14;
const roomyRows = 32;
/** Above this only the rows in view are drawn. */
const mostRows = 160;
const gap = 2;

/** Rows × columns as an ARIA grid with a legend, totals and a line of exact numbers below it. */
export function heatMap(options: HeatMapOptions): HTMLElement {
  const { data } = options;
  const isDense = data.columns.length > roomyColumns;
  const isTall = data.rows.length > roomyRows;
  const detail = element("div", { class: "detail", attributes: { "aria-hidden": true } });
  const grid = new Grid(options, {
    isTall,
    onPoint: (position) => detail.replaceChildren(...options.detail(position)),
  });
  detail.replaceChildren(...options.detail(options.chosen));
  return element(
    "div",
    { class: `grid-view${isDense ? " dense" : ""}${isTall ? " tall" : ""}` },
    heatLegend(options),
    grid.scroller,
    detail,
  );
}

/** The table: which rows are drawn, which cell the keyboard is at, which one is chosen. */
class Grid {
  readonly scroller: HTMLElement;
  private readonly body: HTMLTableSectionElement;
  private readonly data: HeatData;
  private readonly isLong: boolean;
  private readonly pitch: number;
  private at: Position;
  private chosen: Position | null;
  private drawn = { first: 0, end: 0 };

  constructor(
    private readonly options: HeatMapOptions,
    private readonly look: { isTall: boolean; onPoint: (position: Position | null) => void },
  ) {
    this.data = options.data;
    this.chosen = options.chosen;
    this.at = options.chosen ?? { row: 0, column: 0 };
    this.isLong = this.data.rows.length > mostRows;
    this.pitch = (look.isTall ? 14 : 24) + gap;
    this.body = element("tbody", { attributes: { role: "rowgroup" } });
    const table = this.table();
    this.scroller = element("div", { class: "grid-scroller" }, table);
    this.draw({ first: 0, end: this.isLong ? 80 : this.data.rows.length });
    if (this.isLong) {
      const look = (): void => this.drawView();
      this.scroller.addEventListener("scroll", look, { passive: true });
      requestAnimationFrame(() => this.reveal(this.at.row));
    }
    this.listen(table);
  }

  private table(): HTMLTableElement {
    const { label, rows, columns, total } = this.data;
    const hasTotals = total !== null;
    const heading = ({ label, title }: { label: string; title: string }): HTMLElement =>
      element(
        "th",
        { attributes: { role: "columnheader", scope: "col", title } },
        element("span", {}, label),
      );
    const longest = Math.max(...rows.map((row) => row.label.length), 5);
    return element(
      "table",
      {
        class: `module-grid${this.isLong ? " long" : ""}${hasTotals ? " totalled" : ""}`,
        attributes: {
          role: "grid",
          id: this.options.id,
          "aria-label": label,
          "aria-rowcount": rows.length + (hasTotals ? 2 : 1),
          "aria-colcount": columns.length + (hasTotals ? 2 : 1),
          "aria-readonly": "true",
        },
        variables: { columns: columns.length, "row-label": `${longest}ch` },
      },
      element(
        "thead",
        { attributes: { role: "rowgroup" } },
        element(
          "tr",
          { attributes: { role: "row", "aria-rowindex": 1 } },
          element("td", { class: "corner", attributes: { role: "presentation" } }),
          ...columns.map(heading),
          hasTotals && heading({ label: text.total, title: text.total }),
        ),
      ),
      this.body,
      hasTotals && this.foot(total),
    );
  }

  private foot(total: string): HTMLElement {
    return element(
      "tfoot",
      { attributes: { role: "rowgroup" } },
      element(
        "tr",
        { attributes: { role: "row", "aria-rowindex": this.data.rows.length + 2 } },
        rowHeading(text.total, text.total),
        ...this.data.columns.map((column) => totalCell(column.total)),
        totalCell(total),
      ),
    );
  }

  private drawView(): void {
    const { scrollTop, clientHeight } = this.scroller;
    const window = rowWindow(
      { top: scrollTop, height: clientHeight },
      { count: this.data.rows.length, height: this.pitch },
    );
    if (window.first === this.drawn.first && window.end === this.drawn.end) return;
    const hadFocus = this.body.contains(document.activeElement);
    this.draw(window);
    if (hadFocus) this.element(this.at)?.focus({ preventScroll: true });
  }

  private draw({ first, end }: { first: number; end: number }): void {
    const count = this.data.rows.length;
    this.drawn = { first, end: Math.min(end, count) };
    const rows = [];
    for (let row = first; row < this.drawn.end; row++) rows.push(this.row(row));
    this.body.replaceChildren(
      ...spacer(first * this.pitch),
      ...rows,
      ...spacer((count - this.drawn.end) * this.pitch),
    );
    // The keyboard comes in at a cell that is there.
    if (!this.element(this.at)) {
      this.body.querySelector<HTMLElement>("[data-row]")?.setAttribute("tabindex", "0");
    }
  }

  private row(row: number): HTMLTableRowElement {
    const line = this.data.rows[row] ?? { label: "", title: "", total: null };
    return element(
      "tr",
      { attributes: { role: "row", "aria-rowindex": row + 2 } },
      rowHeading(line.label, line.title),
      ...this.data.columns.map((_, column) => this.cell({ row, column }, line)),
      this.data.total !== null && totalCell(line.total),
    );
  }

  private cell(position: Position, line: HeatLine): HTMLElement {
    const { row, column } = position;
    const cell = this.data.cell(row, column);
    const value = cell?.value ?? null;
    const shade = value === null ? null : this.data.scale.shade(value);
    const place = text.place(line.label, this.data.columns[column]?.label ?? "");
    const isAt = row === this.at.row && column === this.at.column;
    return element("td", {
      class: cellClass(cell, shade),
      attributes: {
        role: "gridcell",
        id: this.cellId(position),
        tabindex: isAt ? 0 : -1,
        "data-row": row,
        "data-column": column,
        "data-short": cell?.short,
        "aria-selected": cell ? String(isSame(this.chosen, position)) : undefined,
        "aria-label": `${place}: ${cell?.spoken ?? this.options.emptyText}`,
      },
      variables: shade === null ? {} : { shade: Math.abs(shade).toFixed(3) },
    });
  }

  private listen(table: HTMLElement): void {
    const point = (position: Position | null): void => {
      if (position) this.look.onPoint(position);
    };
    table.addEventListener("pointerover", (event) => point(positionOf(event.target)));
    // Leaving with the pointer shows again what has the focus, or what is chosen.
    table.addEventListener("pointerleave", () =>
      this.look.onPoint(positionOf(document.activeElement) ?? this.chosen),
    );
    table.addEventListener("focusin", (event) => {
      const position = positionOf(event.target);
      if (!position) return;
      this.moveTo(position);
      point(position);
    });
    table.addEventListener("click", (event) => {
      const position = positionOf(event.target);
      if (!position) return;
      this.element(position)?.focus({ preventScroll: true });
      this.choose(position);
    });
    table.addEventListener("keydown", (event) => this.onKey(event));
  }

  private onKey(event: KeyboardEvent): void {
    const from = positionOf(event.target);
    if (!from || event.altKey || event.metaKey) return;
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      return this.choose(from);
    }
    const size = { rows: this.data.rows.length, columns: this.data.columns.length };
    const to = movePosition(from, event.key, { ...size, hasControl: event.ctrlKey });
    if (!to) return;
    event.preventDefault();
    this.reveal(to.row);
    this.element(to)?.focus();
  }

  private choose(position: Position): void {
    if (!this.data.cell(position.row, position.column)) return;
    const before = this.chosen;
    this.chosen = isSame(before, position) ? null : position;
    if (before) this.element(before)?.setAttribute("aria-selected", "false");
    if (this.chosen) this.element(this.chosen)?.setAttribute("aria-selected", "true");
    this.options.onChoose(this.chosen);
  }

  private moveTo(position: Position): void {
    for (const each of this.body.querySelectorAll('[data-row][tabindex="0"]')) {
      each.setAttribute("tabindex", "-1");
    }
    this.at = position;
    this.element(position)?.setAttribute("tabindex", "0");
  }

  /** Scrolls a row that is not drawn into view. */
  private reveal(row: number): void {
    if (row >= this.drawn.first && row < this.drawn.end) return;
    this.scroller.scrollTop = row * this.pitch - this.scroller.clientHeight / 2;
    this.drawView();
  }

  private element(position: Position): HTMLElement | null {
    return this.body.querySelector(`#${CSS.escape(this.cellId(position))}`);
  }

  private cellId({ row, column }: Position): string {
    return `${this.options.id}-${row}-${column}`;
  }
}

function cellClass(cell: HeatCell | null, shade: number | null): string {
  if (!cell) return "empty";
  const kind = shade === null ? "unknown" : shade < 0 ? "cell negative" : "cell";
  return cell.isMarked ? `${kind} marked` : kind;
}

function spacer(height: number): HTMLElement[] {
  if (height === 0) return [];
  const made = element("tr", { class: "spacer", attributes: { "aria-hidden": true } });
  made.style.height = `${height}px`;
  return [made];
}

function rowHeading(label: string, title: string): HTMLElement {
  return element("th", { attributes: { role: "rowheader", scope: "row", title } }, label);
}

function totalCell(total: string | null): HTMLElement {
  return element(
    "td",
    { class: "total", attributes: { role: "gridcell" } },
    element("span", {}, total ?? "–"),
  );
}

function positionOf(target: EventTarget | null): Position | null {
  if (!(target instanceof HTMLElement) || target.dataset["row"] === undefined) return null;
  return { row: Number(target.dataset["row"]), column: Number(target.dataset["column"]) };
}

function isSame(a: Position | null, b: Position): boolean {
  return a?.row === b.row && a.column === b.column;
}
