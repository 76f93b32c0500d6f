import { axisY, ruleY, text } from "@observablehq/plot";
import { columns } from "./columns.ts";
import { type ChartFrame, draw, foreground, reference, shortNumber } from "./frame.ts";

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
  const top = Math.max(...values, compared?.value ?? 0, Number.MIN_VALUE);
  const shown = columns(values, axes.position);
  return draw(frame, {
    height: 220,
    marginLeft: 56,
    marginRight: 24,
    marginTop: 28,
    marginBottom: 38,
    x: shown.x,
    y: { domain: [0, top * 1.05], grid: true },
    marks: [
      shown.axis,
      axisY({ ticks: 4, tickFormat: shortNumber, label: axes.value, labelArrow: "none" }),
      shown.mark,
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
