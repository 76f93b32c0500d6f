import type { Advice } from "../../extension/protocol/analysisContract.ts";
import { element } from "../shared/element.ts";
import { icon } from "../shared/icon.ts";
import { type Page } from "./page.ts";
import { text } from "./strings.ts";

/** The section "What stands out": sentences that numbers back, each with what can be done about it. */
export function remarksSection(advice: readonly Advice[], page: Page): HTMLElement | null {
  if (advice.length === 0) return null;
  return element(
    "section",
    { class: "remarks", attributes: { "aria-labelledby": "remarks-title" } },
    element("h2", { attributes: { id: "remarks-title" } }, text.remarks),
    element("ul", {}, ...advice.map((each, index) => remark(each, index, page))),
  );
}

function remark(advice: Advice, index: number, page: Page): HTMLElement {
  const { level, text: sentence, modules } = advice;
  const kind = { error: text.error, warning: text.warning, info: text.note }[level];
  return element(
    "li",
    { class: `remark ${level}` },
    icon(level),
    element("span", { class: "visually-hidden" }, `${kind}: `),
    element("span", { class: "remark-text" }, sentence),
    ...actionsOf(advice, index, page),
    modules.length > 0 &&
      element(
        "details",
        { class: "remark-modules" },
        element("summary", {}, text.showModules(modules.length)),
        element("ul", { class: "paths" }, ...modules.map((module) => moduleLink(module, page))),
      ),
  );
}

function moduleLink(module: string, page: Page): HTMLElement {
  const link = element(
    "button",
    {
      class: "link-button path",
      attributes: { type: "button" },
      on: { click: () => page.choose(module) },
    },
    module,
  );
  return element("li", {}, link);
}

function actionsOf({ kind, rank }: Advice, index: number, page: Page): HTMLElement[] {
  const action = (name: string, label: string, run: () => void): HTMLElement =>
    element(
      "vscode-button",
      { attributes: { id: `${name}-${index}`, appearance: "secondary" }, on: { click: run } },
      label,
    );
  if (kind === "resize" && rank !== undefined) {
    return [action("resize", text.resize(rank), () => page.act("resize", { rank }))];
  }
  return [];
}
