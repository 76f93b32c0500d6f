import type { AdapterComparison, Advice } from "../../extension/protocol/analysisContract.ts";
import type { CompareState } from "../../extension/protocol/picturesContract.ts";
import { element } from "../shared/element.ts";
import { icon } from "../shared/icon.ts";
import { fillRows, table } from "../shared/rows.ts";
import { type FieldPair, fieldPairs } from "./configs.ts";
import { layOutPair } from "./modules.ts";
import { type Page } from "./page.ts";
import { text } from "./strings.ts";
import { mergeWords, pairWords } from "./words.ts";

/** What the two are to each other, as one paragraph. */
export function wordsSection(state: CompareState, page: Page): HTMLElement {
  const layout = layOutPair(state, page.comparison);
  const words = pairWords(state, layout, page.comparison).join(" ");
  return section("words", text.inWords, element("p", { attributes: { id: "words" } }, words));
}

/** What adding them up would do; only where numbers say so. */
export function mergeSection(comparison: AdapterComparison | null): HTMLElement | null {
  if (!comparison) return null;
  return section(
    "merging",
    text.merging,
    element("p", { class: "muted" }, text.mergingHelp),
    element("p", { attributes: { id: "merge-words" } }, mergeWords(comparison).join(" ")),
  );
}

/** Sentences that numbers back. */
export function remarksSection(advice: readonly Advice[]): HTMLElement | null {
  if (advice.length === 0) return null;
  const kinds = { error: text.error, warning: text.warning, info: text.note };
  return section(
    "remarks",
    text.remarks,
    element(
      "ul",
      {},
      ...advice.map(({ level, text: sentence }) =>
        element(
          "li",
          { class: `remark ${level}` },
          icon(level),
          element("span", { class: "visually-hidden" }, `${kinds[level]}: `),
          element("span", { class: "remark-text" }, sentence),
        ),
      ),
    ),
  );
}

/** The configs side by side. */
export function configSection(state: CompareState, page: Page): HTMLElement {
  const { ui } = page;
  const pairs = fieldPairs(state);
  const amount = pairs.filter(({ differs }) => differs).length;
  const { root, body } = table(text.config, [
    { text: text.field },
    { text: state.sides[0].name },
    { text: state.sides[1].name },
    { text: text.meaning, class: "meaning" },
  ]);
  root.classList.add("config-table");
  const render = (): void => {
    const shown = ui.onlyDifferences ? pairs.filter(({ differs }) => differs) : pairs;
    fillRows(body, shown, { columns: 4, row: fieldRow, showAll: text.showAll });
    if (shown.length > 0) return;
    const nothing = element("td", { attributes: { colspan: 4 } }, text.noDifferences);
    body.append(element("tr", {}, nothing));
  };
  const only = element(
    "vscode-checkbox",
    { attributes: { id: "only-differences" } },
    text.onlyDifferences,
  );
  only.checked = ui.onlyDifferences;
  only.addEventListener("change", () => {
    if (only.checked === ui.onlyDifferences) return;
    ui.onlyDifferences = only.checked;
    render();
    page.save();
  });
  render();
  const count = element("span", { class: "muted" }, text.differences(amount, pairs.length));
  return element(
    "section",
    { class: "config", attributes: { "aria-labelledby": "config-title" } },
    element(
      "div",
      { class: "section-head" },
      element("h2", { attributes: { id: "config-title" } }, text.config),
      element("div", { class: "section-controls" }, count, only),
    ),
    element("div", { class: "table-scroller" }, root),
  );
}

function fieldRow({ field, a, b, differs, meaning }: FieldPair): HTMLElement {
  const mark = element("span", { class: "changed-mark" }, icon("dot"), text.differs);
  const value = (shown: string | null): HTMLElement =>
    element("td", { class: shown === null ? "value muted" : "value" }, shown ?? text.absent);
  return element(
    "tr",
    { class: differs ? "changed" : "" },
    element(
      "th",
      { attributes: { scope: "row" } },
      element("span", { class: "path" }, field),
      differs && mark,
    ),
    value(a),
    value(b),
    element("td", { class: "meaning muted" }, meaning),
  );
}

function section(id: string, title: string, ...content: HTMLElement[]): HTMLElement {
  return element(
    "section",
    { class: id, attributes: { "aria-labelledby": `${id}-title` } },
    element("h2", { attributes: { id: `${id}-title` } }, title),
    ...content,
  );
}
