/**
 * Initialisations that take something out of the base's weight W and leave it to the adapter, which
 * a file with raw factors relies on (PEFT lora/layer.py, variants.py). What they take is low-rank and
 * follows from W alone:
 *
 *     PiSSA  (https://arxiv.org/abs/2404.02948)  the r largest singular directions U S Vᵀ
 *     OLoRA  (https://arxiv.org/abs/2406.01775)  s · Q Qᵀ W, Q the first r columns of W = Q R
 *     KaSA   (https://arxiv.org/abs/2412.06071)  the r smallest singular directions U S Vᵀ
 */
import { t } from "@vscode/l10n";
import { householderBasis } from "../base/householder.ts";
import { multiply, transposed } from "../base/matrix.ts";
import { singularPart } from "../base/singular.ts";
import { misfit } from "../base/errors.ts";
import type { LinearModule } from "../onnx/layerHook.ts";
import type { LowRank } from "./effect.ts";
import { type LoraConfig, loraScale, usesKasa } from "./loraConfig.ts";
import type { TunerContext } from "./tuner/tuner.ts";

/** What of a context this needs. */
export type WeightReader = Pick<TunerContext<LoraConfig>, "config" | "file" | "weight">;

/**
 * What a raw adapter's base has lost, with the sign of an update; null for most adapters.
 * @param name what the config's patterns match, where it is not the module
 */
export async function takenFromBase(
  module: LinearModule,
  context: WeightReader,
  name = module.path,
): Promise<LowRank | null> {
  const { config, file } = context;
  const { rank, scaling } = loraScale(config, name, file);
  if (usesKasa(config)) {
    if (rank < Math.min(module.in, module.out)) {
      return singular(module, context, { rank, end: "smallest" });
    }
    throw misfit(
      t(
        "{0}: KaSA's rank is {1}, {2} of this base is {3} × {4}; the rank must be smaller than both.",
        file,
        rank,
        module.path,
        module.out,
        module.in,
      ),
    );
  }
  if (config.init_lora_weights === "pissa") {
    return singular(module, context, { rank, end: "largest" });
  }
  if (config.init_lora_weights === "olora") {
    return firstColumns(await context.weight(module), module, { rank, scaling });
  }
  return null;
}

async function singular(
  module: LinearModule,
  context: WeightReader,
  { rank: count, end }: { rank: number; end: "largest" | "smallest" },
): Promise<LowRank> {
  const { in: columns, out: rows } = module;
  const weight = await context.weight(module);
  const { left, right, rank } = singularPart(weight, { rows, columns, count, end });
  return { a: Float32Array.from(right), b: Float32Array.from(left, (value) => -value), rank };
}

function firstColumns(
  weight: Float32Array,
  { in: inputs, out }: LinearModule,
  { rank: wanted, scaling }: { rank: number; scaling: number },
): LowRank {
  const rank = Math.min(wanted, inputs, out);
  const first = Float32Array.from(
    { length: out * rank },
    (_, i) => weight[Math.floor(i / rank) * inputs + (i % rank)] as number,
  );
  const q = householderBasis(first, out, rank);
  const a = multiply(transposed(q, out, rank), weight, {
    rows: rank,
    inner: out,
    columns: inputs,
  });
  return { a: Float32Array.from(a), b: Float32Array.from(q, (value) => -scaling * value), rank };
}
