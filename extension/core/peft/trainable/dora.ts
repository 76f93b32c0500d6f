/**
 * DoRA in training (PEFT tuners/lora/dora.py): y = W x + (m/n − 1) ⊙ W x + m/n ⊙ s B A x with
 * n = ‖W + s B A‖ by rows, through which no gradient goes (https://arxiv.org/abs/2402.09353, 4.3).
 *
 * The norm needs no sum of the matrices: n² = ‖W‖² + 2 s rows(W Aᵀ ⊙ B) + s² rows(B A Aᵀ ⊙ B), where
 * only the first term has the size of W, and it is constant.
 */
import type { GraphBuilder } from "../../onnx/builder.ts";
import type { Value } from "../../onnx/graph.ts";
import { type LoraConfig, loraScale } from "../loraConfig.ts";
import type { TrainedLayer, TrainedTable } from "./tuner.ts";

export const magnitudeSuffix = "lora_magnitude_vector";

/** Norms [out] of the rows of W + s B A. */
function rowNorms(
  g: GraphBuilder,
  at: {
    /** [r, in] and [out, r] */
    a: Value;
    b: Value;
    /** A Wᵀ, [r, out], of the detached A. */
    turned: (a: Value) => Value;
    /** ‖W‖² by rows, [out]. */
    squares: Value;
    scaling: number;
  },
): Value {
  const [a, b] = [g.detach(at.a), g.detach(at.b)];
  const cross = sumLast(g, g.mul(g.transpose(at.turned(a), [1, 0]), b));
  const own = sumLast(g, g.mul(g.matMul(b, g.matMulTransposed(a, a)), b));
  const { scaling, squares } = at;
  const sum = g.add(squares, g.add(g.scale(cross, 2 * scaling), g.scale(own, scaling ** 2)));
  return g.detach(g.node("Sqrt", [sum])[0]);
}

function sumLast(g: GraphBuilder, x: Value): Value {
  const [sum] = g.node("ReduceSum", [x, g.int64s([-1])]);
  return g.squeeze(sum, -1);
}

/** @param at `update`: s B A x; `x`: what dropout left of the input */
export function doraOutput(
  layer: TrainedLayer<LoraConfig>,
  at: { a: Value; b: Value; x: Value; update: Value },
): Value {
  const { g, config, module, file } = layer;
  const { scaling } = loraScale(config, module.path, file);
  const w = layer.weight();
  const norms = rowNorms(g, {
    a: at.a,
    b: at.b,
    turned: (a) => layer.product(a),
    squares: sumLast(g, g.mul(w, w)),
    scaling,
  });
  const magnitude = g.reshape(layer.parameter(magnitudeSuffix), [module.out]);
  const factor = g.div(magnitude, norms);
  const whole = layer.base();
  const bias = layer.bias();
  const undisturbed = bias === null ? whole : g.sub(whole, bias);
  const product = at.x === layer.x ? undisturbed : layer.product(at.x);
  const change = g.mul(g.sub(factor, g.scalar(1)), product);
  return g.add(whole, g.add(change, g.mul(factor, at.update)));
}

/** Rows m/n ⊙ (T + s (B A)ᵀ) of a table, n by columns. @param at `update`: s B A of the tokens */
export function doraRows(
  table: TrainedTable<LoraConfig>,
  at: { a: Value; b: Value; update: Value },
): Value {
  const { g, config, module, file } = table;
  const { scaling } = loraScale(config, module.path, file);
  const own = table.table();
  const [squares] = g.node("ReduceSum", [g.mul(own, own), g.int64s([0])], {
    attributes: { keepdims: { kind: "int", value: 0 } },
  });
  const norms = rowNorms(g, {
    a: at.a,
    b: at.b,
    turned: (a) => g.matMul(a, own),
    squares,
    scaling,
  });
  const factor = g.div(table.parameter(magnitudeSuffix), norms);
  return g.mul(factor, g.add(table.rows, at.update));
}
