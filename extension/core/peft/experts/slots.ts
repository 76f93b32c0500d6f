/**
 * Where adapters plug into experts: two graph inputs for each of their matrices. Factors of the
 * experts that the tokens of a run have chosen are picked first, so that a step of few tokens reads
 * few of them; every pair of token and expert then keeps the ranks of its own expert alone.
 */
import type { ExpertStack } from "../../checkpoint/modules.ts";
import type { GraphBuilder } from "../../onnx/builder.ts";
import type { Value } from "../../onnx/graph.ts";
import type { ExpertChoice, ExpertMatrix } from "../../onnx/layerHook.ts";
import { distinct, matches, reshapeBy, reshapeTo, shapeOf } from "../../onnx/routing.ts";
import { activeExperts } from "./effect.ts";
import { stackRows } from "../slots/stackRows.ts";
import type { ActiveEffects } from "../activeEffects.ts";
import type { SlotTensor } from "../slots/slotTensors.ts";

/** The experts that a run needs. */
interface Needed {
  /** Their numbers, [needed]. */
  readonly experts: Value;
  /** 1 where a pair chose an expert, [batch, seq, experts a token, needed]. */
  readonly isChosen: Value;
}

/** Factors of all experts, [adapters, rank · experts, in] and [adapters, rank · experts, out]; ranks first. */
export interface ExpertFactors {
  readonly a: Value;
  readonly b: Value;
}

/** Makes the update of experts' rows; what layers share is computed once. */
export function expertSlots(
  factors: (g: GraphBuilder, matrix: ExpertMatrix) => ExpertFactors = fedFactors,
): (g: GraphBuilder, matrix: ExpertMatrix) => Value {
  const known = new Map<Value, Needed>();
  return (g, matrix) => {
    const { choice } = matrix;
    const needed = known.get(choice.chosen) ?? neededExperts(g, choice);
    known.set(choice.chosen, needed);
    return g.scope(matrix.name, () => update(g, { matrix, needed, ...factors(g, matrix) }));
  };
}

function fedFactors(g: GraphBuilder, { name, in: inputs, out }: ExpertMatrix): ExpertFactors {
  const input = (part: string, size: number): Value =>
    g.input(`${name}.${part}`, "float32", ["adapters", `${name}.ranks`, size]);
  return { a: input("lora_A", inputs), b: input("lora_B", out) };
}

function neededExperts(g: GraphBuilder, { chosen }: ExpertChoice): Needed {
  const experts = distinct(g, chosen);
  return { experts, isChosen: matches(g, [g.unsqueeze(chosen, -1), experts], "float32") };
}

/** [batch, pairs, out] */
function update(
  g: GraphBuilder,
  { matrix, needed, a: allA, b: allB }: { matrix: ExpertMatrix; needed: Needed } & ExpertFactors,
): Value {
  const { in: inputs, out, x, choice } = matrix;
  const { experts, isChosen } = needed;
  // [adapters, rank · experts, size] → [adapters, rank · needed, size]
  const picked = (all: Value, size: number): Value => {
    const own = g.gather(g.reshape(all, [0, -1, matrix.count, size]), experts, 2);
    return g.reshape(own, [0, -1, size]);
  };
  const [a, b] = [picked(allA, inputs), picked(allB, out)];
  const hidden = g.matMulTransposed(x, a);
  const last = shapeOf(g, experts);
  // What a token's own expert has not stays out: [.., rank, needed] ⊙ [.., 1, needed].
  const own =
    matrix.of === "tokens"
      ? g.mul(reshapeBy(g, hidden, { first: [0, 0, 1, -1], last }), g.unsqueeze(isChosen, 3))
      : g.mul(
          reshapeBy(g, hidden, { first: [0, 0, -1], last }),
          reshapeBy(g, isChosen, { first: [0, -1, 1], last }),
        );
  const rows = reshapeTo(g, own, [shapeOf(g, choice.pairs), shapeOf(g, a, [1, 2])]);
  return g.matMul(rows, b);
}

/** The tensors of all experts' slots for the active adapters of each row of a batch. */
export function expertTensors(
  stacks: readonly ExpertStack[],
  rows: readonly (readonly ActiveEffects[])[],
): SlotTensor[] {
  const tensors = rows.map((active) => stacks.flatMap((stack) => stackTensors(stack, active)));
  return tensors.length === 1 ? (tensors[0] as SlotTensor[]) : stackRows(tensors);
}

function stackTensors(
  { path, count, parameters }: ExpertStack,
  active: readonly ActiveEffects[],
): SlotTensor[] {
  return parameters.flatMap(({ name, in: inputs, out }) => {
    const own = activeExperts(`${path}.${name}`, active);
    const tensor = (part: string, size: number, data?: Float32Array): SlotTensor => ({
      name: `${path}.${name}.${part}`,
      shape: [1, (own?.rank ?? 0) * count, size],
      data: data ?? new Float32Array(0),
    });
    return [tensor("lora_A", inputs, own?.a), tensor("lora_B", out, own?.b)];
  });
}
