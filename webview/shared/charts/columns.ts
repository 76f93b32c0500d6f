import { axisX, type PlotOptions, rectY } from "@observablehq/plot";
import { bars, wholeTicks } from "./frame.ts";

/** Numbers as columns at the whole numbers from 1 on: the scale, its axis and the columns themselves. */
export function columns(
  values: readonly number[],
  label: string,
): {
  x: NonNullable<PlotOptions["x"]>;
  axis: ReturnType<typeof axisX>;
  mark: ReturnType<typeof rectY>;
} {
  const points = values.map((value, index) => ({ at: index + 1, value }));
  return {
    x: { type: "linear", domain: [0.4, values.length + 0.6] },
    axis: axisX({ ticks: wholeTicks(values.length), tickFormat: String, label }),
    mark: rectY(points, {
      x1: ({ at }: { at: number }) => at - 0.4,
      x2: ({ at }: { at: number }) => at + 0.4,
      y: "value",
      fill: bars,
      stroke: "var(--chart-edge)",
    }),
  };
}
