import { type GridCell } from "../../extension/protocol/engineContract.ts";
import { element } from "../shared/element.ts";
import * as format from "../shared/format.ts";
import {
  type GridLayout,
  type Line,
  type Measure,
  movePosition,
  type Place,
  type Position,
  type Scale,
  scaleOf,
  valueOf,
} from "./grid.ts";
import { text } from "./strings.ts";

/** Above these the cells get small, so that the whole adapter stays in view. */
const roomyColumns = 14;
const roomyRows = 32;

/** Layer × module as an ARIA grid with a legend, totals and a line of exact numbers below it. */
export function gridView(layout: GridLayout, measure: Measure): HTMLElement {
  const scale = scaleOf(layout, measure);
  const detail = element("div", { class: "detail", attributes: { "aria-hidden": true } });
  const showDetail = (position: Position | null): void => {
    detail.replaceChildren(...detailOf(layout, position));
  };
  showDetail(null);
  const isDense = layout.columns.length > roomyColumns;
  const grid = gridTable(layout, { measure, scale, onPoint: showDetail });
  return element(
    "div",
    {
      class: `grid-view${isDense ? " dense" : ""}${layout.rows.length > roomyRows ? " tall" : ""}`,
    },
    legend(scale, layout.hasUnbound),
    element("div", { class: "grid-scroller" }, grid),
    detail,
  );
}

interface GridOptions {
  measure: Measure;
  scale: Scale;
  onPoint: (position: Position) => void;
}

function gridTable(layout: GridLayout, options: GridOptions): HTMLTableElement {
  const { measure } = options;
  const title = measure === "parameters" ? text.showParameters : text.showRank;
  const size = { rows: layout.rows.length, columns: layout.columns.length };
  const rows = layout.rows.map((row, index) => gridRow(layout, row, { ...options, index }));
  const grid = element(
    "table",
    {
      class: "module-grid",
      attributes: {
        role: "grid",
        "aria-label": text.gridLabel(title),
        "aria-rowcount": size.rows + 2,
        "aria-colcount": size.columns + 2,
        "aria-readonly": "true",
      },
      variables: { columns: size.columns },
    },
    element(
      "thead",
      { attributes: { role: "rowgroup" } },
      element(
        "tr",
        { attributes: { role: "row" } },
        element("td", { class: "corner" }),
        ...layout.columns.map((column) => columnHeading(column.label, column.key)),
        columnHeading(text.total, text.total),
      ),
    ),
    element("tbody", { attributes: { role: "rowgroup" } }, ...rows),
    element(
      "tfoot",
      { attributes: { role: "rowgroup" } },
      element(
        "tr",
        { attributes: { role: "row" } },
        rowHeading(text.total, text.total),
        ...layout.columns.map((column) => totalCell(column, measure)),
        totalCell(layout.total, measure),
      ),
    ),
  );
  walk(grid, size, options.onPoint);
  return grid;
}

function gridRow(
  layout: GridLayout,
  row: Line,
  options: GridOptions & { index: number },
): HTMLTableRowElement {
  const { measure, scale, index } = options;
  const places = layout.places[index] ?? [];
  return element(
    "tr",
    { attributes: { role: "row" } },
    rowHeading(row.label, row.key),
    ...places.map((place, column) => {
      const value = valueOf(place, measure);
      const name = layout.columns[column]?.label ?? "";
      const kind = value === null ? "empty" : place?.isUnbound === true ? "cell unbound" : "cell";
      return element("td", {
        class: kind,
        attributes: {
          role: "gridcell",
          id: `cell-${index}-${column}`,
          tabindex: index === 0 && column === 0 ? 0 : -1,
          "data-row": index,
          "data-column": column,
          "aria-label": `${text.place(row.label, name)}: ${spoken(place)}`,
        },
        variables: value === null ? {} : { shade: scale.shade(value).toFixed(3) },
      });
    }),
    totalCell(row, measure),
  );
}

function columnHeading(label: string, title: string): HTMLElement {
  return element(
    "th",
    { attributes: { role: "columnheader", scope: "col", title } },
    element("span", {}, label),
  );
}

function rowHeading(label: string, title: string): HTMLElement {
  return element("th", { attributes: { role: "rowheader", scope: "row", title } }, label);
}

function totalCell(line: Pick<Line, "parameters" | "rank">, measure: Measure): HTMLElement {
  return element(
    "td",
    { class: "total", attributes: { role: "gridcell" } },
    element(
      "span",
      {},
      measure === "parameters" ? format.count(line.parameters) : rankText(line.rank),
    ),
  );
}

