/**
 * AdaLoRA (PEFT tuners/adalora/layer.py): ΔW = B (A ⊙ E) · alpha / (init_r + 1e-5), with a penalty that
 * keeps A and B orthogonal (model.py). PEFT takes ranks away only where a training loop calls its
 * update_and_allocate; transformers' Trainer does not, nor does Graft's: all of init_r stay.
 */
import type { GraphBuilder } from "../../onnx/builder.ts";
import type { Value } from "../../onnx/graph.ts";
import { adaLora as method, type AdaLoraConfig, scale } from "../adaLora.ts";
import { identity, linear, norm } from "./algebra.ts";
import { normal, zeros } from "./draws.ts";
import { moduleForm, numberOf } from "./moduleForm.ts";

/** ‖P − I‖ of a square matrix, as a scalar. */
function distance(g: GraphBuilder, product: Value, rank: number): Value {
  return g.reshape(norm(g, g.sub(product, identity(g, rank)), [0, 1]), []);
}

export const adaLora = moduleForm<AdaLoraConfig>({
  method,
  tensors: ({ path, in: inputs, out }, { config }) => {
    const { rank } = scale(config, path);
    return [
      { suffix: "lora_A", shape: [rank, inputs] },
      { suffix: "lora_B", shape: [out, rank] },
      { suffix: "lora_E", shape: [rank, 1] },
    ];
  },
  initialize: ({ path, in: inputs, out }, { config, random }) => {
    const { rank } = scale(config, path);
    const begun = {
      lora_A: normal(random, [rank, inputs]),
      lora_E: normal(random, [rank, 1]),
      lora_B: normal(random, [out, rank]),
    };
    // The number of ranks is drawn before it is set.
    normal(random, [1]);
    if (config.init_lora_weights === false) return begun;
    const a = normal(random, [rank, inputs], [0, 0.02]);
    return { lora_A: a, lora_B: normal(random, [out, rank], [0, 0.02]), lora_E: zeros([rank, 1]) };
  },
  dropout: (config) => numberOf(config, "lora_dropout"),
  forward: (g, { module, config, x, base, own, dropout }) => {
    const { rank, scaling } = scale(config, module.path);
    if (rank === 0) return base(x);
    const factors = g.scale(g.mul(own("lora_A"), own("lora_E")), scaling);
    return g.add(base(x), linear(g, linear(g, dropout(x), factors), own("lora_B")));
  },
  // ‖A Aᵀ − I‖ and ‖Bᵀ B − I‖ of every layer, on average.
  penalty: (g, { config, targets, of }) => {
    if (config.orth_reg_weight === 0) return null;
    const terms = targets.flatMap((module) => {
      const { rank } = scale(config, module.path);
      if (rank === 0) return [];
      const [a, b] = [of(module, "lora_A"), of(module, "lora_B")];
      const products = [linear(g, a, a), g.matMul(g.transpose(b, [1, 0]), b)];
      return products.map((product) => distance(g, product, rank));
    });
    if (terms.length === 0) return null;
    const sum = terms.reduce((all, term) => g.add(all, term));
    return g.scale(sum, config.orth_reg_weight / terms.length);
  },
});
