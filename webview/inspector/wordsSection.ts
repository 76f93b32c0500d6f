import type { AdapterReport } from "../../extension/protocol/reportContract.ts";
import { element } from "../shared/element.ts";
import { plainWords } from "./plainWords.ts";
import { type Page } from "./page.ts";
import { text } from "./strings.ts";

/** The config as one paragraph. */
export function wordsSection(report: AdapterReport, page: Page): HTMLElement {
  return element(
    "section",
    { class: "words", attributes: { "aria-labelledby": "words-title" } },
    element("h2", { attributes: { id: "words-title" } }, text.inWords),
    element(
      "p",
      { attributes: { id: "words" } },
      plainWords(report, page.numbers.analysis).join(" "),
    ),
  );
}
