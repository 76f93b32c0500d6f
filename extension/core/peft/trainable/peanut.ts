/**
 * PEANuT (PEFT tuners/peanut/layer.py): ΔW = scaling · B h, where a small network of the weight's columns
 * gives h [r, in]: f(A W), then f(E h) for every encoder and f(D h) plus what its encoder read for every
 * decoder. B begins with zeros.
 */
import type { GraphBuilder } from "../../onnx/builder.ts";
import type { Value } from "../../onnx/graph.ts";
import type { LinearModule } from "../../onnx/layerHook.ts";
import { peanut as method, type PeanutConfig } from "../peanut.ts";
import { activation } from "./activation.ts";
import { kaiming, zeros } from "./draws.ts";
import { type FormLayer, moduleForm, type OwnTensor } from "./moduleForm.ts";

function tensors({ out }: LinearModule, { r, depth }: PeanutConfig): OwnTensor[] {
  const layers = (name: string): OwnTensor[] =>
    Array.from({ length: depth }, (_, i) => ({ suffix: `${name}.${i}.weight`, shape: [r, r] }));
  return [
    { suffix: "peanut_A.weight", shape: [r, out] },
    { suffix: "peanut_B.weight", shape: [out, r] },
    ...layers("peanut_encoders"),
    ...layers("peanut_decoders"),
  ];
}

/** h [r, in] */
function hidden(g: GraphBuilder, { config, weight, own }: FormLayer<PeanutConfig>): Value {
  const layer = (suffix: string, input: Value): Value =>
    activation(g, config.act_fn, g.matMul(own(`${suffix}.weight`), input));
  let h = layer("peanut_A", weight());
  const read: Value[] = [];
  for (let i = 0; i < config.depth; i++) {
    read.push(h);
    h = layer(`peanut_encoders.${i}`, h);
  }
  for (let i = 0; i < config.depth; i++)
    h = g.add(layer(`peanut_decoders.${i}`, h), read.pop() as Value);
  return h;
}

export const peanut = moduleForm<PeanutConfig>({
  method,
  tensors: (module, { config }) => tensors(module, config),
  initialize: (module, { config, random }) => {
    const [a, b, ...rest] = tensors(module, config) as [OwnTensor, OwnTensor, ...OwnTensor[]];
    // New layers draw, B last; then all are drawn once more.
    for (const { shape } of [a, ...rest, b]) kaiming(random, shape);
    const drawn = [a, ...rest].map(
      ({ suffix, shape }) => [suffix, kaiming(random, shape)] as const,
    );
    const isZero = config["init_weights"] !== false;
    const last = isZero ? zeros(b.shape) : kaiming(random, b.shape);
    return { ...Object.fromEntries(drawn), [b.suffix]: last };
  },
  forward: (g, layer) => {
    const { config, x, base, own } = layer;
    const inner = g.matMulTransposed(x, hidden(g, layer));
    return g.add(
      base(x),
      g.scale(g.matMulTransposed(inner, own("peanut_B.weight")), config.scaling),
    );
  },
});
