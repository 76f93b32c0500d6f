/**
 * Poly (PEFT tuners/poly): for each text's task a mixture w of skills, whose factors are mixed per split of
 * the features, y = W x + B A x / r. In training w is drawn around the task's logits z, a relaxed Bernoulli
 * σ(z + log u − log(1 − u)) (Maddison et al., 2017), in evaluation σ(z); both over their sum.
 */
import type { TorchGenerator } from "../../base/torchRandom.ts";
import type { GraphBuilder } from "../../onnx/builder.ts";
import type { Value } from "../../onnx/graph.ts";
import { logits, poly as method, type PolyConfig } from "../poly.ts";
import { sumOver } from "./algebra.ts";
import { kaiming, zeros } from "./draws.ts";
import { type FormLayer, moduleForm } from "./moduleForm.ts";

const [factorA, factorB] = ["poly_lora_A", "poly_lora_B"] as const;

/** Weights of the skills for each text, [splits, batch, skills]. */
function mixture(g: GraphBuilder, { config, own, chance, tasks }: FormLayer<PolyConfig>): Value {
  const { n_skills: skills, n_splits: splits } = config;
  const size = splits * skills;
  let z = g.gather(own(logits), tasks());
  const u = chance(z, { size, salt: "router", isPerText: true });
  if (u !== null) {
    const [odds] = g.node("Log", [g.div(u, g.sub(g.scalar(1), u))]);
    z = g.add(z, odds);
  }
  const open = g.reshape(g.sigmoid(z), [-1, splits, skills]);
  const sum = g.add(sumOver(g, open, [2]), g.scalar(1e-12));
  return g.transpose(g.div(open, sum), [1, 0, 2]);
}

/** Skills' factors as kaiming_uniform_ draws them, [splits, skills, …] of transposed [rows, columns]. */
function drawn(
  random: TorchGenerator,
  { n_skills: skills, n_splits: splits }: PolyConfig,
  [rows, columns]: readonly [number, number],
): Float32Array {
  const all = new Float32Array(splits * skills * rows * columns);
  for (let skill = 0; skill < skills; skill++) {
    for (let split = 0; split < splits; split++) {
      const own = kaiming(random, [rows, columns]);
      const start = (split * skills + skill) * rows * columns;
      own.forEach((value, i) => {
        all[start + (i % columns) * rows + Math.floor(i / columns)] = value;
      });
    }
  }
  return all;
}

export const poly = moduleForm<PolyConfig>({
  method,
  draws: true,
  tasks: (config) => config.n_tasks,
  tensors: ({ in: inputs, out }, { config }) => {
    const { r, n_tasks: tasks, n_skills: skills, n_splits: splits } = config;
    return [
      { suffix: logits, shape: [tasks, splits * skills] },
      { suffix: factorA, shape: [splits, skills, inputs / splits, r] },
      { suffix: factorB, shape: [splits, skills, r, out / splits] },
    ];
  },
  initialize: ({ in: inputs, out }, { config, random }) => {
    const { r, n_tasks: tasks, n_skills: skills, n_splits: splits } = config;
    const a = drawn(random, config, [r, inputs / splits]);
    const isDrawn = config["init_weights"] === false;
    const b = isDrawn
      ? drawn(random, config, [out / splits, r])
      : zeros([splits * skills, r, out / splits]);
    const z = random.uniform(tasks * splits * skills, -1e-3, 1e-3);
    return { [factorA]: a, [factorB]: b, [logits]: z };
  },
  forward: (g, layer) => {
    const { module, config, x, base, own } = layer;
    const { r, n_skills: skills, n_splits: splits } = config;
    const weights = mixture(g, layer);
    const mixed = (suffix: string, sizes: readonly [number, number]): Value => {
      const all = g.reshape(own(suffix), [splits, skills, sizes[0] * sizes[1]]);
      return g.reshape(g.matMul(weights, all), [splits, -1, ...sizes]);
    };
    const rows = g.transpose(mixed(factorA, [module.in / splits, r]), [1, 0, 2, 3]);
    const a = g.reshape(rows, [-1, module.in, r]);
    const columns = g.transpose(mixed(factorB, [r, module.out / splits]), [1, 2, 0, 3]);
    const b = g.reshape(columns, [-1, r, module.out]);
    return g.add(base(x), g.scale(g.matMul(g.matMul(x, a), b), 1 / r));
  },
});
