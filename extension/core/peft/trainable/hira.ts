/**
 * HiRA (PEFT tuners/hira/layer.py): ΔW = W ⊙ (B A). A begins as Kaiming has it or gaussian, B with zeros,
 * both after draws that are thrown away.
 */
import { hira as method, type HiraConfig } from "../hira.ts";
import { rankOf } from "../tuner/config.ts";
import { kaiming, normal, zeros } from "./draws.ts";
import { moduleForm, numberOf } from "./moduleForm.ts";
import { refuseField } from "./refuse.ts";

export const hira = moduleForm<HiraConfig>({
  method,
  dropout: (config) => numberOf(config, "hira_dropout"),
  tensors: ({ path, in: inputs, out }, { config, file }) => {
    const rank = rankOf(path, config, file);
    return [
      { suffix: "hira_A", shape: [rank, inputs] },
      { suffix: "hira_B", shape: [out, rank] },
    ];
  },
  initialize: ({ path, in: inputs, out }, { config, file, random }) => {
    const rank = rankOf(path, config, file);
    const drawn = { hira_A: normal(random, [rank, inputs]), hira_B: normal(random, [out, rank]) };
    const kind = config["init_weights"] ?? true;
    if (kind === false) return drawn;
    const hira_B = zeros([out, rank]);
    if (kind === true) return { hira_A: kaiming(random, [rank, inputs]), hira_B };
    if (typeof kind !== "string" || kind.toLowerCase() !== "gaussian")
      refuseField(file, "init_weights", method.peftType);
    return { hira_A: normal(random, [rank, inputs], [0, 1 / rank]), hira_B };
  },
  forward: (g, { x, base, weight, own, dropout }) => {
    const delta = g.mul(weight(), g.matMul(own("hira_B"), own("hira_A")));
    return g.add(base(x), g.matMulTransposed(dropout(x), delta));
  },
});
