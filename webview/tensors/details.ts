import type {
  Cell,
  TensorFile,
  TensorRef,
  TensorRow,
  TensorStatistics,
  ValueWindow,
} from "../../extension/protocol/tensorContract.ts";
import type { ProgressEvent } from "../../extension/protocol/engineContract.ts";
import { element } from "../shared/element.ts";
import type { FigureOptions } from "../shared/figure.ts";
import * as format from "../shared/format.ts";
import { icon } from "../shared/icon.ts";
import { countOf } from "./rows.ts";
import { statisticsSection } from "./statistics.ts";
import { text } from "./strings.ts";
import type { Digits } from "./valueCells.ts";
import { valuesSection } from "./values.ts";

/** What the reader has chosen in the details, kept from one tensor to the next. */
export interface DetailsUi {
  digits: Digits;
  isHistogramTable: boolean;
}

export interface DetailsActions {
  statistics(
    tensor: TensorRef,
    work: { signal: AbortSignal; onEvent(event: ProgressEvent): void },
  ): Promise<TensorStatistics>;
  values(tensor: TensorRef, window: ValueWindow, signal: AbortSignal): Promise<Cell[][]>;
  save: FigureOptions["save"];
  copyName(name: string): void;
  close(): void;
  keep(): void;
}

/** One tensor: facts, figures on demand, and a window on its values. Ends its work with `signal`. */
export function detailsView(
  tensor: TensorRow,
  file: TensorFile,
  context: { actions: DetailsActions; ui: DetailsUi; hasFiles: boolean; signal: AbortSignal },
): HTMLElement {
  const { actions, hasFiles } = context;
  const ref: TensorRef = {
    path: file.path,
    stamp: file.stamp,
    name: tensor.name,
    dtype: tensor.dtype,
    shape: tensor.shape,
    offset: tensor.offset,
    bytes: tensor.bytes,
  };
  const facts = format.factLine(
    tensor.dtype,
    format.shape(tensor.shape),
    text.valueCount(format.exactCount(countOf(tensor))),
    format.bytes(tensor.bytes),
    hasFiles && file.name,
  );
  return element(
    "section",
    { class: "details", attributes: { "aria-label": tensor.name, id: "details", tabindex: -1 } },
    element(
      "div",
      { class: "details-head" },
      element("h2", { class: "path" }, breakable(tensor.name)),
      iconButton("copy-name", "copy", { label: text.copyName, run: () => actions.copyName(tensor.name) }), // prettier-ignore
      iconButton("close-details", "close", { label: text.close, run: () => actions.close() }),
    ),
    element("p", { class: "facts" }, facts),
    statisticsSection(ref, context),
    valuesSection(ref, context),
  );
}

/** A dotted name that may be broken after its dots. */
function breakable(name: string): HTMLElement {
  const parts = name.split(/(?<=\.)/);
  return element("span", {}, ...parts.flatMap((part) => [part, element("wbr")]));
}

function iconButton(
  id: string,
  name: Parameters<typeof icon>[0],
  { label, run }: { label: string; run: () => void },
): HTMLElement {
  const attributes = { type: "button", id, title: label, "aria-label": label };
  return element("button", { class: "quiet-button", attributes, on: { click: run } }, icon(name));
}
