/**
 * WaveFT (PEFT tuners/waveft/layer.py): ΔW = scaling · one step of the inverse wavelet transform of trained
 * numbers at places that a seed draws. Each of them adds a patch, so that ΔW is their products with the
 * patches' constants, summed up where patches overlap.
 */
import type { GraphBuilder } from "../../onnx/builder.ts";
import type { Value } from "../../onnx/graph.ts";
import type { LinearModule } from "../../onnx/layerHook.ts";
import { spectralPlaces } from "../fourierFt.ts";
import {
  ownCount,
  patches,
  proportionalCount,
  waveFt as method,
  type WaveFtConfig,
} from "../waveFt.ts";
import { scalingFilters } from "../waveletFilters.ts";
import { indices, scattered } from "./algebra.ts";
import { normal, zeros } from "./draws.ts";
import { type FormLayer, moduleForm } from "./moduleForm.ts";

const suffix = "waveft_spectrum";

function countOf(
  module: LinearModule,
  { config, file, targets }: Pick<FormLayer<WaveFtConfig>, "config" | "file" | "targets">,
): number {
  return config.proportional_parameters
    ? proportionalCount(module, config, targets)
    : ownCount(module, config, file);
}

/** [out, in] */
function update(g: GraphBuilder, layer: FormLayer<WaveFtConfig>): Value {
  const { module, config, file, own } = layer;
  const { in: inputs, out } = module;
  const seed = config.random_loc_seed;
  const count = countOf(module, layer);
  const places = spectralPlaces(module, { seed, count, file });
  const size = { rows: out, columns: inputs };
  const name = `${seed}.${count}.${out}.${inputs}`;
  const trained = g.scale(own(suffix), config.scaling);
  if (!config.use_idwt)
    return scattered(g, { values: trained, places: indices(g, `places.${name}`, places), ...size });
  const filter = scalingFilters[config.wavelet_family] as readonly number[];
  const made = patches(module, { places, filter });
  const family = `${config.wavelet_family}.${name}`;
  const factors = g.float32s(`const.wavelets.${family}`, made.factors, [made.factors.length]);
  const spread = g.gather(trained, indices(g, `wavelets.of.${family}`, made.of));
  const to = indices(g, `wavelets.to.${family}`, made.to);
  return scattered(g, { values: g.mul(spread, factors), places: to, ...size });
}

export const waveFt = moduleForm<WaveFtConfig>({
  method,
  tensors: (module, context) => [{ suffix, shape: [countOf(module, context)] }],
  initialize: (module, context) => {
    const shape = [countOf(module, context)];
    const isZero = context.config["init_weights"] !== false;
    return { [suffix]: isZero ? zeros(shape) : normal(context.random, shape, [0, 0.01]) };
  },
  forward: (g, layer) => g.add(layer.base(layer.x), g.matMulTransposed(layer.x, update(g, layer))),
});
