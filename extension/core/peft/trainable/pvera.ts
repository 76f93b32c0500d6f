/**
 * PVeRA (PEFT tuners/pvera): VeRA whose inner activation is drawn, z = μ + ε exp(½ log σ²), both halves of
 * diag(λd) A x. Draws follow from the run's seed, not from PEFT's generator; evaluation takes the mean.
 */
import type { GraphBuilder } from "../../onnx/builder.ts";
import type { Value } from "../../onnx/graph.ts";
import { pvera as method, type PveraConfig } from "../pvera.ts";
import { kaimingPair, largestLayer } from "../sharedProjection.ts";
import { slice } from "./algebra.ts";
import { filled, normal, zeros } from "./draws.ts";
import { type FormLayer, moduleForm, numberOf } from "./moduleForm.ts";
import { projection } from "./vera.ts";

/** Standard normal numbers for x's rows [..., r] (Box and Muller, 1958); null in evaluation. */
function noise(
  g: GraphBuilder,
  { x, chance, config: { r } }: FormLayer<PveraConfig>,
): Value | null {
  const length = chance(x, { size: r, salt: "length" });
  const angle = chance(x, { size: r, salt: "angle" });
  if (length === null || angle === null) return null;
  const [logarithm] = g.node("Log", [length]);
  const [radius] = g.node("Sqrt", [g.scale(logarithm, -2)]);
  return g.mul(radius, g.node("Cos", [g.scale(angle, 2 * Math.PI)])[0]);
}

export const pvera = moduleForm<PveraConfig>({
  method,
  draws: true,
  dropout: (config) => numberOf(config, "pvera_dropout"),
  tensors: ({ out }, { config: { r } }) => [
    { suffix: "pvera_lambda_b", shape: [out] },
    { suffix: "pvera_lambda_d", shape: [2 * r] },
  ],
  shared: (context) =>
    projection(context, { names: ["pvera_A", "pvera_B"], aRows: 2 * context.config.r }),
  initializeShared: ({ config, targets }) => {
    const { in: inputs, out } = largestLayer(targets);
    const size = { aRows: 2 * config.r, inputs, out, rank: config.r };
    const { a, b } = kaimingPair(config.projection_prng_key, size);
    return { pvera_A: a, pvera_B: b };
  },
  initialize: ({ out }, { config, random }) => {
    const drawn = normal(random, [2 * config.r]);
    if (config["init_weights"] === false)
      return { pvera_lambda_b: filled([out], 1), pvera_lambda_d: drawn };
    const initial = numberOf(config, "d_initial", 0.1);
    return { pvera_lambda_b: zeros([out]), pvera_lambda_d: filled([2 * config.r], initial) };
  },
  forward: (g, layer) => {
    const { module, config, x, base, own, shared, dropout } = layer;
    const a = slice(g, shared("pvera_A"), { from: 0, to: module.in, axis: 1 });
    const b = slice(g, shared("pvera_B"), { from: 0, to: module.out, axis: 0 });
    const inner = g.mul(g.matMulTransposed(dropout(x), a), own("pvera_lambda_d"));
    const mean = slice(g, inner, { from: 0, to: config.r, axis: 2 });
    const logVariance = slice(g, inner, { from: config.r, to: 2 * config.r, axis: 2 });
    const drawn = noise(g, layer);
    const [deviation] = g.node("Exp", [g.scale(logVariance, 0.5)]);
    const z = drawn === null ? mean : g.add(mean, g.mul(drawn, deviation));
    return g.add(base(x), g.mul(g.matMulTransposed(z, b), own("pvera_lambda_b")));
  },
});
