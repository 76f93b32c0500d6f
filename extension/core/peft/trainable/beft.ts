/** BEFT (PEFT tuners/beft/layer.py): y = base(x) + bias. The bias begins with zeros, after a draw. */
import type { TunerConfig } from "../tuner/config.ts";
import { beft as method } from "../beft.ts";
import { flat } from "./algebra.ts";
import { normal, zeros } from "./draws.ts";
import { moduleForm } from "./moduleForm.ts";

export const beft = moduleForm<TunerConfig & Record<string, unknown>>({
  method,
  tensors: ({ out }) => [{ suffix: "beft_bias", shape: [1, out] }],
  initialize: ({ out }, { config, random }) => {
    const drawn = normal(random, [1, out]);
    return { beft_bias: config["init_weights"] === false ? drawn : zeros([1, out]) };
  },
  forward: (g, { x, base, own }) => g.add(base(x), flat(g, own("beft_bias"))),
});
