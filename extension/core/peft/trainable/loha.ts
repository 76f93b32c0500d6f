/**
 * LoHa (PEFT tuners/loha/layer.py): ΔW = (w1a w1b) ⊙ (w2a w2b) · alpha / r. w2b begins with zeros, the
 * others as Kaiming has it.
 */
import type { LinearModule } from "../../onnx/layerHook.ts";
import { loha as method, type LohaConfig } from "../loha.ts";
import { lycorisScale } from "../lycorisConfig.ts";
import { kaimingOrZeros } from "./draws.ts";
import { lycorisDropout, withLycorisDropout } from "./lycorisDropout.ts";
import { moduleForm, type Settings, type OwnTensor } from "./moduleForm.ts";

function tensors(
  { path, in: inputs, out }: LinearModule,
  { config, file }: Settings<LohaConfig>,
): OwnTensor[] {
  const { rank } = lycorisScale(config, path, file);
  return [
    { suffix: "hada_w1_a", shape: [out, rank] },
    { suffix: "hada_w1_b", shape: [rank, inputs] },
    { suffix: "hada_w2_a", shape: [out, rank] },
    { suffix: "hada_w2_b", shape: [rank, inputs] },
  ];
}

export const loha = moduleForm<LohaConfig>({
  method,
  dropout: lycorisDropout,
  tensors,
  initialize: (module, context) =>
    kaimingOrZeros(
      context.random,
      tensors(module, context),
      (suffix) => suffix === "hada_w2_b" && context.config.init_weights,
    ),
  forward: (g, layer) => {
    const { module, config, file, x, base, own } = layer;
    const first = g.matMul(own("hada_w1_a"), own("hada_w1_b"));
    const second = g.matMul(own("hada_w2_a"), own("hada_w2_b"));
    const { scaling } = lycorisScale(config, module.path, file);
    const delta = g.matMulTransposed(x, g.scale(g.mul(first, second), scaling));
    return g.add(base(x), withLycorisDropout(g, delta, { layer, isScaled: true }));
  },
});
