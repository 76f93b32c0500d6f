import type { AdapterReport, ConfigField } from "../../extension/protocol/reportContract.ts";
import { element } from "../shared/element.ts";
import { icon } from "../shared/icon.ts";
import { fillRows, table } from "../shared/rows.ts";
import { configValue, matchFields } from "../shared/configFields.ts";
import { type Checkbox } from "../shared/toolkit.ts";
import { text } from "./strings.ts";
import { type Page } from "./page.ts";

/** The section "Config": every field with its value and what it means, and beside it the file itself. */
export function configSection({ config, rawConfig }: AdapterReport, page: Page): HTMLElement {
  const { ui } = page;
  const shown = element("span", { class: "muted", attributes: { role: "status" } });
  const filter = element("vscode-text-field", {
    attributes: {
      placeholder: text.filterFields,
      "aria-label": text.filterFields,
      id: "field-filter",
    },
  });
  const only = checkbox("only-changed", text.onlyChanged, ui.onlyChanged);
  const raw = checkbox("show-raw", text.raw, ui.isRawOpen);
  const { root, render } = fieldTable(config, {
    query: () => filter.value,
    onlyChanged: () => ui.onlyChanged,
    onCount: (found) => {
      shown.textContent = found === config.length ? "" : text.fieldsShown(found, config.length);
    },
  });
  const panes = element(
    "div",
    { class: "config-panes" },
    element("div", { class: "table-scroller" }, root),
  );
  const renderRaw = (): void => {
    panes.classList.toggle("with-raw", ui.isRawOpen);
    panes.querySelector(".raw")?.remove();
    if (ui.isRawOpen) panes.append(rawPane(rawConfig));
  };
  filter.addEventListener("input", render);
  only.addEventListener("change", () => {
    if (only.checked === ui.onlyChanged) return;
    ui.onlyChanged = only.checked;
    render();
    page.save();
  });
  raw.addEventListener("change", () => {
    if (raw.checked === ui.isRawOpen) return;
    ui.isRawOpen = raw.checked;
    renderRaw();
    page.save();
  });
  render();
  renderRaw();
  const heading = element("h2", { attributes: { id: "config-title" } }, text.config);
  const controls = element("div", { class: "section-controls" }, shown, only, raw, filter);
  return element(
    "section",
    { class: "config", attributes: { "aria-labelledby": "config-title" } },
    element("div", { class: "section-head" }, heading, controls),
    panes,
  );
}

function checkbox(id: string, label: string, checked: boolean): Checkbox {
  const made = element("vscode-checkbox", { attributes: { id } }, label);
  made.checked = checked;
  return made;
}

function fieldTable(
  fields: readonly ConfigField[],
  filter: { query(): string; onlyChanged(): boolean; onCount(found: number): void },
): { root: HTMLElement; render(): void } {
  const { root, body } = table(text.config, [
    { text: text.field },
    { text: text.value },
    { text: text.meaning, class: "meaning" },
  ]);
  root.classList.add("config-table");
  const render = (): void => {
    const onlyChanged = filter.onlyChanged();
    const found = matchFields(fields, { query: filter.query(), onlyChanged });
    filter.onCount(found.length);
    fillRows(body, found, { columns: 3, row: fieldRow, showAll: text.showAll });
    if (found.length === 0) {
      body.append(element("tr", {}, element("td", { attributes: { colspan: 3 } }, text.noFields)));
    }
  };
  return { root, render };
}

function rawPane(rawConfig: string): HTMLElement {
  return element(
    "pre",
    { class: "raw", attributes: { tabindex: 0, role: "region", "aria-label": text.raw } },
    rawConfig,
  );
}

function fieldRow(field: ConfigField): HTMLElement {
  const value = configValue(field.value);
  return element(
    "tr",
    { class: field.changed ? "changed" : "" },
    element(
      "th",
      { attributes: { scope: "row" } },
      element("span", { class: "path" }, field.field),
      field.changed &&
        element(
          "span",
          { class: "changed-mark", attributes: { title: text.changedHelp } },
          icon("dot"),
          text.changed,
        ),
    ),
    element(
      "td",
      { class: `value${value.isQuiet ? " muted" : ""}` },
      value.rest === ""
        ? value.start
        : element(
            "details",
            { class: "long-value" },
            element("summary", {}, `${value.start}…`),
            value.start + value.rest,
          ),
    ),
    element(
      "td",
      { class: field.meaning === "" ? "meaning muted" : "meaning" },
      field.meaning === "" ? text.unknownField : field.meaning,
    ),
  );
}
