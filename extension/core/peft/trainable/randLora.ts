/**
 * RandLoRA (PEFT tuners/randlora/layer.py): a sum of low-rank updates of random bases, all of which layers
 * share, with trained λ and γ; bases belong to the smaller and the larger side of a layer.
 */
import type { GraphBuilder } from "../../onnx/builder.ts";
import type { Value } from "../../onnx/graph.ts";
import type { LinearModule } from "../../onnx/layerHook.ts";
import { randLora as method, type RandLoraConfig } from "../randLora.ts";
import { randomBases } from "../randomBases.ts";
import { largestLayer } from "../sharedProjection.ts";
import { slice } from "./algebra.ts";
import { filled, normal, zeros } from "./draws.ts";
import { moduleForm, numberOf, type FormLayer } from "./moduleForm.ts";

function sizes({ in: inputs, out }: LinearModule, r: number) {
  const narrow = Math.min(inputs, out);
  return { narrow, wide: Math.max(inputs, out), count: Math.ceil(narrow / r) };
}

/** Of the smaller side [r · count, narrow], and of the larger [wide, count · r]. */
function bases(g: GraphBuilder, layer: FormLayer<RandLoraConfig>): [Value, Value] {
  const { module, config, own, shared } = layer;
  const { narrow, wide, count } = sizes(module, config.r);
  const a = slice(g, shared("randlora_A"), { from: 0, to: narrow, axis: 2 });
  const weighed = g.mul(g.mul(g.unsqueeze(own("randlora_lambda"), 2), a), own("randlora_gamma"));
  const rows = slice(g, shared("randlora_B"), { from: 0, to: wide, axis: 0 });
  const b = slice(g, rows, { from: 0, to: count, axis: 1 });
  const ranks = config.r * count;
  return [g.reshape(weighed, [ranks, narrow]), g.reshape(b, [wide, ranks])];
}

export const randLora = moduleForm<RandLoraConfig>({
  method,
  dropout: (config) => numberOf(config, "randlora_dropout"),
  tensors: (module, { config: { r } }) => {
    const { narrow, count } = sizes(module, r);
    return [
      { suffix: "randlora_lambda", shape: [r, count] },
      { suffix: "randlora_gamma", shape: [count, narrow] },
    ];
  },
  shared: ({ config, targets }) => {
    const { in: inputs, out } = largestLayer(targets);
    const [narrow, wide] = [Math.min(inputs, out), Math.max(inputs, out)];
    const frozen = { isTrained: false, isStored: config.save_projection };
    return [
      { suffix: "randlora_A", shape: [config.r, 1, narrow], ...frozen },
      { suffix: "randlora_B", shape: [wide, Math.ceil(narrow / config.r), config.r], ...frozen },
    ];
  },
  initializeShared: ({ config, targets }) => {
    const { a, b } = randomBases(config, largestLayer(targets));
    return { randlora_A: a, randlora_B: b };
  },
  initialize: (module, { config, random }) => {
    const { narrow, wide, count } = sizes(module, config.r);
    const drawn = normal(random, [config.r, count]);
    const isRandom = config["init_weights"] === false;
    const size = isRandom ? wide : Math.max(count, narrow);
    return {
      randlora_lambda: isRandom ? drawn : zeros([config.r, count]),
      randlora_gamma: filled([count, narrow], 1 / size),
    };
  },
  forward: (g, layer) => {
    const { module, config, x, base, dropout } = layer;
    const [small, large] = bases(g, layer);
    const scaling = config.randlora_alpha / config.r;
    const isTall = sizes(module, config.r).narrow === module.in;
    const inner = isTall ? g.matMulTransposed(dropout(x), small) : g.matMul(dropout(x), large);
    const outer = isTall ? g.matMulTransposed(inner, large) : g.matMul(inner, small);
    return g.add(base(x), g.scale(outer, scaling));
  },
});
