import "./tensors.css";
import type {
  TensorRow,
  TensorsContract,
  TensorsHostContract,
  TensorsState,
  TensorTable,
} from "../../extension/protocol/tensorContract.ts";
import { toCsv } from "../shared/csv.ts";
import { element } from "../shared/element.ts";
import { keepFocus } from "../shared/focus.ts";
import * as format from "../shared/format.ts";
import { connectToHost, loadState, saveState } from "../shared/host.ts";
import { registerToolkit } from "../shared/toolkit.ts";
import { type DetailsActions, detailsView } from "./details.ts";
import { headerView } from "./header.ts";
import { matcherOf, tableFields, tableJson } from "./rows.ts";
import { text } from "./strings.ts";
import { type TensorTableView, tensorTable } from "./table.ts";
import { restoreUi } from "./ui.ts";

registerToolkit();

const ui = restoreUi(loadState());
const keep = (): void => saveState(ui);
const header = element("header");
const loading = element(
  "p",
  { class: "loading", attributes: { role: "status" } },
  element("vscode-progress-ring"),
  text.reading,
);
const list = element("section", { class: "list", attributes: { "aria-label": text.tensors } });
const aside = element("div", { class: "aside", attributes: { hidden: true } });
const split = element("div", { class: "split" }, list, aside);
const main = element("main", {}, header, loading);
document.body.replaceChildren(main);

let shown = "";
let current: TensorTable | null = null;
let view: TensorTableView | null = null;
/** Ends what the open details are reading. */
let details = new AbortController();

const host = connectToHost<TensorsContract, TensorsHostContract>({
  update: (next) => {
    show(next);
    return null;
  },
});

function show(state: TensorsState): void {
  const key = JSON.stringify(state);
  if (key === shown) return;
  shown = key;
  current = state.table;
  const content = state.table ? [header, split] : [header];
  keepFocus(() => {
    header.replaceChildren(...headerView(state, { follow, reload, copy }));
    main.replaceChildren(...content);
    if (state.table) showTable(state.table);
  });
}

function showTable(table: TensorTable): void {
  const search = element("vscode-text-field", {
    attributes: { id: "search", placeholder: text.search, "aria-label": text.search, title: text.searchHint }, // prettier-ignore
  });
  const said = element("span", { class: "muted", attributes: { role: "status" } });
  const group = element("vscode-checkbox", { attributes: { id: "group" } }, text.group);
  const made = tensorTable({
    table,
    sort: ui.sort,
    isGrouped: ui.isGrouped,
    opened: ui.opened,
    onSort: (sort) => {
      ui.sort = sort;
      keep();
    },
    onOpen: (tensor) => open(tensor, true),
    onCopy: copyName,
    onType: (letter) => {
      search.focus();
      search.value = letter;
      filter();
    },
  });
  view = made;
  const filter = (): void => {
    ui.search = search.value;
    keep();
    const { matches, isBroken } = matcherOf(ui.search);
    const found = table.tensors.filter(matches);
    made.show(found, ui.search.trim() !== "");
    const counted = text.shownOf(format.exactCount(found.length), format.exactCount(table.tensors.length)); // prettier-ignore
    const amount = found.length === table.tensors.length ? "" : counted;
    const nothing = table.tensors.length === 0 ? text.noTensors : text.noMatch;
    said.textContent = isBroken ? text.brokenPattern : found.length === 0 ? nothing : amount;
  };
  search.value = ui.search;
  search.addEventListener("input", filter);
  search.addEventListener("keydown", (event: KeyboardEvent) => {
    if (event.key === "Escape" && search.value !== "") search.value = "";
    else if (event.key !== "ArrowDown" && event.key !== "Enter") return;
    event.preventDefault();
    filter();
    if (event.key !== "Escape") made.focus();
  });
  group.checked = ui.isGrouped;
  group.addEventListener("change", () => {
    if (group.checked === ui.isGrouped) return;
    ui.isGrouped = group.checked;
    keep();
    made.group(ui.isGrouped);
  });
  list.replaceChildren(element("div", { class: "list-head" }, search, group, said), made.root);
  filter();
  const opened = table.tensors.find(({ name }) => name === ui.opened);
  if (opened) open(opened, false);
  else close();
}

function open(tensor: TensorRow, takesFocus: boolean): void {
  const file = current?.files[tensor.file];
  if (!file || !current) return;
  details.abort();
  details = new AbortController();
  ui.opened = tensor.name;
  keep();
  const { signal } = details;
  const hasFiles = current.files.length > 1;
  aside.replaceChildren(detailsView(tensor, file, { actions, ui, hasFiles, signal }));
  aside.hidden = false;
  view?.markOpened(tensor.name);
  if (takesFocus) document.getElementById("details")?.focus({ preventScroll: true });
}

function close(): void {
  details.abort();
  ui.opened = null;
  keep();
  aside.hidden = true;
  aside.replaceChildren();
  view?.markOpened(null);
}

aside.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  close();
  view?.focus();
});

const actions: DetailsActions = {
  statistics: (tensor, work) => host.request("statistics", { tensor }, work),
  values: (tensor, window, signal) => host.request("values", { tensor, window }, { signal }),
  save: ({ name, kind, content }) => {
    const file = { name: `${name}.${kind}`, content, base64: kind === "png" };
    void host.request("save", file).catch(() => undefined);
  },
  copyName,
  close: () => {
    close();
    view?.focus();
  },
  keep,
};

function copyName(name: string): void {
  void host.request("copy", { text: name, what: text.nameOfTensor }).catch(() => undefined);
}

/** The table as it stands: what was searched for, in its order. */
function copy(kind: "CSV" | "JSON"): void {
  if (!current) return;
  const tensors = view?.shown() ?? current.tensors;
  const { headings, rows } = tableFields(current, tensors);
  const content = kind === "CSV" ? toCsv(headings, rows) : tableJson(current, tensors);
  const what = text.tableAs(kind);
  void host.request("copy", { text: content, what }).catch(() => undefined);
}

function follow(): void {
  void host.request("follow", null).catch(() => undefined);
}

function reload(): void {
  void host.request("reload", null).then(show, failed);
}

function failed(thrown: Error): void {
  show({ name: "", table: null, problem: thrown.message, link: null });
}

void host.request("ready", null).then(show, failed);
