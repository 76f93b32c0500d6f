import type { TensorsState, TensorTable } from "../../extension/protocol/tensorContract.ts";
import { element } from "../shared/element.ts";
import * as format from "../shared/format.ts";
import { table } from "../shared/rows.ts";
import { notice } from "./notice.ts";
import { totalsOf } from "./rows.ts";
import { text } from "./strings.ts";

export interface HeaderActions {
  follow(): void;
  reload(): void;
  copy(kind: "CSV" | "JSON"): void;
}

/** Name, facts, ways on, and what the header says besides its tensors. */
export function headerView(state: TensorsState, actions: HeaderActions): HTMLElement[] {
  const { table: found, problem, link, name } = state;
  if (!found) {
    return [
      element("h1", {}, text.unreadable(name)),
      notice("error", null, problem ?? ""),
      element(
        "div",
        { class: "buttons" },
        button("reload", text.tryAgain, () => actions.reload()),
        ...linkButton(link, actions),
      ),
    ];
  }
  return [
    element(
      "div",
      { class: "title-line" },
      element("h1", { attributes: { title: found.files[0]?.path } }, name),
      element(
        "div",
        { class: "buttons" },
        ...linkButton(link, actions),
        button("copy-csv", text.copyCsv, () => actions.copy("CSV")),
        button("copy-json", text.copyJson, () => actions.copy("JSON")),
      ),
    ),
    element("p", { class: "facts" }, factsOf(found)),
    ...(found.problems.length > 0 ? [notice("warning", text.partly, ...found.problems)] : []),
    element("div", { class: "about" }, totalsView(found), metadataView(found)),
  ];
}

function linkButton(link: TensorsState["link"], actions: HeaderActions): HTMLElement[] {
  if (link === null) return [];
  const label = link === "adapter" ? text.inspectAdapter : text.loadBase;
  return [button("follow", label, () => actions.follow())];
}

function button(id: string, label: string, run: () => void): HTMLElement {
  const attributes = { id, appearance: "secondary" };
  return element("vscode-button", { attributes, on: { click: run } }, label);
}

function factsOf({ files, tensors }: TensorTable): string {
  const totals = totalsOf(tensors);
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
  const header = files.reduce((sum, file) => sum + file.dataStart, 0);
  return format.factLine(
    text.tensorCount(format.exactCount(tensors.length), tensors.length),
    text.valueCount(format.count(totals.reduce((sum, each) => sum + each.values, 0))),
    totals.map(({ dtype }) => dtype).join(", "),
    format.bytes(bytes),
    text.headerSize(format.bytes(header)),
    files.length > 1 && text.fileCount(files.length),
  );
}

function totalsView({ tensors }: TensorTable): HTMLElement {
  const { root, body } = table(text.totals, [
    { text: text.dtype },
    { text: text.tensors, class: "number" },
    { text: text.values, class: "number" },
    { text: text.size, class: "number" },
  ]);
  body.append(
    ...totalsOf(tensors).map((each) =>
      element(
        "tr",
        {},
        element("th", { attributes: { scope: "row" } }, each.dtype),
        element("td", { class: "number" }, format.exactCount(each.tensors)),
        element("td", { class: "number" }, format.count(each.values)),
        element("td", { class: "number" }, format.bytes(each.bytes)),
      ),
    ),
  );
  return disclosure("totals", text.totals, root);
}

function metadataView({ files }: TensorTable): HTMLElement {
  const entries = files.flatMap(({ name, metadata }) =>
    Object.entries(metadata).map(([key, value]) => ({ name, key, value })),
  );
  if (entries.length === 0) {
    return disclosure("metadata", text.metadata, element("p", { class: "muted" }, text.noMetadata));
  }
  const hasFiles = new Set(entries.map(({ name }) => name)).size > 1;
  const { root, body } = table(text.metadata, [
    ...(hasFiles ? [{ text: text.file }] : []),
    { text: text.key },
    { text: text.value },
  ]);
  body.append(
    ...entries.map(({ name, key, value }) =>
      element(
        "tr",
        {},
        hasFiles && element("td", { class: "path" }, name),
        element("th", { class: "path", attributes: { scope: "row" } }, key),
        element("td", { class: "metadata-value" }, value),
      ),
    ),
  );
  return disclosure("metadata", `${text.metadata} (${entries.length})`, root);
}

function disclosure(id: string, title: string, content: HTMLElement): HTMLElement {
  const attributes = { tabindex: 0, role: "region", "aria-label": title };
  return element(
    "details",
    { attributes: { id } },
    element("summary", { attributes: { id: `${id}-summary` } }, title),
    element("div", { class: "table-scroller about-table", attributes }, content),
  );
}
