import type { PageFile } from "../../extension/protocol/picturesContract.ts";
import { choice } from "./choice.ts";
import { type Field, toCsv } from "./csv.ts";
import { element } from "./element.ts";
import { svgToPng } from "./exportPicture.ts";
import { icon } from "./icon.ts";
import { fillRows, table } from "./rows.ts";
import { text } from "./strings.ts";

export interface Column {
  text: string;
  /** How a number is shown; a saved file keeps all its digits. */
  show?: (value: number) => string;
}

export interface FigureOptions {
  /** Unique on the page. */
  id: string;
  /** What it shows: names its table, its files and its buttons. */
  title: string;
  /** Of the saved files. */
  fileName: string;
  picture(width: number): HTMLElement | SVGSVGElement;
  /** What is saved, where the picture on the page is not one. */
  svg?: () => SVGSVGElement;
  columns: readonly Column[];
  rows(): readonly (readonly Field[])[];
  /** Whether the reader wants the table in place of the picture. */
  isTable: boolean;
  onView(isTable: boolean): void;
  save(file: PageFile): void;
}

export interface Figure {
  root: HTMLElement;
  /** Choice of the view, and the buttons that save; to be put where the page wants them. */
  controls: HTMLElement;
  /** Draws anew what the options say now. */
  update(): void;
}

/** A picture, the table behind it, and the way to take either along. */
export function figure(options: FigureOptions): Figure {
  let isTable = options.isTable;
  let width = 0;
  const root = element("figure", {
    class: "figure",
    attributes: { id: options.id, "aria-label": options.title },
  });
  const update = (): void => {
    if (isTable) return root.replaceChildren(figureTable(options));
    if (width > 0) root.replaceChildren(options.picture(width));
  };
  // The first call comes when the figure is laid out: before that it has no width.
  const sizes = new ResizeObserver(() => {
    const now = Math.floor(root.clientWidth);
    if (now === width || now === 0) return;
    width = now;
    if (!isTable) update();
  });
  sizes.observe(root);
  if (isTable) update();
  const views = choice<"picture" | "table">({
    id: `${options.id}-view`,
    label: text.viewAs,
    items: [
      { value: "picture", label: text.viewPicture },
      { value: "table", label: text.viewTable },
    ],
    value: isTable ? "table" : "picture",
    onChange: (value) => {
      isTable = value === "table";
      width = root.clientWidth;
      update();
      options.onView(isTable);
    },
  });
  const controls = element(
    "div",
    { class: "figure-controls" },
    views,
    saveButton(options, "png"),
    saveButton(options, "csv"),
  );
  return { root, controls, update };
}

function saveButton(options: FigureOptions, kind: PageFile["kind"]): HTMLElement {
  const name = kind === "png" ? text.savePngOf(options.title) : text.saveCsvOf(options.title);
  return element(
    "button",
    {
      class: "quiet-button",
      attributes: {
        type: "button",
        id: `${options.id}-${kind}`,
        title: name,
        "aria-label": name,
      },
      on: { click: () => void save(options, kind) },
    },
    icon("save"),
    kind === "png" ? text.savePng : text.saveCsv,
  );
}

async function save(options: FigureOptions, kind: PageFile["kind"]): Promise<void> {
  const { fileName: name, columns } = options;
  if (kind === "csv") {
    const headings = columns.map((column) => column.text);
    return options.save({ name, kind, content: toCsv(headings, options.rows()) });
  }
  const drawn = options.svg?.() ?? options.picture(800);
  const svg = drawn instanceof SVGSVGElement ? drawn : drawn.querySelector("svg");
  if (svg) options.save({ name, kind, content: await svgToPng(svg) });
}

function figureTable({ title, columns, rows }: FigureOptions): HTMLElement {
  const all = rows();
  const isNumber = columns.map((_, at) => all.some((row) => typeof row[at] === "number"));
  const { root, body } = table(
    title,
    columns.map((column, at) => ({ text: column.text, ...(isNumber[at] && { class: "number" }) })),
  );
  fillRows(body, all, {
    columns: columns.length,
    showAll: text.showAll,
    row: (row) =>
      element(
        "tr",
        {},
        ...row.map((field, at) => {
          const shown = showField(field, columns[at]);
          return at === 0
            ? element("th", { class: "path", attributes: { scope: "row" } }, shown)
            : element("td", { class: isNumber[at] ? "number" : "" }, shown);
        }),
      ),
  });
  return element(
    "div",
    {
      class: "table-scroller tall-table",
      attributes: { tabindex: 0, role: "region", "aria-label": title },
    },
    root,
  );
}

function showField(field: Field, column: Column | undefined): string {
  if (field === null || field === "") return "–";
  return typeof field === "number" ? (column?.show?.(field) ?? String(field)) : field;
}
