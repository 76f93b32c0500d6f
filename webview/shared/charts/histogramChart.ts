import { axisX, axisY, rectY, ruleY } from "@observablehq/plot";
import { bars, type ChartFrame, draw, foreground, shortNumber } from "./frame.ts";

/** How often values fall into each of equal parts of a range. */
export function histogramChart(
  bins: readonly { from: number; to: number; count: number }[],
  frame: ChartFrame & { axes: { value: string; count: string } },
): SVGSVGElement {
  return draw(frame, {
    height: 180,
    marginLeft: 56,
    marginRight: 16,
    marginTop: 24,
    marginBottom: 38,
    y: { grid: true },
    marks: [
      axisX({ ticks: 6, tickFormat: shortNumber, label: frame.axes.value, labelArrow: "none" }),
      axisY({ ticks: 4, tickFormat: shortNumber, label: frame.axes.count, labelArrow: "none" }),
      rectY(bins, {
        x1: "from",
        x2: "to",
        y: "count",
        fill: bars,
        stroke: "var(--chart-edge)",
        insetLeft: 0.5,
        insetRight: 0.5,
      }),
      ruleY([0], { stroke: foreground, strokeOpacity: 0.5 }),
    ],
  });
}
