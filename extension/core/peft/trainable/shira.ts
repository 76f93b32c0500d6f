/**
 * SHiRA (PEFT tuners/shira): ΔW has trained numbers at chosen places and zeros elsewhere. The random mask
 * is a permutation's beginning; without a seed it is that of a new torch.Generator. Places are fed as they
 * are stored, so that a loaded adapter keeps its own; PEFT reads them as floats too.
 */
import { onnxTypes } from "../../onnx/graph.ts";
import { torchGenerator } from "../../base/torchRandom.ts";
import type { LinearModule } from "../../onnx/layerHook.ts";
import { shira as method, type ShiraConfig } from "../shira.ts";
import { flat, scattered } from "./algebra.ts";
import { normal, zeros } from "./draws.ts";
import { moduleForm } from "./moduleForm.ts";
import { refuseField } from "./refuse.ts";

/** c10::detail::default_rng_seed_val */
const defaultSeed = 67_280_421_310_721;

function countOf({ in: inputs, out }: LinearModule, { r }: ShiraConfig): number {
  return r * (inputs + out);
}

export const shira = moduleForm<ShiraConfig>({
  method,
  check: ({ config, file }) => {
    if (config.mask_type !== "random") refuseField(file, "mask_type", method.peftType);
  },
  tensors: (module, { config }) => [
    { suffix: "shira_weight", shape: [countOf(module, config)] },
    { suffix: "shira_indices", shape: [2, countOf(module, config)], isTrained: false },
  ],
  initialize: (module, { config, random }) => {
    const count = countOf(module, config);
    const order = torchGenerator(config.random_seed ?? defaultSeed);
    const places = order.permutation(module.in * module.out, count).sort();
    const indices = new Float32Array(2 * count);
    places.forEach((place, i) => {
      indices[i] = Math.floor(place / module.in);
      indices[count + i] = place % module.in;
    });
    const isZero = config["init_weights"] !== false;
    const values = isZero ? zeros([count]) : normal(random, [count]);
    return { shira_weight: values, shira_indices: indices };
  },
  forward: (g, { module, config, x, base, own }) => {
    const { in: inputs, out } = module;
    const whole = g.cast(own("shira_indices"), onnxTypes.int64);
    const [rows, columns] = g.split(whole, [1, 1], 0) as [typeof whole, typeof whole];
    const places = flat(g, g.add(g.mul(rows, g.int64s([inputs])), columns));
    const values = own("shira_weight");
    const delta = scattered(g, { values, places, rows: out, columns: inputs });
    return countOf(module, config) === 0 ? base(x) : g.add(base(x), g.matMulTransposed(x, delta));
  },
});
