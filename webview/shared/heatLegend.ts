import { element } from "./element.ts";
import type { HeatMapOptions } from "./heatMap.ts";
import { text } from "./strings.ts";

/** What shades, empty cells and marks mean. */
export function heatLegend({ data, markText, emptyText }: HeatMapOptions): HTMLElement {
  const { scale, show } = data;
  const swatch = (kind: string, shade: number, label: string): HTMLElement =>
    element(
      "li",
      {},
      element("span", { class: `swatch ${kind}`, variables: { shade: shade.toFixed(3) } }),
      label,
    );
  const [low, high] = [scale.values[0] ?? 0, scale.values.at(-1) ?? 0];
  const ramp = element("span", { class: `ramp ${scale.kind}` });
  const isEmpty = scale.values.length === 0;
  const values =
    scale.kind === "steps"
      ? scale.values.map((value) => swatch("cell", scale.shade(value), show(value)))
      : [element("li", {}, show(low), ramp, show(high))];
  return element(
    "ul",
    { class: "legend", attributes: { "aria-label": text.legend } },
    ...(isEmpty ? [] : values),
    swatch("empty", 0, emptyText),
    markText !== null && swatch("cell marked", 0.3, markText),
  );
}
