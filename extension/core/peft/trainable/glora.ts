/**
 * GLoRA (PEFT tuners/glora/layer.py): W' = W + W ⊙ A + B, and where the base has a bias
 * b' = b + b ⊙ D + E + W C. Parts are products of two factors, of which the first begins with zeros,
 * vectors, single numbers, or none.
 */
import type { GraphBuilder } from "../../onnx/builder.ts";
import type { Value } from "../../onnx/graph.ts";
import { glora as method, type GloraConfig, shapes } from "../glora.ts";
import { flat, sumOver } from "./algebra.ts";
import { kaiming, normal, zeros } from "./draws.ts";
import { type FormLayer, moduleForm } from "./moduleForm.ts";

/** W ⊙ A x + B x; null for none. A as a vector or number scales the output, B sums the input up. */
function onWeight(g: GraphBuilder, layer: FormLayer<GloraConfig>): Value | null {
  const { config, x, own, weight, product } = layer;
  if (config.config_A_B === "none") return null;
  if (config.config_A_B === "lora") {
    const scales = g.matMul(own("glora_A.Xd"), own("glora_A.Xu"));
    const shift = g.matMulTransposed(g.matMulTransposed(x, own("glora_B.Xu")), own("glora_B.Xd"));
    return g.add(g.matMulTransposed(x, g.mul(weight(), scales)), shift);
  }
  const scaled = g.mul(product(x), flat(g, own("glora_A.X")));
  return g.add(scaled, g.mul(sumOver(g, x, [-1]), flat(g, own("glora_B.X"))));
}

/** What is added to the bias: terms of [out] or [1]. */
function onBias(g: GraphBuilder, layer: FormLayer<GloraConfig>, bias: Value): Value[] {
  const { config, own, weight } = layer;
  const direct =
    config.config_D_E === "none" ? [] : [g.mul(bias, own("glora_D.X")), own("glora_E.X")];
  if (config.config_C === "none") return direct;
  const isVector = config.config_C === "vector";
  const c = isVector ? own("glora_C.X") : g.matMul(own("glora_C.Xd"), own("glora_C.Xu"));
  return [...direct, flat(g, g.matMul(weight(), c))];
}

export const glora = moduleForm<GloraConfig>({
  method,
  tensors: (module, { config }) =>
    Object.entries(shapes(module, config)).map(([suffix, shape]) => ({ suffix, shape })),
  initialize: (module, { config, random }) => {
    const isZero = config["init_weights"] !== false;
    const own = Object.entries(shapes(module, config));
    const drawn: Record<string, Float32Array> = {};
    const draw = (suffix: string, shape: readonly number[]): Float32Array => {
      if (isZero && !suffix.endsWith(".Xu")) return zeros(shape);
      if (suffix.endsWith(".X") && shape.length === 1) {
        const [length = 1] = shape;
        const isNumber = config[/A|B/.test(suffix) ? "config_A_B" : "config_D_E"] === "constant";
        return isNumber ? normal(random, shape, [0, 0.02]) : kaiming(random, [1, length]);
      }
      return kaiming(random, shape);
    };
    // The second factor of a product is drawn before the first.
    for (const [suffix, shape] of own) {
      if (suffix.endsWith(".Xu")) continue;
      const other = suffix.replace(/d$/, "u");
      const second = own.find(([each]) => each === other && each !== suffix);
      if (second) drawn[other] = draw(other, second[1]);
      drawn[suffix] = draw(suffix, shape);
    }
    return drawn;
  },
  forward: (g, layer) => {
    const { x, base, bias } = layer;
    const b = bias();
    const weighed = onWeight(g, layer);
    const terms = [
      ...(weighed === null ? [] : [weighed]),
      ...(b === null ? [] : onBias(g, layer, b)),
    ];
    return terms.reduce((sum, term) => g.add(sum, term), base(x));
  },
});
