/** How a curve is drawn: colours tell runs apart, strokes what is drawn. */
export interface Curve {
  name: string;
  points: readonly { x: number; y: number }[];
  colour: string;
  stroke: "thin" | "thick" | "dashed";
}
