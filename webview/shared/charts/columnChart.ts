import { axisX, axisY, rectY, ruleY, text } from "@observablehq/plot";
import {
  bars,
  type ChartFrame,
  draw,
  foreground,
  reference,
  shortNumber,
  wholeTicks,
} from "./frame.ts";

/** Text that may lie over a bar keeps a rim of the background. */
const onBars = {
  fill: foreground,
  stroke: "var(--vscode-editor-background)",
  strokeWidth: 4,
  paintOrder: "stroke",
} as const;

/** A row of numbers as columns, with a line at what they are to be compared with. */
export function columnChart(
  values: readonly number[],
  frame: ChartFrame & {
    axes: { position: string; value: string };
    reference: { value: number; label: string } | null;
  },
): SVGSVGElement {
  const { axes, reference: compared } = frame;
  const points = values.map((value, index) => ({ at: index + 1, value }));
  const top = Math.max(...values, compared?.value ?? 0, Number.MIN_VALUE);
  return draw(frame, {
    height: 220,
    marginLeft: 56,
    marginRight: 24,
    marginTop: 28,
    marginBottom: 38,
    x: { type: "linear", domain: [0.4, values.length + 0.6] },
    y: { domain: [0, top * 1.05], grid: true },
    marks: [
      axisX({ ticks: wholeTicks(values.length), tickFormat: String, label: axes.position }),
      axisY({ ticks: 4, tickFormat: shortNumber, label: axes.value, labelArrow: "none" }),
      rectY(points, {
        x1: ({ at }: { at: number }) => at - 0.4,
        x2: ({ at }: { at: number }) => at + 0.4,
        y: "value",
        fill: bars,
        stroke: "var(--chart-edge)",
      }),
      ...(compared
        ? [
            ruleY([compared.value], {
              stroke: reference,
              strokeDasharray: "4 3",
              strokeWidth: 1.5,
            }),
            text([compared.value], {
              y: (value: number) => value,
              frameAnchor: "right",
              text: () => compared.label,
              textAnchor: "end",
              dy: -8,
              ...onBars,
            }),
          ]
        : []),
      ruleY([0], { stroke: foreground, strokeOpacity: 0.5 }),
    ],
  });
}
