import { linesChart } from "./charts/linesChart.ts";

/** φ by number of directions: what both have in common of outputs and of inputs, and what chance gives. */
export function overlapChart(
  overlap: { left: readonly number[]; right: readonly number[]; shape: readonly [number, number] },
  frame: {
    width: number;
    label: string;
    names: { axis: string; value: string; left: string; right: string; chance: string };
  },
): SVGSVGElement {
  const { names, width, label } = frame;
  const [inputs, outputs] = overlap.shape;
  const chance = overlap.left.map((_, at) => (at + 1) / Math.max(inputs, outputs));
  return linesChart(
    [
      { name: names.left, values: overlap.left, look: "bar" },
      { name: names.right, values: overlap.right, look: "line" },
      { name: names.chance, values: chance, look: "reference" },
    ],
    { width, label, axes: { x: names.axis, y: names.value } },
  );
}
