/**
 * DeLoRA (PEFT tuners/delora/layer.py): ΔW = B diag(λ / (r ‖a‖ ‖b‖)) A diag(norms of W's columns), norms of
 * rows a and columns b at least 1e-4. B begins with zeros, λ with delora_lambda.
 */
import type { LinearModule } from "../../onnx/layerHook.ts";
import { deLora as method, type DeLoraConfig } from "../deLora.ts";
import { rankOf } from "../tuner/config.ts";
import { matchPattern } from "../../checkpoint/targets.ts";
import { flat, norm } from "./algebra.ts";
import { filled, kaiming, zeros } from "./draws.ts";
import { moduleForm, numberOf, type FormContext } from "./moduleForm.ts";

function lambdaOf({ path }: LinearModule, { config, file }: FormContext<DeLoraConfig>): number {
  const patterns = (config["lambda_pattern"] ?? {}) as Record<string, number>;
  const own = matchPattern(patterns, path, { field: "lambda_pattern", file });
  return own ?? (typeof config["delora_lambda"] === "number" ? config["delora_lambda"] : 15);
}

function columnNorms(weight: Float32Array, inputs: number): Float32Array {
  const squares = new Float64Array(inputs);
  weight.forEach((value, i) => {
    squares[i % inputs] = (squares[i % inputs] as number) + value * value;
  });
  return Float32Array.from(squares, Math.sqrt);
}

export const deLora = moduleForm<DeLoraConfig>({
  method,
  dropout: (config) => numberOf(config, "module_dropout"),
  tensors: ({ path, in: inputs, out }, { config, file }) => {
    const rank = rankOf(path, config, file);
    return [
      { suffix: "delora_A", shape: [rank, inputs] },
      { suffix: "delora_B", shape: [out, rank] },
      { suffix: "delora_lambda", shape: [1] },
      { suffix: "delora_w_norm", shape: [inputs], isTrained: false },
    ];
  },
  initialize: async (module, context) => {
    const { config, file, random } = context;
    const rank = rankOf(module.path, config, file);
    const a = kaiming(random, [rank, module.in]);
    const shape = [module.out, rank];
    return {
      delora_A: a,
      delora_B: config["init_weights"] === false ? kaiming(random, shape) : zeros(shape),
      delora_lambda: filled([1], lambdaOf(module, context)),
      delora_w_norm: columnNorms(await context.weight(module), module.in),
    };
  },
  forward: (g, { module, config, file, x, base, own, dropout }) => {
    const [a, b] = [own("delora_A"), own("delora_B")];
    const lengths = g.mul(flat(g, norm(g, a, [1], 1e-4)), flat(g, norm(g, b, [0], 1e-4)));
    const rank = rankOf(module.path, config, file);
    const strength = g.div(g.scale(own("delora_lambda"), 1 / rank), lengths);
    const inner = g.matMulTransposed(g.mul(dropout(x), own("delora_w_norm")), a);
    return g.add(base(x), g.matMulTransposed(g.mul(inner, strength), b));
  },
});
