/**
 * The one importer of the plotting library. Charts are SVG in the theme's colours, which follow a
 * change of theme by themselves; each has its table next to it (figure.ts).
 */
import {
  axisX,
  axisY,
  barX,
  dot,
  line,
  plot,
  type PlotOptions,
  pointerX,
  rectY,
  ruleX,
  ruleY,
  text as textMark,
  tip,
} from "@observablehq/plot";
import type { Curve } from "./curve.ts";

const foreground = "var(--vscode-foreground)";
const bars = "var(--chart-bar)";
const curve = "var(--chart-line)";
const reference = "var(--chart-mark)";

/** Text that may lie over a bar keeps a rim of the background. */
const onBars = {
  fill: foreground,
  stroke: "var(--vscode-editor-background)",
  strokeWidth: 4,
  paintOrder: "stroke",
} as const;

export interface ChartFrame {
  /** In pixels. */
  width: number;
  /** What a screen reader says in place of the picture. */
  label: string;
}

function draw({ width, label }: ChartFrame, options: PlotOptions): SVGSVGElement {
  const made = plot({
    width,
    style: {
      background: "none",
      color: foreground,
      fontFamily: "var(--vscode-font-family)",
      fontSize: "12px",
      overflow: "visible",
    },
    ...options,
  });
  const svg = made instanceof SVGSVGElement ? made : made.querySelector("svg");
  if (!svg) throw new Error("The plot has no picture.");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", label);
  // The label says it all; marks and ticks would be read one by one.
  for (const child of svg.children) child.setAttribute("aria-hidden", "true");
  return svg;
}

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
  const points = values.map((value, index) => ({ at: index + 1, value }));
  const shares = energy.map((share, index) => ({ at: index + 1, height: share * top }));
  const hasDots = values.length <= 40;
  return draw(frame, {
    height: 240,
    marginLeft: 56,
    marginRight: 52,
    marginTop: 30,
    marginBottom: 38,
    x: { type: "linear", domain: [0.4, values.length + 0.6] },
    y: { domain: [0, top], grid: true },
    marks: [
      axisX({ ticks: wholeTicks(values.length), tickFormat: String, label: axes.direction }),
      axisY({ ticks: 4, tickFormat: shortNumber, label: axes.value, labelArrow: "none" }),
      axisY({
        anchor: "right",
        ticks: [0, 0.25, 0.5, 0.75, 1].map((share) => share * top),
        tickFormat: (height: number) => `${Math.round((height / top) * 100)} %`,
        label: axes.energy,
        labelArrow: "none",
      }),
      rectY(points, {
        x1: ({ at }: { at: number }) => at - 0.4,
        x2: ({ at }: { at: number }) => at + 0.4,
        y: "value",
        fill: bars,
        stroke: "var(--chart-edge)",
      }),
      ...(effectiveRank === null
        ? []
        : [
            ruleX([effectiveRank], { stroke: reference, strokeDasharray: "4 3", strokeWidth: 1.5 }),
            textMark([effectiveRank], {
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
      textMark(items, {
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
            textMark([compared.value], {
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

/** Whole numbers from 1 to count, few enough to be read. */
export function wholeTicks(count: number): number[] {
  const step = [1, 2, 4, 5, 8, 10, 16, 20, 32, 50, 64, 100, 128].find((each) => count / each <= 17);
  const by = step ?? Math.ceil(count / 16);
  const ticks = [1];
  for (let at = by === 1 ? 2 : by; at <= count; at += by) ticks.push(at);
  return ticks;
}

function shortNumber(value: number): string {
  const size = Math.abs(value);
  if (size !== 0 && (size < 0.001 || size >= 1e5)) return value.toExponential(0);
  return String(Number(value.toPrecision(3)));
}

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
      textMark(apart(lines), {
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
