/**
 * FourierFT (PEFT tuners/fourierft/layer.py): ΔW = scaling · Re(ifft2(S)), S with trained numbers at
 * places that a seed draws. With C and N of cos and sin, Re(ifft2(S)) = (C S C − N S N) / (out · in).
 */
import type { GraphBuilder } from "../../onnx/builder.ts";
import type { Value } from "../../onnx/graph.ts";
import type { LinearModule } from "../../onnx/layerHook.ts";
import { fourierFt as method, type FourierFtConfig, spectralPlaces } from "../fourierFt.ts";
import { matchNameEnd } from "../tuner/patterns.ts";
import { indices, scattered } from "./algebra.ts";
import { normal, zeros } from "./draws.ts";
import { moduleForm, type Settings } from "./moduleForm.ts";

function countOf({ path }: LinearModule, { config, file }: Settings<FourierFtConfig>): number {
  const at = { field: "n_frequency_pattern", file };
  return matchNameEnd(config.n_frequency_pattern, path, at) ?? config.n_frequency;
}

/** cos or sin of 2π i j / size: symmetric. */
function wave(g: GraphBuilder, kind: "cos" | "sin", size: number): Value {
  const angle = (2 * Math.PI) / size;
  const values = Float32Array.from({ length: size * size }, (_, i) =>
    Math[kind](angle * ((Math.floor(i / size) * (i % size)) % size)),
  );
  return g.float32s(`const.${kind}.${size}`, values, [size, size]);
}

export const fourierFt = moduleForm<FourierFtConfig>({
  method,
  tensors: (module, context) => [
    { suffix: "fourierft_spectrum", shape: [countOf(module, context)] },
  ],
  initialize: (module, context) => {
    const shape = [countOf(module, context)];
    const drawn = normal(context.random, shape);
    const isZero = context.config["init_weights"] === true;
    return { fourierft_spectrum: isZero ? zeros(shape) : drawn };
  },
  forward: (g, layer) => {
    const { module, config, file, x, base, own } = layer;
    const { in: inputs, out } = module;
    const [count, seed] = [countOf(module, layer), config.random_loc_seed];
    const places = indices(
      g,
      `places.${seed}.${count}.${out}.${inputs}`,
      spectralPlaces(module, { seed, count, file }),
    );
    const values = g.scale(own("fourierft_spectrum"), config.scaling / (out * inputs));
    const spectrum = scattered(g, { values, places, rows: out, columns: inputs });
    const part = (kind: "cos" | "sin"): Value =>
      g.matMul(g.matMul(wave(g, kind, out), spectrum), wave(g, kind, inputs));
    return g.add(base(x), g.matMulTransposed(x, g.sub(part("cos"), part("sin"))));
  },
});
