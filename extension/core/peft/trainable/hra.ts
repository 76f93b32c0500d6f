/**
 * HRA (PEFT tuners/hra/layer.py): W' = W H1 … Hr with Householder's reflections H = I − 2 u uᵀ, so that
 * y = base(x Hr … H1); with apply_GS the directions are made orthogonal first and reflect at once.
 * Directions begin in pairs of equals, which cancel each other.
 */
import type { GraphBuilder } from "../../onnx/builder.ts";
import type { Value } from "../../onnx/graph.ts";
import { hra as method, type HraConfig } from "../hra.ts";
import { norm, slice } from "./algebra.ts";
import { kaiming } from "./draws.ts";
import { moduleForm } from "./moduleForm.ts";

function column(g: GraphBuilder, u: Value, i: number): Value {
  return slice(g, u, { from: i, to: i + 1, axis: 1 });
}

/** x − 2 (x u) uᵀ for columns u [in, n] of length 1 that are orthogonal. */
function reflect(g: GraphBuilder, x: Value, u: Value): Value {
  return g.sub(x, g.scale(g.matMulTransposed(g.matMul(x, u), u), 2));
}

/** Gram and Schmidt's, column by column. */
function orthogonal(g: GraphBuilder, u: Value, count: number): Value {
  const made: Value[] = [];
  for (let i = 0; i < count; i++) {
    let own = column(g, u, i);
    for (const before of made) {
      const shared = g.matMul(g.transpose(before, [1, 0]), own);
      own = g.sub(own, g.mul(before, shared));
    }
    made.push(g.div(own, norm(g, own, [0])));
  }
  return g.concat(made, 1);
}

export const hra = moduleForm<HraConfig>({
  method,
  tensors: ({ in: inputs }, { config: { r } }) => [{ suffix: "hra_u", shape: [inputs, r] }],
  initialize: ({ in: inputs }, { config, random }) => {
    const { r } = config;
    if (r % 2 !== 0 || config["init_weights"] === false)
      return { hra_u: kaiming(random, [inputs, r]) };
    const half = kaiming(random, [inputs, r / 2]);
    return { hra_u: Float32Array.from({ length: 2 * half.length }, (_, i) => half[i >> 1] ?? 0) };
  },
  forward: (g, { config, x, base, own }) => {
    const u = own("hra_u");
    if (config.apply_GS) return base(reflect(g, x, orthogonal(g, u, config.r)));
    const unit = g.div(u, norm(g, u, [0]));
    let turned = x;
    for (let i = config.r - 1; i >= 0; i--) turned = reflect(g, turned, column(g, unit, i));
    return base(turned);
  },
});
