import type { ColumnAdapter } from "../../extension/protocol/playgroundContract.ts";
import { element } from "../shared/element.ts";
import { scale } from "../shared/format.ts";
import { iconButton } from "./parts.ts";
import { text } from "./strings.ts";

/** Largest weight that a slider gives; the editor's own commands take any. */
const largest = 2;

export interface WeightRow {
  readonly root: HTMLElement;
  update(adapter: ColumnAdapter, isLoaded: boolean): void;
}

/** An adapter of a column with a slider for its weight, which holds while it is dragged. */
export function weightRow(
  adapter: ColumnAdapter,
  id: string,
  on: { weigh(weight: number): void; remove(): void; load(): void },
): WeightRow {
  const shown = element("output", { class: "weight", attributes: { for: id } });
  const slider = element("input", {
    attributes: {
      ...{ type: "range", id, min: 0, max: largest, step: 0.05 },
      "aria-label": text.weightOf(adapter.name),
    },
    on: {
      input: () => {
        paint(Number(slider.value));
        on.weigh(Number(slider.value));
      },
    },
  });
  const paint = (weight: number): void => {
    shown.textContent = `×${scale(weight)}`;
    slider.setAttribute("aria-valuetext", `×${scale(weight)}`);
    slider.style.setProperty("--share", String(Math.min(weight / largest, 1)));
  };
  const missing = element(
    "button",
    { class: "missing", attributes: { type: "button" }, on: { click: on.load } },
    text.notLoaded,
  );
  missing.setAttribute("aria-label", text.load(adapter.name));
  const remove = iconButton("close", text.removeAdapter(adapter.name), { click: on.remove });
  const root = element(
    "div",
    { class: "weight-row" },
    element("span", { class: "adapter-name", attributes: { title: adapter.name } }, adapter.name),
    missing,
    slider,
    shown,
    remove,
  );
  return {
    root,
    update: ({ weight }, isLoaded) => {
      missing.hidden = isLoaded;
      slider.hidden = !isLoaded;
      shown.hidden = !isLoaded;
      // A slider under the hand is ahead of what comes back.
      if (document.activeElement !== slider || Number(slider.value) !== weight) {
        slider.value = String(weight);
        paint(weight);
      }
    },
  };
}
