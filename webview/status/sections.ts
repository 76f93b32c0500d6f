import type { LayerStatus, ModelStatusResult } from "../../extension/protocol/reportContract.ts";
import type { StatusState } from "../../extension/protocol/webviewContract.ts";
import { element } from "../shared/element.ts";
import * as format from "../shared/format.ts";
import { icon } from "../shared/icon.ts";
import { fillRows, table } from "../shared/rows.ts";
import { compareAdapters, type FactRow, matchLayers, modelFacts } from "./facts.ts";
import { text } from "./strings.ts";

/** What the reader chose on this page. */
export interface Ui {
  onlyDifferences: boolean;
  filter: string;
}

interface Actions {
  openInspector(path: string): void;
  loadAdapter(): void;
}

/** Which base, how many adapters, and what to do where there is none. */
export function headerView(state: StatusState, actions: Actions): HTMLElement {
  const { host, adapters, status, problem } = state;
  if (problem !== null) return notice(text.noStatus, problem);
  const base = host.base?.name;
  const title = base === undefined ? text.noBase : text.title(base);
  const facts = format.factLine(
    text.adapterCount(adapters.length),
    text.activeCount(host.active.length),
    status && text.trainable(format.exactCount(status.trainableParams)),
    status && text.allParameters(format.count(status.totalParams)),
  );
  const load = element(
    "vscode-button",
    { attributes: { id: "load" }, on: { click: () => actions.loadAdapter() } },
    text.loadAdapter,
  );
  return element(
    "header",
    {},
    element("h1", {}, title),
    element("p", { class: "facts" }, adapters.length === 0 ? text.none : facts),
    adapters.length === 0 && element("div", { class: "buttons" }, load),
  );
}

function notice(title: string, detail: string): HTMLElement {
  const words = element(
    "div",
    { class: "notice-text" },
    element("span", { class: "notice-title" }, title),
    element("p", {}, detail),
  );
  return element(
    "div",
    { class: "notice error", attributes: { role: "alert" } },
    icon("error"),
    words,
  );
}

/** The facts of all adapters, a column each. */
export function adaptersSection(
  state: StatusState,
  {
    ui,
    change,
    openInspector,
  }: { ui: Ui; change: (next: Partial<Ui>) => void } & Pick<Actions, "openInspector">,
): HTMLElement {
  const isComparison = state.adapters.length > 1;
  const rows = compareAdapters(state).filter(
    ({ differs }) => !isComparison || !ui.onlyDifferences || differs,
  );
  const { root, body } = table(text.compare, [{ text: text.fact, class: "fact" }]);
  root.classList.add("compare-table");
  root.tHead?.rows[0]?.append(
    ...state.adapters.map(({ name, path }) =>
      element(
        "th",
        { attributes: { scope: "col" } },
        nameButton(name, () => openInspector(path)),
      ),
    ),
  );
  body.append(...rows.map((row) => factRow(row, isComparison)));
  const only = element(
    "vscode-checkbox",
    { attributes: { id: "only-differences" } },
    text.onlyDifferences,
  );
  only.checked = ui.onlyDifferences;
  only.addEventListener("change", () => {
    if (only.checked !== ui.onlyDifferences) change({ onlyDifferences: only.checked });
  });
  return section("compare", text.compare, isComparison ? [only] : [], root);
}

function nameButton(name: string, open: () => void): HTMLElement {
  const attributes = { type: "button", id: `inspect-${name}`, title: text.inspect(name) };
  return element("button", { class: "name", attributes, on: { click: open } }, name);
}

function factRow({ label, values, differs }: FactRow, isComparison: boolean): HTMLElement {
  const mark =
    isComparison && differs
      ? element("span", { class: "differs-mark" }, icon("dot"), text.differs)
      : null;
  return element(
    "tr",
    { class: differs && isComparison ? "differs" : "" },
    element("th", { class: "fact", attributes: { scope: "row" } }, label, mark),
    ...values.map((value) => element("td", {}, value === "" ? "–" : value)),
  );
}

/** PEFT's get_model_status; where layers disagree it says so. */
export function modelSection(status: ModelStatusResult): HTMLElement {
  const { root, body } = table(text.model, [
    { text: text.fact },
    { text: text.value },
    { text: text.meaning, class: "meaning" },
  ]);
  body.append(
    ...modelFacts(status).map(({ label, value, meaning, isIrregular }) =>
      element(
        "tr",
        { class: isIrregular ? "irregular" : "" },
        element("th", { attributes: { scope: "row" } }, label),
        element("td", { class: "value" }, isIrregular && icon("warning"), value),
        element(
          "td",
          { class: "meaning muted" },
          isIrregular ? `${meaning}. ${text.irregularMeaning}` : meaning,
        ),
      ),
    ),
  );
  return section("model", text.model, [], root);
}

/** PEFT's get_layer_status: every module that an adapter changes. */
export function layersSection(layers: readonly LayerStatus[], ui: Ui): HTMLElement {
  const { root, body } = table(text.layers, [
    { text: text.module },
    { text: text.layerType },
    { text: text.adapters },
    { text: text.active },
    { text: text.merged },
  ]);
  const shown = element("span", { class: "muted", attributes: { role: "status" } });
  const filter = element("vscode-text-field", {
    attributes: {
      placeholder: text.filterLayers,
      "aria-label": text.filterLayers,
      id: "layer-filter",
    },
  });
  filter.value = ui.filter;
  const render = (): void => {
    ui.filter = filter.value;
    const found = matchLayers(layers, filter.value);
    const isAll = found.length === layers.length;
    shown.textContent = isAll ? "" : text.layersShown(found.length, layers.length);
    fillRows(body, found, { columns: 5, row: layerRow, showAll: text.showAll });
    if (found.length > 0) return;
    body.append(element("tr", {}, element("td", { attributes: { colspan: 5 } }, text.noLayers)));
  };
  filter.addEventListener("input", render);
  render();
  return section("layers", text.layers, [shown, filter], root, "tall-table");
}

function layerRow(layer: LayerStatus): HTMLElement {
  const list = (names: readonly string[]): string => names.join(", ") || "–";
  const own = layer.activeAdapters.filter((name) => layer.availableAdapters.includes(name));
  return element(
    "tr",
    {},
    element("th", { class: "path", attributes: { scope: "row" } }, layer.name),
    element("td", {}, layer.moduleType),
    element("td", {}, list(layer.availableAdapters)),
    element("td", {}, list(own)),
    element("td", {}, list(layer.mergedAdapters)),
  );
}

function section(
  id: string,
  title: string,
  controls: readonly HTMLElement[],
  content: HTMLElement,
  look = "",
): HTMLElement {
  return element(
    "section",
    { class: id, attributes: { "aria-labelledby": `${id}-title` } },
    element(
      "div",
      { class: "section-head" },
      element("h2", { attributes: { id: `${id}-title` } }, title),
      element("div", { class: "section-controls" }, ...controls),
    ),
    element(
      "div",
      {
        class: `table-scroller ${look}`,
        attributes: { tabindex: 0, role: "region", "aria-label": title },
      },
      content,
    ),
  );
}
