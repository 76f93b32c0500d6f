import { axisX, axisY, dot, line, pointerX, tip } from "@observablehq/plot";
import type { Curve } from "../curve.ts";
import { type ChartFrame, draw, shortNumber } from "./frame.ts";

const strokes = {
  thin: { strokeWidth: 1, strokeOpacity: 0.35 },
  thick: { strokeWidth: 2 },
  dashed: { strokeWidth: 2, strokeDasharray: "5 3" },
};

/** Numbers over steps, as many curves as there are; a pointer reads the nearest point. */
export function curvesChart(
  curves: readonly Curve[],
  frame: ChartFrame & { height: number; axes: { x: string; y: string } },
): SVGSVGElement {
  const all = curves.flatMap(({ points }) => points);
  const last = all.reduce((most, { x }) => Math.max(most, x), 1);
  const shown = curves
    .filter(({ stroke }) => stroke !== "thin")
    .flatMap(({ name, points }) => points.map((point) => ({ ...point, name })));
  return draw(frame, {
    height: frame.height,
    marginLeft: 60,
    marginRight: 16,
    marginTop: 26,
    marginBottom: 38,
    x: { type: "linear", domain: [0, last] },
    y: { grid: true, nice: true, zero: false },
    marks: [
      axisX({ ticks: 8, tickFormat: (step: number) => String(step), label: frame.axes.x }),
      axisY({ ticks: 5, tickFormat: apartAt(all), label: frame.axes.y, labelArrow: "none" }),
      ...curves.flatMap(({ points, colour, stroke }) => [
        line(points, { x: "x", y: "y", stroke: colour, ...strokes[stroke] }),
        // A line of one point is not seen, and evaluations are few.
        ...(points.length === 1 || stroke === "dashed"
          ? [dot(points, { x: "x", y: "y", r: 2.5, fill: colour })]
          : []),
      ]),
      tip(
        shown,
        pointerX({
          x: "x",
          y: "y",
          title: ({ name, x, y }: { name: string; x: number; y: number }) =>
            `${name}\n${frame.axes.x} ${x}: ${Number(y.toPrecision(5))}`,
          fill: "var(--vscode-editorHoverWidget-background)",
          stroke: "var(--vscode-editorHoverWidget-border)",
        }),
      ),
    ],
  });
}

/** Tells ticks apart that lie close together: a learning rate that has hardly begun to fall. */
function apartAt(points: readonly { y: number }[]): (value: number) => string {
  let [low, high] = [Infinity, -Infinity];
  for (const { y } of points) [low, high] = [Math.min(low, y), Math.max(high, y)];
  const decimals = Math.ceil(-Math.log10((high - low) / 10));
  const isUsual = !Number.isFinite(decimals) || high - low > Math.abs(high) / 5;
  return isUsual ? shortNumber : (value) => String(Number(value.toFixed(Math.min(12, decimals))));
}
