/**
 * IA³ (PEFT tuners/ia3/layer.py): y = l ⊙ (W x + b), in feed-forward modules W (l ⊙ x) + b. Vectors
 * begin with ones, after a draw that is thrown away.
 */
import { ia3 as method, type Ia3Config, scalesInput } from "../ia3.ts";
import { flat } from "./algebra.ts";
import { filled, normal } from "./draws.ts";
import { moduleForm } from "./moduleForm.ts";

export const ia3 = moduleForm<Ia3Config>({
  method,
  tensors: (module, { config, file }) => [
    {
      suffix: "ia3_l",
      shape: scalesInput(module, config, file) ? [1, module.in] : [module.out, 1],
    },
  ],
  initialize: (module, { config, file, random }) => {
    const shape = scalesInput(module, config, file) ? [1, module.in] : [module.out, 1];
    const drawn = normal(random, shape);
    return { ia3_l: config["init_ia3_weights"] === false ? drawn : filled(shape, 1) };
  },
  forward: (g, { module, config, file, x, base, own }) => {
    const scale = flat(g, own("ia3_l"));
    return scalesInput(module, config, file) ? base(g.mul(x, scale)) : g.mul(base(x), scale);
  },
});
