import type { CompareSide, CompareState } from "../../extension/protocol/picturesContract.ts";
import { element } from "../shared/element.ts";
import * as format from "../shared/format.ts";
import { icon } from "../shared/icon.ts";
import { type Page } from "./page.ts";
import { text } from "./strings.ts";

/** The two adapters beside each other, and what can be done with them together. */
export function headerView(state: CompareState, page: Page, failure: string | null): HTMLElement[] {
  const [a, b] = state.sides;
  const isReadable = a.report !== null && b.report !== null;
  const runs = [a, b].every(({ report }) => report && report.summary.problem === undefined);
  const isSameMethod = a.report?.summary.peftType === b.report?.summary.peftType;
  return [
    element("h1", {}, text.title(a.name, b.name)),
    element("div", { class: "sides" }, sideCard(a, 0, page), sideCard(b, 1, page)),
    element(
      "div",
      { class: "buttons" },
      button("mix", text.mix, { page, isPrimary: true, isDisabled: !runs }),
      button("combine", text.combine, { page, isDisabled: !runs || !isSameMethod }),
      button("swap", text.swap, { page, isDisabled: !isReadable }),
    ),
    ...(failure === null ? [] : [notice(text.failed, failure)]),
    ...state.sides.flatMap(({ name, problem }) =>
      problem === null ? [] : [notice(text.unreadable(name), problem)],
    ),
  ];
}

function sideCard({ name, path, report }: CompareSide, side: 0 | 1, page: Page): HTMLElement {
  const letter = side === 0 ? text.sideA : text.sideB;
  const facts = report
    ? format.factLine(
        report.summary.method,
        report.summary.rank !== null && text.rank(String(report.summary.rank)),
        text.modules(report.totals.modules),
        text.parameters(format.count(report.totals.parameters)),
        report.totals.dtypes.join(", "),
        format.bytes(report.totals.bytes),
      )
    : "";
  return element(
    "div",
    { class: "side" },
    element("span", { class: "side-letter", attributes: { "aria-hidden": true } }, letter),
    element(
      "div",
      { class: "side-text" },
      element(
        "button",
        {
          class: "link-button side-name",
          attributes: {
            type: "button",
            id: `inspect-${side}`,
            title: path,
            "aria-label": `${letter}: ${text.open(name)}`,
          },
          on: { click: () => page.inspect(path) },
        },
        name,
      ),
      element("p", { class: "facts" }, facts),
    ),
    element(
      "button",
      {
        class: "quiet-button",
        attributes: { type: "button", id: `change-${side}`, "aria-label": text.change(letter) },
        on: { click: () => page.chooseSide(side) },
      },
      text.changeShort,
    ),
  );
}

function button(
  action: "swap" | "mix" | "combine",
  label: string,
  look: { page: Page; isPrimary?: boolean; isDisabled: boolean },
): HTMLElement {
  const made = element(
    "vscode-button",
    {
      attributes: { id: action, appearance: look.isPrimary === true ? "primary" : "secondary" },
      on: { click: () => look.page.act(action) },
    },
    label,
  );
  made.disabled = look.isDisabled;
  return made;
}

export function notice(title: string, detail: string): HTMLElement {
  return element(
    "div",
    { class: "notice error", attributes: { role: "alert" } },
    icon("error"),
    element(
      "div",
      { class: "notice-text" },
      element("span", { class: "notice-title" }, title),
      element("p", {}, detail),
    ),
  );
}
