/**
 * AdaLoRA (PEFT tuners/adalora/layer.py): ΔW = B (A ⊙ E) · alpha / (init_r + 1e-5), with a penalty that
 * keeps A and B orthogonal (model.py). Ranks are taken away after every step (rankAllocator.ts), for
 * which PEFT's users call update_and_allocate in loops of their own.
 */
import { t } from "@vscode/l10n";
import type { GraphBuilder } from "../../onnx/builder.ts";
import type { Value } from "../../onnx/graph.ts";
import { adaLora as method, type AdaLoraConfig, scale } from "../adaLora.ts";
import { identity, norm } from "./algebra.ts";
import { normal, zeros } from "./draws.ts";
import { moduleForm, numberOf, type Settings } from "./moduleForm.ts";
import { badField } from "./refuse.ts";
import { rankAllocator, type RankSchedule } from "./rankAllocator.ts";

/** ‖P − I‖ of a square matrix, as a scalar. */
function distance(g: GraphBuilder, product: Value, rank: number): Value {
  return g.reshape(norm(g, g.sub(product, identity(g, rank)), [0, 1]), []);
}

/** Ranks of an adapter that was saved after they were taken away. */
function isSettled({ rank_pattern: pattern }: AdaLoraConfig): boolean {
  return Object.keys(pattern).length > 0;
}

function scheduleOf({ config, file }: Settings<AdaLoraConfig>): RankSchedule {
  const share = (field: string): number => {
    const value = numberOf(config, field, 0.85);
    if (value > 0 && value < 1) return value;
    throw badField(file, field, t("is {0}, not between 0 and 1", value));
  };
  const deltaT = numberOf(config, "deltaT", 1);
  if (!Number.isInteger(deltaT) || deltaT < 1) {
    throw badField(file, "deltaT", t("is {0}, not a whole number from 1", deltaT));
  }
  const { tinit, tfinal, total_step: total, target_r: target } = config;
  const [beta1, beta2] = [share("beta1"), share("beta2")];
  return { tinit, tfinal, total: total ?? 0, deltaT, beta1, beta2, target };
}

export const adaLora = moduleForm<AdaLoraConfig>({
  method,
  tensors: ({ path, in: inputs, out }, { config }) => {
    const { rank } = scale(config, path);
    // Of a module that has no rank left nothing is in the graph.
    const isTrained = rank > 0;
    return [
      { suffix: "lora_A", shape: [rank, inputs], isTrained },
      { suffix: "lora_B", shape: [out, rank], isTrained },
      { suffix: "lora_E", shape: [rank, 1], isTrained },
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
  check: scheduleOf,
  allocator: (context, parameters) => {
    const { config, targets } = context;
    if (isSettled(config)) return null;
    const modules = targets.map(({ path }) => ({ path, rank: scale(config, path).rank }));
    return rankAllocator(modules, scheduleOf(context), parameters);
  },
  remarks: ({ config }, steps) => {
    const { total_step: total } = config;
    if (isSettled(config)) return [t("The adapter's ranks are settled: none is taken away.")];
    if (total === steps) return [];
    return [
      t(
        "total_step is {0}, and this run has {1} steps: ranks are taken away as in a run of {0}.",
        total ?? 0,
        steps,
      ),
    ];
  },
  dropout: (config) => numberOf(config, "lora_dropout"),
  forward: (g, { module, config, x, base, own, dropout }) => {
    const { rank, scaling } = scale(config, module.path);
    if (rank === 0) return base(x);
    const factors = g.scale(g.mul(own("lora_A"), own("lora_E")), scaling);
    return g.add(
      base(x),
      g.matMulTransposed(g.matMulTransposed(dropout(x), factors), own("lora_B")),
    );
  },
  // ‖A Aᵀ − I‖ and ‖Bᵀ B − I‖ of every layer, on average.
  penalty: (g, { config, targets, of }) => {
    if (config.orth_reg_weight === 0) return null;
    const terms = targets.flatMap((module) => {
      const { rank } = scale(config, module.path);
      if (rank === 0) return [];
      const [a, b] = [of(module, "lora_A"), of(module, "lora_B")];
      const products = [g.matMulTransposed(a, a), g.matMul(g.transpose(b, [1, 0]), b)];
      return products.map((product) => distance(g, product, rank));
    });
    if (terms.length === 0) return null;
    const sum = terms.reduce((all, term) => g.add(all, term));
    return g.scale(sum, config.orth_reg_weight / terms.length);
  },
});
