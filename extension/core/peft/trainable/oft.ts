/**
 * OFT (PEFT tuners/oft/layer.py): y = base(x R) with R block-diagonal and orthogonal, Cayley's form of
 * skew-symmetric blocks Q: exactly (I − Q)(I + Q)⁻¹ or the first terms I + 2Q + 2Q² + … + Qⁿ of its series.
 * With coft PEFT projects the stored numbers in every forward pass; so does `settle`, and the gradient is
 * that at the projected ones.
 */
import type { GraphBuilder } from "../../onnx/builder.ts";
import type { Value } from "../../onnx/graph.ts";
import type { LinearModule } from "../../onnx/layerHook.ts";
import { blocksOf, oft as method, type OftConfig } from "../oft.ts";
import { identity, inverseOfTurned, norm, skew, slice, turnBlocks } from "./algebra.ts";
import { normal, zeros } from "./draws.ts";
import type { ModuleMasks } from "./dropout.ts";
import { moduleForm, numberOf } from "./moduleForm.ts";

const suffix = "oft_R.weight";

function shapeOf(module: LinearModule, config: OftConfig): [number, number] {
  const { blocks, size } = blocksOf(module.in, config);
  return [config.block_share ? 1 : blocks, (size * (size - 1)) / 2];
}

/** Cayley's transform of skew-symmetric blocks [n, size, size]. */
export function cayley(
  g: GraphBuilder,
  q: Value,
  { size, terms }: { size: number; terms: number | null },
): Value {
  const unit = identity(g, size);
  if (terms === null) return g.matMul(g.sub(unit, q), inverseOfTurned(g, q, size));
  let sum = unit;
  let power = q;
  // As PEFT counts, three terms end where four do.
  const last = terms > 2 ? Math.max(3, terms - 1) : terms - 1;
  for (let term = 1; term <= last; term++) {
    if (term > 1) power = g.matMul(power, q);
    sum = g.add(sum, g.scale(power, term === last && term > 1 ? 1 : 2));
  }
  return sum;
}

/** Triangles of at most eps / √blocks, without a gradient of the cut. */
function confined(g: GraphBuilder, weight: Value, at: { bound: number }): Value {
  const still = g.detach(weight);
  // A skew-symmetric block holds each number twice.
  const length = g.scale(norm(g, still, [1], 1e-30), Math.SQRT2);
  const cut = g.div(g.scalar(at.bound), g.max(length, g.scalar(at.bound)));
  return g.add(g.sub(weight, still), g.mul(still, cut));
}

/** The same, in numbers. */
function confinedRows(
  tensor: Float32Array,
  [count, size]: readonly [number, number],
  eps: number,
): Float32Array {
  const bound = eps / Math.sqrt(count);
  const lengths = Array.from({ length: count }, (_, row) => {
    const own = tensor.subarray(row * size, (row + 1) * size);
    return Math.sqrt(2 * own.reduce((sum, value) => sum + value * value, 0));
  });
  return tensor.map((value, i) => {
    const length = lengths[Math.floor(i / size)] as number;
    return length <= bound ? value : value * (bound / length);
  });
}

/** Which of a module's blocks [count] are left out: a share of them, none of one alone; null for never. */
function stillBlocks(config: OftConfig, count: number, masks: ModuleMasks): Value | null {
  const share = numberOf(config, "module_dropout");
  if (share <= 0) return null;
  const left = count === 1 ? 0 : Math.trunc(share * count);
  return masks.exactly(left, { size: count, key: "blocks" });
}

/** Blocks [n, size, size], those that are left out turned into ones that turn nothing. */
export function someStill(
  g: GraphBuilder,
  blocks: Value,
  { size, left }: { size: number; left: Value | null },
): Value {
  if (left === null) return blocks;
  const mask = g.reshape(left, [-1, 1, 1]);
  const kept = g.mul(g.sub(g.scalar(1), mask), blocks);
  return g.add(kept, g.mul(mask, identity(g, size)));
}

export const oft = moduleForm<OftConfig>({
  method,
  dropout: (config) => numberOf(config, "module_dropout"),
  tensors: (module, context) => [{ suffix, shape: shapeOf(module, context.config) }],
  initialize: (module, context) => {
    const shape = shapeOf(module, context.config);
    const isRandom = context.config["init_weights"] === false;
    return { [suffix]: isRandom ? normal(context.random, shape, [0, 0.1]) : zeros(shape) };
  },
  settle: (tensor, { module, config }) =>
    config.coft ? confinedRows(tensor, shapeOf(module, config), config.eps) : tensor,
  forward: (g, { module, config, x, base, own, masks }) => {
    const { blocks, size } = blocksOf(module.in, config);
    const count = config.block_share ? 1 : blocks;
    const bound = config.eps / Math.sqrt(count);
    const weight = config.coft ? confined(g, own(suffix), { bound }) : own(suffix);
    if (size === 1) return base(x);
    const terms = config.use_cayley_neumann ? config.num_cayley_neumann_terms : null;
    const all = cayley(g, skew(g, weight, size), { size, terms });
    const turns = someStill(g, all, { size, left: stillBlocks(config, count, masks) });
    const shared = count === 1 ? slice(g, turns, { from: 0, to: 1, axis: 0 }) : turns;
    return base(turnBlocks(g, x, { blocks: shared, count: blocks, size }));
  },
});
