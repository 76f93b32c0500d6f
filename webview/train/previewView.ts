import type { DataPreview } from "../../extension/protocol/trainingContract.ts";
import { element } from "../shared/element.ts";
import * as format from "../shared/format.ts";
import type { PreviewState } from "./hints.ts";
import { text } from "./strings.ts";

export interface PreviewActions {
  openFile(file: string, line: number): void;
  /** Learns from the rest; null where that was chosen. */
  leaveOut: (() => void) | null;
}

/** The first texts as the model sees them; what is not learned is grey. */
export function previewView(state: PreviewState, on: PreviewActions): HTMLElement[] {
  const heading = element("h3", {}, text.preview);
  switch (state.kind) {
    case "none":
      return [heading, element("p", { class: "hint" }, text.previewEmpty)];
    case "reading":
      return [
        heading,
        element("p", { class: "hint", attributes: { role: "status" } }, text.previewing),
      ];
    case "failed":
      // Why stands at the files.
      return [heading, element("p", { class: "hint" }, text.previewFailed)];
    case "shown":
      return [heading, ...shown(state.preview, on)];
    default:
      return state satisfies never;
  }
}

function shown(preview: DataPreview, on: PreviewActions): HTMLElement[] {
  const { training, evaluation, notes } = preview;
  const facts = format.factLine(
    text.formats[preview.format],
    text.examples(format.exactCount(training.examples)),
    text.tokens(format.exactCount(training.tokens)),
    text.learned(format.exactCount(training.learnedTokens)),
    evaluation.examples > 0 && text.evaluation(format.exactCount(evaluation.examples)),
    training.cut > 0 && text.cutTexts(format.exactCount(training.cut)),
    !preview.isWhole && text.partly,
  );
  return [
    element("p", { class: "facts", attributes: { id: "preview-facts" } }, facts),
    ...notes.map((note) => element("p", { class: "hint" }, note)),
    ...problems(preview, on),
    element("p", { class: "hint" }, text.previewHint),
    ...preview.examples.map(exampleView),
  ];
}

function exampleView(
  { segments, label, tokens }: DataPreview["examples"][number],
  at: number,
): HTMLElement {
  const spans = segments.map((segment) =>
    element("span", { class: segment.isLearned ? "learned" : "masked" }, segment.text),
  );
  const facts = format.factLine(
    text.example(at + 1),
    text.tokens(format.exactCount(tokens)),
    label !== undefined && text.label(label),
  );
  return element(
    "figure",
    { class: "example" },
    element("figcaption", {}, facts),
    element(
      "div",
      { class: "seen", attributes: { tabindex: 0, role: "group", "aria-label": facts } },
      ...spans,
    ),
  );
}

function problems(
  { broken, problems: found }: DataPreview,
  { openFile, leaveOut }: PreviewActions,
): HTMLElement[] {
  if (broken === 0) return [];
  const rows = found.slice(0, 10).map(({ file, line, message }) =>
    element(
      "li",
      {},
      element(
        "button",
        {
          class: "link-button",
          attributes: { type: "button", title: file },
          on: { click: () => openFile(file, line) },
        },
        text.atLine(line),
      ),
      ` ${message}`,
    ),
  );
  const count = text.broken(format.exactCount(broken));
  return [
    element(
      "div",
      { class: "problem", attributes: { role: "alert", id: "broken" } },
      count,
      element("ul", {}, ...rows),
      leaveOut &&
        element(
          "button",
          {
            class: "link-button",
            attributes: { type: "button", id: "leave-out" },
            on: { click: leaveOut },
          },
          text.leaveOut,
        ),
    ),
  ];
}
