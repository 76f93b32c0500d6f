/**
 * BOFT (PEFT tuners/boft/layer.py): y = s ⊙ W (x F1 … Fm) + b, each factor F = P R Pᵀ with Cayley's
 * rotations R of blocks 0.5 (M − Mᵀ) and a butterfly permutation P. Without its CUDA extension PEFT trains
 * one factor whatever the config says; here all are trained.
 */
import { t } from "@vscode/l10n";
import { misfit } from "../../base/errors.ts";
import type { GraphBuilder } from "../../onnx/builder.ts";
import type { Value } from "../../onnx/graph.ts";
import type { LinearModule } from "../../onnx/layerHook.ts";
import { blocksOf, boft as method, type BoftConfig, butterfly } from "../boft.ts";
import { flat, pick, slice, turnBlocks } from "./algebra.ts";
import { filled, normal, zeros } from "./draws.ts";
import type { ModuleMasks } from "./dropout.ts";
import { moduleForm, numberOf, type Settings, type OwnTensor } from "./moduleForm.ts";
import { cayley, someStill } from "./oft.ts";

function tensors(module: LinearModule, { config, file }: Settings<BoftConfig>): OwnTensor[] {
  const { blocks, size } = blocksOf(module.in, config, file);
  return [
    { suffix: "boft_R", shape: [config.boft_n_butterfly_factor, blocks, size, size] },
    { suffix: "boft_s", shape: [module.out, 1] },
  ];
}

function orderOf(
  module: LinearModule,
  at: { blocks: number; size: number; factor: number; factors: number; file: string },
): number[] {
  const order = butterfly(module.in, at);
  if (order) return order;
  throw misfit(
    t(
      "{0}: {1} blocks of {2} on {3} do not allow {4} butterfly factors.",
      at.file,
      at.blocks,
      at.size,
      module.path,
      at.factors,
    ),
  );
}

/** Which blocks [blocks] of a factor are left out: a share of those of one factor, whichever; null for never. */
function stillBlocks(
  g: GraphBuilder,
  at: { config: BoftConfig; blocks: number; masks: ModuleMasks },
): ((factor: number) => Value) | null {
  const { config, blocks, masks } = at;
  const share = numberOf(config, "boft_dropout");
  if (share <= 0) return null;
  const left = masks.exactly(Math.trunc(share * blocks), { size: blocks, key: "blocks" });
  const factors = config.boft_n_butterfly_factor;
  if (factors === 1) return () => left;
  const chosen = masks.exactly(1, { size: factors, key: "factor" });
  return (factor) => g.mul(left, slice(g, chosen, { from: factor, to: factor + 1, axis: 0 }));
}

export const boft = moduleForm<BoftConfig>({
  method,
  dropout: (config) => numberOf(config, "boft_dropout"),
  tensors,
  initialize: (module, context) => {
    const [r, s] = tensors(module, context) as [OwnTensor, OwnTensor];
    if (context.config["init_weights"] !== false)
      return { boft_R: zeros(r.shape), boft_s: filled(s.shape, 1) };
    const boft_R = normal(context.random, r.shape, [0, 0.1]);
    return { boft_R, boft_s: normal(context.random, s.shape, [1, 0.1]) };
  },
  forward: (g, { module, config, file, x, base, bias, own, masks }) => {
    const { blocks, size } = blocksOf(module.in, config, file);
    const factors = config.boft_n_butterfly_factor;
    const left = stillBlocks(g, { config, blocks, masks });
    let turned = x;
    for (let factor = factors - 1; factor >= 0; factor--) {
      const factorOwn = slice(g, own("boft_R"), { from: factor, to: factor + 1, axis: 0 });
      const m = g.reshape(factorOwn, [blocks, size, size]);
      const q = g.scale(g.sub(m, g.transpose(m, [0, 2, 1])), 0.5);
      const all = cayley(g, q, { size, terms: null });
      const turns = someStill(g, all, { size, left: left?.(factor) ?? null });
      const places = orderOf(module, { blocks, size, factor, factors, file });
      const inverse = new Int32Array(places.length);
      places.forEach((place, i) => (inverse[place] = i));
      const name = `butterfly.${module.in}.${size}.${factor}.${factors}`;
      const isMoved = factors > 1;
      const move = (value: Value, to: ArrayLike<number>, key: string): Value =>
        isMoved ? pick(g, value, { name: `${name}.${key}`, places: to }) : value;
      const sorted = move(turned, inverse, "in");
      turned = move(turnBlocks(g, sorted, { blocks: turns, count: blocks, size }), places, "out");
    }
    const [y, b, scale] = [base(turned), bias(), flat(g, own("boft_s"))];
    return b === null ? g.mul(y, scale) : g.add(g.mul(g.sub(y, b), scale), b);
  },
});
