import { axisX, axisY, dot, line, ruleY, text } from "@observablehq/plot";
import { bars, type ChartFrame, curve, draw, foreground, reference, wholeTicks } from "./frame.ts";

const looks = {
  bar: { stroke: bars, strokeWidth: 2.5 },
  line: { stroke: curve, strokeWidth: 2, strokeDasharray: "6 3" },
  reference: { stroke: reference, strokeWidth: 1.5, strokeDasharray: "2 3" },
};

/** Shares from 0 to 1 by position, a line each, named at its end; told apart by their dashes too. */
export function linesChart(
  lines: readonly { name: string; values: readonly number[]; look: keyof typeof looks }[],
  frame: ChartFrame & { axes: { x: string; y: string } },
): SVGSVGElement {
  const length = Math.max(...lines.map(({ values }) => values.length), 1);
  const points = lines.map(({ values }) => values.map((value, at) => ({ at: at + 1, value })));
  return draw(frame, {
    height: 220,
    marginLeft: 56,
    marginRight: 110,
    marginTop: 28,
    marginBottom: 38,
    x: { type: "linear", domain: [1, Math.max(length, 2)] },
    y: { domain: [0, 1], grid: true },
    marks: [
      axisX({ ticks: wholeTicks(length), tickFormat: String, label: frame.axes.x }),
      axisY({
        ticks: [0, 0.25, 0.5, 0.75, 1],
        tickFormat: (share: number) => `${Math.round(share * 100)} %`,
        label: frame.axes.y,
        labelArrow: "none",
      }),
      ...lines.flatMap(({ look }, index) => [
        line(points[index] ?? [], { x: "at", y: "value", ...looks[look] }),
        dot(points[index] ?? [], { x: "at", y: "value", r: 2.5, fill: looks[look].stroke }),
      ]),
      text(apart(lines), {
        x: () => Math.max(length, 2),
        y: "at",
        text: "name",
        textAnchor: "start",
        dx: 8,
        fill: foreground,
      }),
      ruleY([0], { stroke: foreground, strokeOpacity: 0.5 }),
    ],
  });
}

/** Names at the ends of lines, moved so far that none covers another. */
function apart(
  lines: readonly { name: string; values: readonly number[] }[],
): { name: string; at: number }[] {
  const room = 0.1;
  const ends = lines
    .map(({ name, values }) => ({ name, at: values.at(-1) ?? 0 }))
    .sort((a, b) => a.at - b.at);
  ends.forEach((end, index) => {
    const below = ends[index - 1];
    if (below) end.at = Math.max(end.at, below.at + room);
  });
  return ends;
}
