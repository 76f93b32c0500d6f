/**
 * GraLoRA (PEFT tuners/gralora/layer.py): inputs and outputs are cut into k pieces; every pair of them has
 * r / k ranks of its own. With hybrid_r a plain low-rank update beside it.
 */
import type { GraphBuilder } from "../../onnx/builder.ts";
import type { Value } from "../../onnx/graph.ts";
import { graLora as method, type GraLoraConfig, scalingOf } from "../graLora.ts";
import { kaiming, zeros } from "./draws.ts";
import { moduleForm, numberOf, type FormLayer } from "./moduleForm.ts";

const [generalA, generalB] = ["gralora_A_general.weight", "gralora_B_general.weight"] as const;

/** Matrices [rows, columns] one after the other → each turned [k, columns, rows]. */
function turned(parts: readonly Float32Array[], rows: number): Float32Array {
  const size = parts[0]?.length ?? 0;
  const columns = size / rows;
  const all = new Float32Array(parts.length * size);
  parts.forEach((part, k) => {
    part.forEach((value, i) => {
      all[k * size + (i % columns) * rows + Math.floor(i / columns)] = value;
    });
  });
  return all;
}

/** [batch, seq, out] of the pieces. */
function pieces(
  g: GraphBuilder,
  { module, config, own }: FormLayer<GraLoraConfig>,
  x: Value,
): Value {
  const { gralora_k: k, r } = config;
  // [batch, piece, seq, in / k] · [piece, in / k, r]
  const cut = g.transpose(g.reshape(x, [0, 0, k, module.in / k]), [0, 2, 1, 3]);
  const inner = g.reshape(g.matMul(cut, own("gralora_A")), [0, 0, 0, k, r / k]);
  // Each output piece takes its share of every input piece's ranks.
  const crossed = g.transpose(inner, [0, 3, 2, 1, 4]);
  const outer = g.matMul(g.reshape(crossed, [0, 0, 0, r]), own("gralora_B"));
  return g.reshape(g.transpose(outer, [0, 2, 1, 3]), [0, 0, module.out]);
}

export const graLora = moduleForm<GraLoraConfig>({
  method,
  dropout: (config) => numberOf(config, "gralora_dropout"),
  tensors: ({ in: inputs, out }, { config: { gralora_k: k, r, hybrid_r: hybrid } }) => [
    { suffix: "gralora_A", shape: [k, inputs / k, r] },
    { suffix: "gralora_B", shape: [k, r, out / k] },
    ...(hybrid > 0
      ? [
          { suffix: generalA, shape: [hybrid, inputs] },
          { suffix: generalB, shape: [out, hybrid] },
        ]
      : []),
  ],
  initialize: ({ in: inputs, out }, { config, random }) => {
    const { gralora_k: k, r, hybrid_r: hybrid } = config;
    const isRandom = config["init_weights"] === false;
    const second = (shape: readonly number[]): Float32Array =>
      isRandom ? kaiming(random, shape) : zeros(shape);
    const pairs = Array.from({ length: k }, () => [
      kaiming(random, [r, inputs / k]),
      second([out / k, r]),
    ]);
    const own = {
      gralora_A: turned(
        pairs.map(([a]) => a as Float32Array),
        r,
      ),
      gralora_B: turned(
        pairs.map(([, b]) => b as Float32Array),
        out / k,
      ),
    };
    if (hybrid === 0) return own;
    // Two new Linear layers are drawn first.
    kaiming(random, [hybrid, inputs]);
    kaiming(random, [out, hybrid]);
    const a = kaiming(random, [hybrid, inputs]);
    return { ...own, [generalA]: a, [generalB]: second([out, hybrid]) };
  },
  forward: (g, layer) => {
    const { config, x, base, own, dropout } = layer;
    const scaling = scalingOf(config);
    const y = g.add(base(x), g.scale(pieces(g, layer, dropout(x)), scaling));
    if (config.hybrid_r === 0) return y;
    const general = g.matMulTransposed(
      g.matMulTransposed(dropout(x), own(generalA)),
      own(generalB),
    );
    return g.add(y, g.scale(general, scaling));
  },
});
