import type { AdapterReport } from "../../extension/protocol/reportContract.ts";
import { element } from "../shared/element.ts";
import * as format from "../shared/format.ts";
import { fillRows, table } from "../shared/rows.ts";
import { text } from "./strings.ts";
import { type Page } from "./page.ts";

type Tensor = AdapterReport["tensors"][number];

/** The section "Files": what lies on disk, and on demand every tensor in it. */
export function filesSection(report: AdapterReport, page: Page): HTMLElement {
  const { root, body } = table(text.files, [
    { text: text.name },
    { text: text.size, class: "number" },
    { text: text.dtype },
    { text: text.tensors, class: "number" },
  ]);
  fillRows(body, report.files, {
    columns: 4,
    showAll: text.showAll,
    row: (file) =>
      element(
        "tr",
        {},
        element("th", { class: "path", attributes: { scope: "row" } }, fileName(file, page)),
        element("td", { class: "number" }, format.bytes(file.bytes)),
        element("td", {}, file.dtypes.join(", ") || "–"),
        element(
          "td",
          { class: "number" },
          file.tensors === 0 ? "–" : format.exactCount(file.tensors),
        ),
      ),
  });
  return element(
    "section",
    { class: "files", attributes: { "aria-labelledby": "files-title" } },
    element("h2", { attributes: { id: "files-title" } }, text.files),
    element("div", { class: "table-scroller" }, root),
    report.tensors.length > 0 && tensorList(report.tensors, page),
  );
}

/** A file of tensors opens in the editor that shows them. */
function fileName({ name }: { name: string }, page: Page): HTMLElement | string {
  if (!name.endsWith(".safetensors")) return name;
  const title = text.openTensors(name);
  return element(
    "button",
    {
      class: "link-button path",
      attributes: { type: "button", id: `open-${name}`, title, "aria-label": title },
      on: { click: () => page.act("openTensors", { file: name }) },
    },
    name,
  );
}

function tensorList(tensors: readonly Tensor[], { ui, save }: Page): HTMLElement {
  const list = element(
    "details",
    { class: "tensors" },
    element(
      "summary",
      { attributes: { id: "tensor-list" } },
      text.tensorList(format.exactCount(tensors.length)),
    ),
  );
  // Built when first opened: most readers never do.
  const build = (): void => {
    if (list.childElementCount === 1) list.append(...tensorTable(tensors));
  };
  list.addEventListener("toggle", () => {
    if (list.open) build();
    if (ui.isTensorListOpen === list.open) return;
    ui.isTensorListOpen = list.open;
    save();
  });
  if (ui.isTensorListOpen) {
    build();
    list.open = true;
  }
  return list;
}

function tensorTable(tensors: readonly Tensor[]): HTMLElement[] {
  const { root, body } = table(text.tensors, [
    { text: text.name },
    { text: text.shape, class: "number" },
    { text: text.dtype },
    { text: text.size, class: "number" },
  ]);
  const filter = element("vscode-text-field", {
    attributes: {
      placeholder: text.filterTensors,
      "aria-label": text.filterTensors,
      id: "tensor-filter",
    },
  });
  const render = (): void => {
    const query = filter.value.trim().toLowerCase();
    const found = tensors.filter((tensor) => tensor.name.toLowerCase().includes(query));
    fillRows(body, found, { columns: 4, row: tensorRow, showAll: text.showAll });
    if (found.length === 0) {
      body.append(element("tr", {}, element("td", { attributes: { colspan: 4 } }, text.noTensors)));
    }
  };
  filter.addEventListener("input", render);
  render();
  return [
    filter,
    element("div", { class: "table-scroller tall-table", attributes: { tabindex: 0 } }, root),
  ];
}

function tensorRow(tensor: Tensor): HTMLElement {
  return element(
    "tr",
    {},
    element("th", { class: "path", attributes: { scope: "row" } }, tensor.name),
    element("td", { class: "number" }, format.shape(tensor.shape)),
    element("td", {}, tensor.dtype),
    element("td", { class: "number" }, format.bytes(tensor.bytes)),
  );
}
