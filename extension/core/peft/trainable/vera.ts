/**
 * VeRA (PEFT tuners/vera): ΔW = diag(λb) B diag(λd) A with random A and B that all layers share, each
 * taking their first columns and rows. λb begins with zeros, λd with d_initial.
 */
import { kaimingPair, largestLayer } from "../sharedProjection.ts";
import { vera as method, type VeraConfig } from "../vera.ts";
import { slice } from "./algebra.ts";
import { filled, normal, zeros } from "./draws.ts";
import { moduleForm, numberOf, type FormContext, type OwnTensor } from "./moduleForm.ts";

/** The shared matrices, which the file has where it says so. */
export function projection(
  { config, targets }: FormContext<{ r: number; save_projection: boolean }>,
  { names, aRows }: { names: readonly [string, string]; aRows: number },
): OwnTensor[] {
  const { in: inputs, out } = largestLayer(targets);
  const frozen = { isTrained: false, isStored: config.save_projection };
  return [
    { suffix: names[0], shape: [aRows, inputs], ...frozen },
    { suffix: names[1], shape: [out, config.r], ...frozen },
  ];
}

export const vera = moduleForm<VeraConfig>({
  method,
  dropout: (config) => numberOf(config, "vera_dropout"),
  tensors: ({ out }, { config: { r } }) => [
    { suffix: "vera_lambda_b", shape: [out] },
    { suffix: "vera_lambda_d", shape: [r] },
  ],
  shared: (context) =>
    projection(context, { names: ["vera_A", "vera_B"], aRows: context.config.r }),
  initializeShared: ({ config, targets }) => {
    const { in: inputs, out } = largestLayer(targets);
    const size = { aRows: config.r, inputs, out, rank: config.r };
    const { a, b } = kaimingPair(config.projection_prng_key, size);
    return { vera_A: a, vera_B: b };
  },
  initialize: ({ out }, { config, random }) => {
    const drawn = normal(random, [config.r]);
    if (config["init_weights"] === false)
      return { vera_lambda_b: filled([out], 1), vera_lambda_d: drawn };
    const initial = typeof config["d_initial"] === "number" ? config["d_initial"] : 0.1;
    return { vera_lambda_b: zeros([out]), vera_lambda_d: filled([config.r], initial) };
  },
  forward: (g, { module, x, base, own, shared, dropout }) => {
    const a = slice(g, shared("vera_A"), { from: 0, to: module.in, axis: 1 });
    const b = slice(g, shared("vera_B"), { from: 0, to: module.out, axis: 0 });
    const inner = g.mul(g.matMulTransposed(dropout(x), a), own("vera_lambda_d"));
    return g.add(base(x), g.mul(g.matMulTransposed(inner, b), own("vera_lambda_b")));
  },
});
