import { axisY, dot, line, ruleX, ruleY, text } from "@observablehq/plot";
import { columns } from "./columns.ts";
import { type ChartFrame, curve, draw, foreground, reference, shortNumber } from "./frame.ts";

/** Singular values as bars with the energy that the first so many hold as a line above them. */
export function spectrumChart(
  spectrum: {
    values: readonly number[];
    energy: readonly number[];
    effectiveRank: number | null;
  },
  frame: ChartFrame & { axes: { direction: string; value: string; energy: string; mark: string } },
): SVGSVGElement {
  const { values, energy, effectiveRank } = spectrum;
  const { axes } = frame;
  const top = Math.max(...values, Number.MIN_VALUE);
  const shares = energy.map((share, index) => ({ at: index + 1, height: share * top }));
  const hasDots = values.length <= 40;
  const shown = columns(values, axes.direction);
  return draw(frame, {
    height: 240,
    marginLeft: 56,
    marginRight: 52,
    marginTop: 30,
    marginBottom: 38,
    x: shown.x,
    y: { domain: [0, top], grid: true },
    marks: [
      shown.axis,
      axisY({ ticks: 4, tickFormat: shortNumber, label: axes.value, labelArrow: "none" }),
      axisY({
        anchor: "right",
        ticks: [0, 0.25, 0.5, 0.75, 1].map((share) => share * top),
        tickFormat: (height: number) => `${Math.round((height / top) * 100)} %`,
        label: axes.energy,
        labelArrow: "none",
      }),
      shown.mark,
      ...(effectiveRank === null
        ? []
        : [
            ruleX([effectiveRank], { stroke: reference, strokeDasharray: "4 3", strokeWidth: 1.5 }),
            text([effectiveRank], {
              x: (rank: number) => rank,
              frameAnchor: "top",
              text: () => axes.mark,
              textAnchor: effectiveRank > values.length * 0.7 ? "end" : "start",
              dx: effectiveRank > values.length * 0.7 ? -4 : 4,
              dy: -14,
              fill: foreground,
            }),
          ]),
      line(shares, { x: "at", y: "height", stroke: curve, strokeWidth: 2 }),
      ...(hasDots ? [dot(shares, { x: "at", y: "height", r: 2.5, fill: curve })] : []),
      ruleY([0], { stroke: foreground, strokeOpacity: 0.5 }),
    ],
  });
}
