/**
 * OSF (PEFT tuners/osf/layer.py): W' = W + U S V − U₀ S₀ V₀, where U₀ S₀ V₀ are the smallest singular
 * directions and U, S, V begin as these. Gradients of U and V stay orthogonal to the directions that are
 * kept. Signs of the directions cancel in all of it, so the file means the same to PEFT whatever they are.
 */
import { t } from "@vscode/l10n";
import { GraftError } from "../../base/errors.ts";
import { singularVectors } from "../../base/svd.ts";
import type { GraphBuilder } from "../../onnx/builder.ts";
import type { Value } from "../../onnx/graph.ts";
import type { LinearModule } from "../../onnx/layerHook.ts";
import { keptDirections, left, osf as method, type OsfConfig, right, values } from "../osf.ts";
import { normal } from "./draws.ts";
import { moduleForm, type Settings } from "./moduleForm.ts";
import { refuseField } from "./refuse.ts";

const [oldLeft, oldValues, oldRight] = [
  "osf_U_low_init",
  "osf_S_low_init",
  "osf_V_low_init",
] as const;
/** Directions that are kept, of the longer side of a weight alone: those of a square one follow. */
const [keptLeft, keptRight] = ["osf_U_high", "osf_V_high"] as const;

/** How many directions are kept and trained. */
function sizes(module: LinearModule, settings: Settings<OsfConfig>): { kept: number; low: number } {
  const smaller = Math.min(module.in, module.out);
  const kept = Math.min(smaller, keptDirections(module, settings)[0] ?? 0);
  if (kept > 0 && kept < smaller) return { kept, low: smaller - kept };
  const { file } = settings;
  throw new GraftError(
    "bad-file",
    t(
      '{0}: field "effective_rank" keeps {1} of the {2} directions of {3}: at least one has to be kept, and one trained.',
      file,
      kept,
      smaller,
      module.path,
    ),
    { file, field: "effective_rank" },
  );
}

/** The value, with a gradient that `project` makes of its own: of a symmetric projection. */
function confined(g: GraphBuilder, x: Value, project: (x: Value) => Value): Value {
  const inside = project(x);
  return g.add(inside, g.detach(g.sub(x, inside)));
}

export const osf = moduleForm<OsfConfig>({
  method,
  check: ({ targets, file }) => {
    // PEFT leaves Conv1D layers out without a word.
    if (targets.some(({ isTransposed }) => isTransposed === true))
      refuseField(file, "target_modules", method.peftType);
  },
  tensors: (module, context) => {
    const { kept, low } = sizes(module, context);
    const { in: inputs, out } = module;
    const unseen = { isTrained: false, isStored: false };
    return [
      { suffix: values, shape: [low] },
      { suffix: left, shape: [out, low] },
      { suffix: right, shape: [low, inputs] },
      { suffix: oldLeft, shape: [out, low], ...unseen },
      { suffix: oldValues, shape: [low], ...unseen },
      { suffix: oldRight, shape: [low, inputs], ...unseen },
      ...(out > inputs ? [{ suffix: keptLeft, shape: [out, kept], ...unseen }] : []),
      ...(out < inputs ? [{ suffix: keptRight, shape: [kept, inputs], ...unseen }] : []),
    ];
  },
  initialize: async (module, context) => {
    const { in: inputs, out } = module;
    const { kept, low } = sizes(module, context);
    const whole = singularVectors(await context.weight(module), {
      rows: out,
      columns: inputs,
      count: kept + low,
    });
    const columns = (vectors: readonly Float64Array[]): Float32Array =>
      Float32Array.from({ length: out * vectors.length }, (_, i) => {
        const vector = vectors[i % vectors.length] as Float64Array;
        return vector[Math.floor(i / vectors.length)] as number;
      });
    const rows = (vectors: readonly Float64Array[]): Float32Array =>
      Float32Array.from(vectors.flatMap((vector) => [...vector]));
    const [u, s, v] = [
      columns(whole.left.slice(kept)),
      Float32Array.from(whole.values.slice(kept)),
      rows(whole.right.slice(kept)),
    ];
    const isDrawn = context.config["init_weights"] === false;
    const { random } = context;
    return {
      [left]: isDrawn ? normal(random, [out, low]) : u.slice(),
      [values]: isDrawn ? normal(random, [low]) : s.slice(),
      [right]: isDrawn ? normal(random, [low, inputs]) : v.slice(),
      [oldLeft]: u,
      [oldValues]: s,
      [oldRight]: v,
      [keptLeft]: columns(whole.left.slice(0, kept)),
      [keptRight]: rows(whole.right.slice(0, kept)),
    };
  },
  forward: (g, { module, x, base, own }) => {
    const { in: inputs, out } = module;
    const u = confined(g, own(left), (x) => {
      const side = own(out > inputs ? keptLeft : oldLeft);
      const part = g.matMul(side, g.matMul(g.transpose(side, [1, 0]), x));
      return out > inputs ? g.sub(x, part) : part;
    });
    const v = confined(g, own(right), (x) => {
      const side = own(out < inputs ? keptRight : oldRight);
      const part = g.matMul(g.matMulTransposed(x, side), side);
      return out < inputs ? g.sub(x, part) : part;
    });
    const old = g.neg(g.mul(own(oldLeft), own(oldValues)));
    const a = g.concat([g.mul(u, own(values)), old], 1);
    const b = g.concat([v, own(oldRight)], 0);
    return g.add(base(x), g.matMulTransposed(g.matMulTransposed(x, b), a));
  },
});
