import { type ColourScale } from "./scale.ts";

export interface HeatLine {
  label: string;
  /** The whole name, where the label is a short one. */
  title: string;
  /** What the line comes to; null where adding up says nothing. */
  total: string | null;
}

export interface HeatCell {
  /** Null: there is something here, but not a number. */
  value: number | null;
  /** A number of few letters, printed where colour alone is not to be relied on. */
  short: string;
  /** Everything that is known, for people who do not see the picture. */
  spoken: string;
  isMarked: boolean;
}

/** A picture of rows × columns. What is null is left alone by the adapter. */
export interface HeatData {
  label: string;
  rows: readonly HeatLine[];
  columns: readonly HeatLine[];
  total: string | null;
  cell(row: number, column: number): HeatCell | null;
  scale: ColourScale;
  /** A value as the legend has it. */
  show(value: number): string;
}
