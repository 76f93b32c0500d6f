import { axisY, barX, ruleX, text } from "@observablehq/plot";
import { bars, type ChartFrame, draw, foreground } from "./frame.ts";

/** Amounts by name, longest name first to fit; each bar says its value. */
export function barChart(
  items: readonly { label: string; value: number; shown: string }[],
  frame: ChartFrame,
): SVGSVGElement {
  const most = Math.max(...items.map(({ value }) => value), Number.MIN_VALUE);
  const labelWidth = Math.min(
    frame.width * 0.4,
    16 + 7 * Math.max(...items.map(({ label }) => label.length)),
  );
  return draw(frame, {
    height: 16 + items.length * 26,
    marginLeft: labelWidth,
    marginRight: 96,
    marginTop: 4,
    marginBottom: 8,
    x: { axis: null, domain: [0, most] },
    y: { domain: items.map(({ label }) => label), label: null, padding: 0.3 },
    marks: [
      barX(items, { x: "value", y: "label", fill: bars, stroke: "var(--chart-edge)" }),
      text(items, {
        x: "value",
        y: "label",
        text: "shown",
        textAnchor: "start",
        dx: 6,
        fill: foreground,
      }),
      axisY({
        tickSize: 0,
        label: null,
        textOverflow: "ellipsis",
        lineWidth: (labelWidth - 14) / 12,
      }),
      ruleX([0], { stroke: foreground, strokeOpacity: 0.5 }),
    ],
  });
}
