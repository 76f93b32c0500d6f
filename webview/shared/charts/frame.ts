/**
 * What all charts share. They are SVG in the theme's colours, which follow a change of theme by
 * themselves; each has its table next to it (figure.ts). This folder alone imports the plotting library.
 */
import { plot, type PlotOptions } from "@observablehq/plot";

export const foreground = "var(--vscode-foreground)";
export const bars = "var(--chart-bar)";
export const curve = "var(--chart-line)";
export const reference = "var(--chart-mark)";

export interface ChartFrame {
  /** In pixels. */
  width: number;
  /** What a screen reader says in place of the picture. */
  label: string;
}

export function draw({ width, label }: ChartFrame, options: PlotOptions): SVGSVGElement {
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

/** Whole numbers from 1 to count, few enough to be read. */
export function wholeTicks(count: number): number[] {
  const step = [1, 2, 4, 5, 8, 10, 16, 20, 32, 50, 64, 100, 128].find((each) => count / each <= 17);
  const by = step ?? Math.ceil(count / 16);
  const ticks = [1];
  for (let at = by === 1 ? 2 : by; at <= count; at += by) ticks.push(at);
  return ticks;
}

export function shortNumber(value: number): string {
  const size = Math.abs(value);
  if (size !== 0 && (size < 0.001 || size >= 1e5)) return value.toExponential(0);
  return String(Number(value.toPrecision(3)));
}
