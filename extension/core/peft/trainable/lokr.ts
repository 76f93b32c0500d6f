/**
 * LoKr (PEFT tuners/lokr/layer.py): ΔW = alpha / r · w1 ⊗ w2. The product is never made: with x cut into
 * [in 1, in 2], ΔW x = w1 (x w2ᵀ). w1 begins with zeros, in the way of LyCORIS w2 does.
 */
import type { Value } from "../../onnx/graph.ts";
import type { LinearModule } from "../../onnx/layerHook.ts";
import { blocks, lokr as method, type LokrConfig } from "../lokr.ts";
import { lycorisScale } from "../lycorisConfig.ts";
import { kaimingOrZeros } from "./draws.ts";
import { lycorisDropout, withLycorisDropout } from "./lycorisDropout.ts";
import { moduleForm, type Settings, type OwnTensor } from "./moduleForm.ts";

function tensors(module: LinearModule, { config, file }: Settings<LokrConfig>): OwnTensor[] {
  const [first, second] = blocks(module, config, lycorisScale(config, module.path, file).rank);
  const matrix = (name: string, { out, in: inputs, rank }: typeof first): OwnTensor[] =>
    rank === null
      ? [{ suffix: name, shape: [out, inputs] }]
      : [
          { suffix: `${name}_a`, shape: [out, rank] },
          { suffix: `${name}_b`, shape: [rank, inputs] },
        ];
  return [...matrix("lokr_w1", first), ...matrix("lokr_w2", second)];
}

/** Which tensors begin with zeros. */
function isZero(suffix: string, { init_weights: init }: LokrConfig): boolean {
  if (init === "lycoris") return suffix === "lokr_w2" || suffix === "lokr_w2_b";
  return init && (suffix === "lokr_w1" || suffix === "lokr_w1_a");
}

/** PEFT's lycoris way draws the second matrix's a after b is zero; the order of draws is the tensors'. */
export const lokr = moduleForm<LokrConfig>({
  method,
  dropout: lycorisDropout,
  tensors,
  initialize: (module, context) =>
    kaimingOrZeros(context.random, tensors(module, context), (suffix) =>
      isZero(suffix, context.config),
    ),
  forward: (g, layer) => {
    const { module, config, file, x, base, own } = layer;
    const { rank, scaling } = lycorisScale(config, module.path, file);
    const [left, right] = blocks(module, config, rank);
    const matrix = (name: string, stored: typeof left): Value =>
      stored.rank === null ? own(name) : g.matMul(own(`${name}_a`), own(`${name}_b`));
    const [first, second] = [matrix("lokr_w1", left), matrix("lokr_w2", right)];
    const cut = g.reshape(x, [0, 0, left.in, right.in]);
    const mixed = g.matMul(first, g.matMulTransposed(cut, g.scale(second, scaling)));
    const isScaled = (config as { rank_dropout_scale?: unknown }).rank_dropout_scale === true;
    const delta = g.reshape(mixed, [0, 0, module.out]);
    return g.add(base(x), withLycorisDropout(g, delta, { layer, isScaled }));
  },
});
