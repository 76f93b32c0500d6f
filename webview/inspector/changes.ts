import { type AdapterReport, type GridCell } from "../../extension/protocol/engineContract.ts";
import { choice } from "../shared/choice.ts";
import { element } from "../shared/element.ts";
import * as format from "../shared/format.ts";
import { fillRows, table } from "../shared/rows.ts";
import { layOutGrid, type Measure } from "./grid.ts";
import { gridView, rankText } from "./gridView.ts";
import { text } from "./strings.ts";
import { type InspectorUi } from "./ui.ts";

/** The section "What it changes": the grid, or the same data as a table. */
export function changesSection(
  report: AdapterReport,
  ui: InspectorUi,
  onChange: () => void,
): HTMLElement {
  const layout = layOutGrid(report.grid, report.fit?.unbound ?? []);
  const heading = element("h2", { attributes: { id: "changes-title" } }, text.whatItChanges);
  const section = element("section", {
    class: "changes",
    attributes: { "aria-labelledby": "changes-title" },
  });
  if (report.grid.cells.length === 0) {
    section.append(heading, element("p", { class: "muted" }, text.nothingChanged));
    return section;
  }
  const body = element("div", { class: "changes-body" });
  const hasRank = layout.total.rank !== null;
  const measure = (): Measure => (hasRank ? ui.measure : "parameters");
  const render = (): void => {
    body.replaceChildren(
      ui.view === "grid" ? gridView(layout, measure()) : cellTable(report.grid.cells),
    );
    measureChoice.hidden = ui.view === "table";
  };
  const measureChoice = choice<Measure>({
    id: "measure",
    label: text.show,
    items: [
      { value: "parameters", label: text.showParameters },
      { value: "rank", label: text.showRank, disabled: !hasRank },
    ],
    value: measure(),
    onChange: (value) => {
      ui.measure = value;
      render();
      onChange();
    },
  });
  const viewChoice = choice<InspectorUi["view"]>({
    id: "view",
    label: text.viewAs,
    items: [
      { value: "grid", label: text.viewGrid },
      { value: "table", label: text.viewTable },
    ],
    value: ui.view,
    onChange: (value) => {
      ui.view = value;
      render();
      onChange();
    },
  });
  render();
  section.append(
    element(
      "div",
      { class: "section-head" },
      heading,
      element("div", { class: "section-controls" }, measureChoice, viewChoice),
    ),
    body,
  );
  return section;
}

function cellTable(cells: readonly GridCell[]): HTMLElement {
  const { root, body } = table(text.whatItChanges, [
    { text: text.module },
    { text: text.showRank, class: "number" },
    { text: text.alphaHeading, class: "number" },
    { text: text.scaleHeading, class: "number" },
    { text: text.inOut, class: "number" },
    { text: text.showParameters, class: "number" },
    { text: text.dtype },
  ]);
  const number = (content: string): HTMLElement => element("td", { class: "number" }, content);
  fillRows(body, cells, {
    columns: 7,
    showAll: text.showAll,
    row: (cell) =>
      element(
        "tr",
        {},
        element("th", { class: "path", attributes: { scope: "row" } }, cell.module),
        number(rankText(cell.rank)),
        number(cell.alpha === null ? "–" : format.plain(cell.alpha)),
        number(cell.scaling === null ? "–" : format.scale(cell.scaling)),
        number(cell.shape ? format.shape(cell.shape) : "–"),
        number(format.exactCount(cell.parameters)),
        element("td", {}, cell.dtype),
      ),
  });
  return element("div", { class: "table-scroller tall-table", attributes: { tabindex: 0 } }, root);
}
