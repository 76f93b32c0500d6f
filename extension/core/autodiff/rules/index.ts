import type { Rule } from "../place.ts";
import { arithmetic } from "./arithmetic.ts";
import { curves } from "./curves.ts";
import { layout } from "./layout.ts";
import { norms } from "./norms.ts";
import { picking } from "./picking.ts";
import { products } from "./products.ts";
import { quantised } from "./quantised.ts";
import { reductions } from "./reductions.ts";

/** Operators that gradients pass, each with its rule. */
export const rules: Readonly<Record<string, Rule>> = {
  ...arithmetic,
  ...curves,
  ...layout,
  ...norms,
  ...picking,
  ...products,
  ...quantised,
  ...reductions,
};
