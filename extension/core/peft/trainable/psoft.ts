/**
 * PSOFT (PEFT tuners/psoft/layer.py): ΔW = s B (R − I) A, where R = diag(b) Q diag(a) is trained and A and
 * B are the weight's largest singular directions. The file has R alone, so A and B have the signs that
 * PyTorch finds (base/svd.ts), here as in answers.
 */
import { decompositionCost, patientSingularVectors } from "../../base/svd.ts";
import type { GraphBuilder } from "../../onnx/builder.ts";
import type { Value } from "../../onnx/graph.ts";
import { after, before, psoft as method, type PsoftConfig, rotation, strengths } from "../psoft.ts";
import { identity, norm, skew } from "./algebra.ts";
import { filled, normal, zeros } from "./draws.ts";
import { type FormLayer, moduleForm, numberOf, type OwnTensor } from "./moduleForm.ts";
import { cayley } from "./oft.ts";

/** Of one layer, beside what is stored; B carries the scaling. */
const [frozenA, frozenB] = ["psoft_A", "psoft_B"] as const;

/** R [r, r] (OrthLayer.get_matrix). */
function turn(g: GraphBuilder, { config, own }: FormLayer<PsoftConfig>): Value {
  const { r } = config;
  // One direction cannot be turned.
  const rotate = (): Value => (r === 1 ? identity(g, 1) : rotated(g, own, config));
  let turned = config.psoft_orth ? rotate() : own(rotation);
  if (config.psoft_mag_b) turned = g.mul(g.reshape(own(after), [r, 1]), turned);
  return config.psoft_mag_a ? g.mul(turned, own(before)) : turned;
}

/** (I + Q)(I − Q)⁻¹, or its series with Q's norm held below a bound, through which the gradient goes. */
function rotated(
  g: GraphBuilder,
  own: (suffix: string) => Value,
  { r, use_cayley_neumann: isSeries, cayley_neumann_eps: bound, ...config }: PsoftConfig,
): Value {
  const q = skew(g, g.reshape(own(rotation), [1, -1]), r);
  if (!isSeries) return g.reshape(cayley(g, g.neg(q), { size: r, terms: null }), [r, r]);
  const held = bound === null ? q : g.mul(q, g.div(g.scalar(bound), norm(g, q, [1, 2], bound)));
  const terms = config.num_cayley_neumann_terms;
  return g.reshape(cayley(g, held, { size: r, terms }), [r, r]);
}

export const psoft = moduleForm<PsoftConfig>({
  method,
  dropout: (config) => numberOf(config, "psoft_dropout"),
  tensors: ({ in: inputs, out }, { config }): OwnTensor[] => {
    const { r, psoft_orth: isRotation } = config;
    const count = (r * (r - 1)) / 2;
    const unseen = { isTrained: false, isStored: false };
    return [
      { suffix: rotation, shape: isRotation ? [count] : [r, r], isTrained: r > 1 || !isRotation },
      ...(config.psoft_mag_b ? [{ suffix: after, shape: [r] }] : []),
      ...(config.psoft_mag_a ? [{ suffix: before, shape: [r] }] : []),
      { suffix: frozenA, shape: [r, inputs], ...unseen },
      { suffix: frozenB, shape: [out, r], ...unseen },
    ];
  },
  cost: ({ in: columns, out: rows }) => decompositionCost(rows, columns),
  initialize: async (module, { config, random, weight, signal }) => {
    const { r, psoft_orth: isRotation } = config;
    const size = { rows: module.out, columns: module.in, count: r };
    const own = await weight(module);
    const { values, left, right } = await patientSingularVectors(own, size, signal);
    const { onB, onA } = strengths(values, config);
    return {
      [rotation]: beginning(isRotation, { r, isDrawn: config["init_weights"] === false, random }),
      [after]: filled([r], 1),
      [before]: filled([r], 1),
      [frozenA]: Float32Array.from({ length: r * module.in }, (_, i) => {
        const k = Math.floor(i / module.in);
        return (right[k]?.[i % module.in] as number) * (onA[k] as number);
      }),
      [frozenB]: Float32Array.from({ length: module.out * r }, (_, i) => {
        const k = i % r;
        return (left[k]?.[Math.floor(i / r)] as number) * (onB[k] as number);
      }),
    };
  },
  forward: (g, layer) => {
    const { x, base, own, dropout } = layer;
    const inner = g.matMulTransposed(dropout(x), own(frozenA));
    const change = g.sub(g.matMulTransposed(inner, turn(g, layer)), inner);
    return g.add(base(x), g.matMulTransposed(change, own(frozenB)));
  },
});

function beginning(
  isRotation: boolean,
  { r, isDrawn, random }: { r: number; isDrawn: boolean; random: Parameters<typeof normal>[0] },
): Float32Array {
  const shape = isRotation ? [(r * (r - 1)) / 2] : [r, r];
  if (isRotation) return isDrawn ? normal(random, shape, [0, 0.1]) : zeros(shape);
  const noise = isDrawn ? normal(random, shape) : zeros(shape);
  return noise.map((value, i) => value * 0.1 + (i % (r + 1) === 0 ? 1 : 0));
}