/** Roving focus by arrow keys, and pointing: both name a position. */
function walk(
  grid: HTMLElement,
  size: { rows: number; columns: number },
  onPoint: (position: Position) => void,
): void {
  let current: HTMLElement | null = grid.querySelector("#cell-0-0");
  const cellAt = ({ row, column }: Position): HTMLElement | null =>
    grid.querySelector(`#cell-${row}-${column}`);
  const positionOf = (target: EventTarget | null): Position | null => {
    if (!(target instanceof HTMLElement) || target.dataset["row"] === undefined) return null;
    return { row: Number(target.dataset["row"]), column: Number(target.dataset["column"]) };
  };
  grid.addEventListener("pointerover", (event) => {
    const position = positionOf(event.target);
    if (position) onPoint(position);
  });
  // Leaving with the pointer shows the cell that has the focus again, if one has.
  grid.addEventListener("pointerleave", () => {
    const position = positionOf(document.activeElement);
    if (position) onPoint(position);
  });
  grid.addEventListener("focusin", (event) => {
    const position = positionOf(event.target);
    if (!position) return;
    current?.setAttribute("tabindex", "-1");
    current = event.target as HTMLElement;
    current.setAttribute("tabindex", "0");
    onPoint(position);
  });
  grid.addEventListener("click", (event) => {
    if (positionOf(event.target)) (event.target as HTMLElement).focus({ preventScroll: true });
  });
  grid.addEventListener("keydown", (event) => {
    const from = positionOf(event.target);
    if (!from || event.altKey || event.metaKey) return;
    const to = movePosition(from, event.key, { ...size, hasControl: event.ctrlKey });
    if (!to) return;
    event.preventDefault();
    cellAt(to)?.focus();
  });
}

function legend(scale: Scale, hasUnbound: boolean): HTMLElement {
  const swatch = (kind: string, shade: number, label: string): HTMLElement =>
    element(
      "li",
      {},
      element("span", { class: `swatch ${kind}`, variables: { shade: shade.toFixed(3) } }),
      label,
    );
  const [low, high] = [scale.values[0] ?? 0, scale.values.at(-1) ?? 0];
  const values =
    scale.kind === "steps"
      ? scale.values.map((value) => swatch("cell", scale.shade(value), format.exactCount(value)))
      : [
          element(
            "li",
            {},
            format.exactCount(low),
            element("span", { class: "ramp" }),
            format.exactCount(high),
          ),
        ];
  return element(
    "ul",
    { class: "legend", attributes: { "aria-label": text.legend } },
    ...values,
    swatch("empty", 0, text.notTargeted),
    hasUnbound && swatch("cell unbound", 0.3, text.notInBase),
  );
}

function detailOf(layout: GridLayout, position: Position | null): HTMLElement[] {
  if (!position) return [element("span", { class: "muted" }, text.gridHelp)];
  const place = layout.places[position.row]?.[position.column] ?? null;
  const row = layout.rows[position.row]?.label ?? "";
  const column = layout.columns[position.column]?.label ?? "";
  const first = place?.modules[0];
  if (!place || !first) {
    return [
      element("strong", {}, text.place(row, column)),
      element("span", { class: "muted" }, text.notTargeted),
    ];
  }
  const name =
    place.modules.length === 1
      ? first.module
      : text.cellModules(place.modules.length, first.module);
  return [
    element("strong", { class: "path" }, name),
    element("span", { class: "numbers" }, facts(place)),
  ];
}

function spoken(place: Place | null): string {
  return place ? facts(place) : text.notTargeted;
}

function facts(place: Place): string {
  const [first] = place.modules;
  const isSingle = place.modules.length === 1;
  return format.factLine(
    place.rank && text.rank(rankText(place.rank)),
    isSingle && isNumber(first?.alpha) && text.alpha(format.plain(first.alpha)),
    isSingle && isNumber(first?.scaling) && text.scale(format.scale(first.scaling)),
    text.cellParameters(format.exactCount(place.parameters)),
    isSingle && first?.shape && text.cellInOut(format.shape(first.shape)),
    [...new Set(place.modules.map((cell) => cell.dtype))].join(", "),
    place.isUnbound && text.notInBase,
  );
}

function isNumber(value: number | null | undefined): value is number {
  return typeof value === "number";
}

export function rankText(rank: GridCell["rank"] | [number, number]): string {
  if (rank === null) return "–";
  if (typeof rank === "number") return String(rank);
  return rank[0] === rank[1] ? String(rank[0]) : `${rank[0]}–${rank[1]}`;
}
