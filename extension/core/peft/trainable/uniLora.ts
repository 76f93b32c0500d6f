/**
 * Uni-LoRA (PEFT tuners/unilora): all factors are made of one trained vector's numbers, each divided by the
 * root of how often it is used. Which goes where follows from a seed; an adapter that stores it keeps its own.
 */
import type { GraphBuilder } from "../../onnx/builder.ts";
import { onnxTypes, type Value } from "../../onnx/graph.ts";
import type { LinearModule } from "../../onnx/layerHook.ts";
import { assignmentOf, shapes, theta, uniLora as method, type UniLoraConfig } from "../uniLora.ts";
import { indices } from "./algebra.ts";
import { normal } from "./draws.ts";
import {
  type FormContext,
  type FormLayer,
  type Initial,
  moduleForm,
  numberOf,
} from "./moduleForm.ts";

type Side = "A" | "B";

/** Places in the vector of a factor's numbers, row by row, and what they are multiplied with. */
function factor(
  module: LinearModule,
  { config, targets }: Pick<FormContext<UniLoraConfig>, "config" | "targets">,
  side: Side,
): { places: Int32Array; scales: Float32Array } {
  const { starts, places, counts } = assignmentOf(targets, config);
  const start = starts.get(module.path) as number;
  const middle = start + config.r * module.in;
  const end = middle + config.r * module.out;
  const own = side === "A" ? places.subarray(start, middle) : places.subarray(middle, end);
  const scales = Float32Array.from(own, (place) => 1 / Math.sqrt(counts[place] as number));
  return { places: own, scales };
}

function matrix(g: GraphBuilder, layer: FormLayer<UniLoraConfig>, side: Side): Value {
  const { module, config, own, shared } = layer;
  const { r } = config;
  const shape = side === "A" ? [r, module.in] : [module.out, r];
  if (config.save_indices) {
    const places = g.cast(own(`unilora_indices_${side}`), onnxTypes.int64);
    return g.mul(g.gather(shared(theta), places), own(`unilora_scales_${side}`));
  }
  const { places, scales } = factor(module, layer, side);
  const name = `unilora.${module.path}.${side}`;
  const picked = g.reshape(g.gather(shared(theta), indices(g, name, places)), shape);
  return g.mul(picked, g.float32s(`const.scales.${name}`, scales, shape));
}

export const uniLora = moduleForm<UniLoraConfig>({
  method,
  dropout: (config) => numberOf(config, "unilora_dropout"),
  tensors: (module, { config }) =>
    Object.entries(shapes(module, config)).map(([suffix, shape]) => ({
      suffix,
      shape,
      isTrained: false,
    })),
  shared: ({ config }) => [{ suffix: theta, shape: [config.theta_d_length] }],
  initializeShared: ({ config, random }) => {
    const { theta_d_length: length } = config;
    if (config["init_weights"] === false) return { [theta]: normal(random, [length]) };
    const bound = numberOf(config, "init_theta_d_bound", 0.02);
    return { [theta]: random.uniform(length, -bound, bound) };
  },
  initialize: (module, context): Initial => {
    if (!context.config.save_indices) return {};
    const [a, b] = [factor(module, context, "A"), factor(module, context, "B")];
    return {
      unilora_indices_A: Float32Array.from(a.places),
      unilora_scales_A: a.scales,
      unilora_indices_B: Float32Array.from(b.places),
      unilora_scales_B: b.scales,
    };
  },
  forward: (g, layer) => {
    const inner = g.matMulTransposed(layer.dropout(layer.x), matrix(g, layer, "A"));
    return g.add(layer.base(layer.x), g.matMulTransposed(inner, matrix(g, layer, "B")));
  },
});
