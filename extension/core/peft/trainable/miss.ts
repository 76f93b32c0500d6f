/**
 * MiSS (PEFT tuners/miss/layer.py): y = base(x) + (Σ of x's pieces of size r) D; `mini` repeats a smaller D
 * along the outputs; `bat` adds W B + B block by block. All begin with zeros.
 */
import type { GraphBuilder } from "../../onnx/builder.ts";
import type { Value } from "../../onnx/graph.ts";
import type { LinearModule } from "../../onnx/layerHook.ts";
import { miss as method, type MissConfig } from "../miss.ts";
import { sumOver } from "./algebra.ts";
import { kaiming, zeros } from "./draws.ts";
import { moduleForm, numberOf, type Settings, type FormLayer } from "./moduleForm.ts";

function shapeOf(module: LinearModule, { config }: Settings<MissConfig>): number[] {
  const { r, mini_r: mini, init_weights: kind } = config;
  if (kind === "bat") return [module.out / r, r, r];
  return [r, kind === "mini" ? mini : module.out];
}

/** x with zeros behind, so that pieces of size r fit. */
function padded(g: GraphBuilder, x: Value, missing: number): Value {
  if (missing === 0) return x;
  return g.node("Pad", [x, g.int64s([0, 0, 0, 0, 0, missing])])[0];
}

function blockwise(
  g: GraphBuilder,
  { module, config, x, base, weight, own }: FormLayer<MissConfig>,
): Value {
  const { r } = config;
  const [rows, columns] = [module.out / r, module.in / r];
  const blocks = g.transpose(g.reshape(weight(), [rows, r, columns, r]), [2, 0, 1, 3]);
  const made = g.add(g.matMul(blocks, own("miss_block")), own("miss_block"));
  const delta = g.reshape(g.transpose(made, [1, 2, 0, 3]), [module.out, module.in]);
  return g.add(base(x), g.matMulTransposed(x, delta));
}

export const miss = moduleForm<MissConfig>({
  method,
  dropout: (config) => numberOf(config, "miss_dropout"),
  tensors: (module, context) => [{ suffix: "miss_block", shape: shapeOf(module, context) }],
  initialize: (module, context) => {
    const shape = shapeOf(module, context);
    const isRandom = context.config.init_weights === false;
    return { miss_block: isRandom ? kaiming(context.random, shape) : zeros(shape) };
  },
  forward: (g, layer) => {
    const { module, config, x, base, own, dropout } = layer;
    if (config.init_weights === "bat") return blockwise(g, layer);
    const { r, mini_r: mini } = config;
    const pieces = Math.ceil(module.in / r);
    const whole = dropout(padded(g, x, pieces * r - module.in));
    const sums = sumOver(g, g.reshape(whole, [0, 0, pieces, r]), [2], false);
    const block = own("miss_block");
    const d = config.init_weights === "mini" ? g.tile(block, [1, module.out / mini]) : block;
    return g.add(base(x), g.matMul(sums, d));
  },
});
