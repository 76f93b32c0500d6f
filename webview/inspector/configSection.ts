import { type ConfigField } from "../../extension/protocol/engineContract.ts";
import { element } from "../shared/element.ts";
import { icon } from "../shared/icon.ts";
import { fillRows, table } from "../shared/rows.ts";
import { configValue, matchFields } from "./configFields.ts";
import { text } from "./strings.ts";
import { type InspectorUi } from "./ui.ts";

/** The section "Config": every field with its value and what it means. */
export function configSection(
  fields: readonly ConfigField[],
  ui: InspectorUi,
  onChange: () => void,
): HTMLElement {
  const { root, body } = table(text.config, [
    { text: text.field },
    { text: text.value },
    { text: text.meaning, class: "meaning" },
  ]);
  root.classList.add("config-table");
  const shown = element("span", { class: "muted", attributes: { role: "status" } });
  const filter = element("vscode-text-field", {
    attributes: {
      placeholder: text.filterFields,
      "aria-label": text.filterFields,
      id: "field-filter",
    },
  });
  const only = element("vscode-checkbox", { attributes: { id: "only-changed" } }, text.onlyChanged);
  only.checked = ui.onlyChanged;
  const render = (): void => {
    const found = matchFields(fields, { query: filter.value, onlyChanged: ui.onlyChanged });
    shown.textContent =
      found.length === fields.length ? "" : text.fieldsShown(found.length, fields.length);
    fillRows(body, found, { columns: 3, row: fieldRow, showAll: text.showAll });
    if (found.length === 0) {
      body.append(element("tr", {}, element("td", { attributes: { colspan: 3 } }, text.noFields)));
    }
  };
  filter.addEventListener("input", render);
  only.addEventListener("change", () => {
    if (only.checked === ui.onlyChanged) return;
    ui.onlyChanged = only.checked;
    render();
    onChange();
  });
  render();
  return element(
    "section",
    { class: "config", attributes: { "aria-labelledby": "config-title" } },
    element(
      "div",
      { class: "section-head" },
      element("h2", { attributes: { id: "config-title" } }, text.config),
      element("div", { class: "section-controls" }, shown, only, filter),
    ),
    element("div", { class: "table-scroller" }, root),
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
