/**
 * DEFT (PEFT tuners/deft/layer.py): y = W x − Q Pᵣᵀ W x + s Q R x, with Pᵣ = relu(P) and Q = P, or both the Q
 * of P's QR decomposition. R begins with what is taken away, so that nothing changes.
 *
 * The decomposition is made in numbers before each step and fed, Q₀ and R₀⁻¹. Its derivative (with X = P R₀⁻¹
 * and L what of Q₀ᵀ dX lies below the diagonal, dQ = dX − Q₀ (Q₀ᵀ dX − L + Lᵀ)) is that of a polynomial in X.
 */
import { t } from "@vscode/l10n";
import { misfit } from "../../base/errors.ts";
import { householderBasis } from "../../base/householder.ts";
import { multiply, solve, transposed } from "../../base/matrix.ts";
import { int } from "../../onnx/attributes.ts";
import type { GraphBuilder } from "../../onnx/builder.ts";
import type { Value } from "../../onnx/graph.ts";
import type { LinearModule } from "../../onnx/layerHook.ts";
import { deft as method, type DeftConfig, rankOf, scalingOf } from "../deft.ts";
import { normal } from "./draws.ts";
import { type FormLayer, type Initial, moduleForm, numberOf } from "./moduleForm.ts";

const [basis, inverse] = ["deft_Q", "deft_R_inverse"];

/** Q₀ [out, r] and R₀⁻¹ [r, r] of P. */
function decomposed(p: Float32Array, module: LinearModule, rank: number): Initial {
  const q = householderBasis(p, module.out, rank);
  const size = { rows: rank, inner: module.out, columns: rank };
  const triangle = multiply(transposed(q, module.out, rank), p, size).map((value, i) =>
    i % rank < Math.floor(i / rank) ? 0 : value,
  );
  const unit = Float64Array.from(triangle, (_, i) => (i % (rank + 1) === 0 ? 1 : 0));
  const inverted = solve(triangle, unit, { size: rank, columns: rank });
  if (!inverted) throw misfit(t("The columns of deft_P of {0} depend on each other.", module.path));
  return { [basis]: Float32Array.from(q), [inverse]: Float32Array.from(inverted) };
}

/** Q, and what is taken away by. [out, r] each */
function subspace(g: GraphBuilder, { config, own }: FormLayer<DeftConfig>): [Value, Value] {
  const p = own("deft_P");
  if (config.decomposition_method === "relu") return [p, g.relu(p)];
  const still = own(basis);
  const moved = g.matMul(p, own(inverse));
  const overlap = g.matMul(g.transpose(still, [1, 0]), moved);
  const attributes = { upper: int(0) };
  const [below] = g.node("Trilu", [overlap, g.int64Scalar(-1)], { attributes });
  const triangle = g.add(g.sub(overlap, below), g.transpose(below, [1, 0]));
  const q = g.sub(g.add(moved, still), g.matMul(still, triangle));
  return [q, q];
}

export const deft = moduleForm<DeftConfig>({
  method,
  dropout: (config) => (config.para ? 0 : numberOf(config, "deft_dropout")),
  tensors: (module, { config }) => {
    const rank = rankOf(module, config);
    const frozen = { isTrained: false, isStored: false };
    return [
      { suffix: "deft_P", shape: [module.out, rank] },
      ...(config.para ? [] : [{ suffix: "deft_R", shape: [rank, module.in] }]),
      ...(config.decomposition_method === "relu"
        ? []
        : [
            { suffix: basis, shape: [module.out, rank], ...frozen },
            { suffix: inverse, shape: [rank, rank], ...frozen },
          ]),
    ];
  },
  initialize: async (module, { config, random, weight }) => {
    const rank = rankOf(module, config);
    const p = normal(random, [module.out, rank], [0, 0.02]);
    const isRelu = config.decomposition_method === "relu";
    const factors = isRelu ? {} : decomposed(p, module, rank);
    if (config.para) return { deft_P: p, ...factors };
    if (config["init_weights"] === false) {
      const deviation = 0.02 * numberOf(config, "init_scale", 1);
      const drawn = normal(random, [rank, module.in], [0, deviation]);
      return { deft_P: p, deft_R: drawn, ...factors };
    }
    const right = factors[basis] ?? p.map((value) => Math.max(value, 0));
    const size = { rows: rank, inner: module.out, columns: module.in };
    const taken = multiply(transposed(right, module.out, rank), await weight(module), size);
    const scaling = scalingOf(config, rank);
    return { deft_P: p, deft_R: Float32Array.from(taken, (value) => value / scaling), ...factors };
  },
  settle: (tensor, { module, config, suffix, of }) => {
    if (suffix !== basis && suffix !== inverse) return tensor;
    return decomposed(of("deft_P"), module, rankOf(module, config))[suffix] as Float32Array;
  },
  forward: (g, layer) => {
    const { module, config, x, base, product, own, dropout } = layer;
    const [q, right] = subspace(g, layer);
    const kept = g.sub(base(x), g.matMulTransposed(g.matMul(product(x), right), q));
    if (config.para) return kept;
    const scaling = scalingOf(config, rankOf(module, config));
    const written = g.scale(g.matMulTransposed(dropout(x), own("deft_R")), scaling);
    return g.add(kept, g.matMulTransposed(written, q));
  },
});
