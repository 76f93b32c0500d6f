/**
 * Supertuning (PEFT tuners/supertuning/layer.py): W' = W + trained numbers at the entries of largest or
 * smallest magnitude, and a LoRA beside them where there is a rank. Places are fed as they are stored, so
 * that a loaded adapter keeps its own.
 */
import { t } from "@vscode/l10n";
import { unsupported } from "../../base/errors.ts";
import { onnxTypes } from "../../onnx/graph.ts";
import {
  alphaOf,
  extremes,
  names,
  shapes,
  supertuning as method,
  type SupertuningConfig,
} from "../supertuning.ts";
import { scattered } from "./algebra.ts";
import { kaiming, normal, zeros } from "./draws.ts";
import { type Initial, type InitialContext, moduleForm, numberOf } from "./moduleForm.ts";
import type { LinearModule } from "../../onnx/layerHook.ts";

/** Whole numbers that a float32 tells apart: places are fed as such. */
const mostEntries = 2 ** 24;

function lora(
  module: LinearModule,
  { config, random }: InitialContext<SupertuningConfig>,
  isZero: boolean,
): Initial {
  const { r } = config;
  if (r === null) return {};
  const [a, b] = [
    [r, module.in],
    [module.out, r],
  ] as const;
  // New layers draw, then both are drawn once more.
  for (const shape of [a, b]) kaiming(random, shape);
  const drawn = kaiming(random, a);
  return { [names.a]: drawn, [names.b]: isZero ? zeros(b) : kaiming(random, b) };
}

export const supertuning = moduleForm<SupertuningConfig>({
  method,
  check: ({ config, file, targets }) => {
    for (const module of targets) {
      const { path, in: inputs, out } = module;
      const [count = 0] = shapes(module, config)[names.values] ?? [];
      if (count === 0)
        throw unsupported(
          t("{0}: a sparsity of {1} trains no entry of {2}", file, config.sparsity, path),
          t("Lower the sparsity."),
        );
      if (inputs * out > mostEntries)
        throw unsupported(
          t("{0}: Graft trains Supertuning on layers of at most 16,777,216 weights", file),
          t("{0} has {1}.", path, inputs * out),
        );
    }
  },
  dropout: (config) => (config.r === null ? 0 : numberOf(config, "lora_dropout")),
  tensors: (module, { config }) => {
    const own = shapes(module, { ...config, save_precomputed_indices: true });
    return Object.entries(own).map(([suffix, shape]) => ({
      suffix,
      shape,
      ...(suffix === names.indices && {
        isTrained: false,
        isStored: config.save_precomputed_indices,
      }),
    }));
  },
  initialize: async (module, context) => {
    const { config, random, weight } = context;
    const [count = 0] = shapes(module, config)[names.values] ?? [];
    const isZero = config["init_weights"] !== false;
    return {
      [names.indices]: Float32Array.from(extremes(await weight(module), count, config.select_top)),
      [names.values]: isZero ? zeros([count]) : normal(random, [count]),
      ...lora(module, context, isZero),
    };
  },
  forward: (g, { module, config, x, base, own, dropout }) => {
    const places = g.cast(own(names.indices), onnxTypes.int64);
    const size = { rows: module.out, columns: module.in };
    const sparse = scattered(g, { values: own(names.values), places, ...size });
    const y = g.add(base(x), g.matMulTransposed(x, sparse));
    const { r } = config;
    if (r === null) return y;
    const inner = g.matMulTransposed(dropout(x), own(names.a));
    return g.add(
      y,
      g.scale(g.matMulTransposed(inner, own(names.b)), (alphaOf(config) as number) / r),
    );
  },
});
