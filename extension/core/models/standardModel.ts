import { t } from "@vscode/l10n";
import { unsupported } from "../base/errors.ts";
import { GraphBuilder } from "../onnx/builder.ts";
import { type Graph, onnxTypes, type Value } from "../onnx/graph.ts";
import type { CausalModel } from "./causalModel.ts";
import type { RotaryTable } from "./rope.ts";

/** Masked scores, as sessions feed them. */
const masked = -3.4e38;

/**
 * A decoder's graph with the inputs and outputs that other tools know (optimum, transformers.js,
 * ONNX Runtime GenAI): masks and rotary tables, which Graft's sessions feed, are computed inside.
 *
 * Inputs: `input_ids`, `position_ids` [batch, seq], `attention_mask` [batch, past + seq], all int64;
 * `past_key_values.N.key`, `.value` [batch, kv heads, past, dim]; and those of adapters.
 * Outputs: `logits` [batch, seq, vocabulary]; `present.N.key`, `.value` [batch, kv heads, past + seq, dim].
 * @throws unsupported, by name, for an input that cannot be computed from these
 */
export function standardGraph(
  model: CausalModel,
  adapterInputs: ReadonlySet<string> = new Set(),
): Graph {
  const g = new GraphBuilder();
  const ids = g.input("input_ids", "int64", ["batch", "seq"]);
  const attention = g.input("attention_mask", "int64", ["batch", "total"]);
  const positions = g.input("position_ids", "int64", ["batch", "seq"]);
  const past = pastInputs(g, model);
  const bound = g.scope("inputs", () => {
    const sizes = { past: g.sizeOf(past.get("past_key.0") as Value, 2), seq: g.sizeOf(ids, 1) };
    const start = g.squeeze(sizes.past, 0);
    const total = g.add(start, g.squeeze(sizes.seq, 0));
    return new Map<string, Value>([
      ["input_ids", ids],
      ["kv_sizes", g.concat([sizes.past, sizes.seq], 0)],
      ["logits_rows", g.range(g.int64Scalar(0), g.squeeze(sizes.seq, 0))],
      ...past,
      ...masks(g, model, { attention, start, total }),
      ...rotation(g, model, { ids, positions, total }),
    ]);
  });
  for (const { name } of model.graph.inputs) {
    if (bound.has(name) || adapterInputs.has(name)) continue;
    throw unsupported(
      t('This model computes with "{0}", which an ONNX export cannot have yet', name),
    );
  }
  g.include(model.graph, bound);
  g.output("logits" as Value, "logits", "float32", ["batch", "seq", model.vocabulary]);
  presentOutputs(g, model, past);
  return g.build(model.graph.name);
}

/** By the names of the model's own inputs. */
function pastInputs(g: GraphBuilder, model: CausalModel): Map<string, Value> {
  const past = new Map<string, Value>();
  const shape = ["batch", model.keyValueHeads, "past", model.headDim];
  for (let layer = 0; layer < model.layers; layer++) {
    for (const part of ["key", "value"]) {
      const name = `past_key_values.${layer}.${part}`;
      past.set(`past_${part}.${layer}`, g.input(name, "float32", shape));
    }
  }
  return past;
}

/** Additive masks [batch, 1, queries per key · seq, past + seq]: real keys, not later ones, in the window. */
function masks(
  g: GraphBuilder,
  model: CausalModel,
  { attention, start, total }: { attention: Value; start: Value; total: Value },
): [string, Value][] {
  const keys = g.range(g.int64Scalar(0), total);
  const queries = g.unsqueeze(g.range(start, total), 1);
  // [batch, 1, 1, past + seq]
  const real = g.unsqueeze(g.unsqueeze(g.cast(attention, onnxTypes.bool), 1), 1);
  const seen = g.and(g.greaterOrEqual(queries, keys), real);
  const zero = g.float32s("const.float32.zero", Float32Array.of(0), []);
  const nothing = g.float32s("const.float32.masked", Float32Array.of(masked), []);
  return model.masks.map(({ input, window }) => {
    const isNear = (size: number): Value => g.greater(g.add(keys, g.int64Scalar(size)), queries);
    const allowed = window === null ? seen : g.and(seen, isNear(window));
    const mask = g.where(allowed, zero, nothing);
    const copies = model.queriesPerKey;
    return [input, copies === 1 ? mask : g.tile(mask, [1, 1, copies, 1])];
  });
}

/** Tables with a row for each token of the pass, and which row is whose. */
function rotation(
  g: GraphBuilder,
  model: CausalModel,
  at: { ids: Value; positions: Value; total: Value },
): [string, Value][] {
  if (model.rotary.length === 0) return [["position_ids", at.positions]];
  const flat = g.reshape(g.cast(at.positions, onnxTypes.float32), [-1, 1]);
  const count = g.squeeze(g.sizeOf(flat, 0), 0);
  const rows = g.reshapeLike(g.range(g.int64Scalar(0), count), at.ids);
  const tables = model.rotary.flatMap((table): [string, Value][] => {
    const { suffix, attentionFactor: factor } = table;
    const angles = g.mul(flat, frequencies(g, table, { total: at.total, model }));
    const scaled = (x: Value): Value =>
      factor === 1 ? x : g.mul(x, g.float32s(`rope.factor${suffix}`, Float32Array.of(factor), []));
    return [
      [`rope_cos${suffix}`, scaled(g.cos(angles))],
      [`rope_sin${suffix}`, scaled(g.sin(angles))],
    ];
  });
  return [["position_ids", rows], ...tables];
}

/** Inverse frequencies [1, size / 2]; of two, those for sequences of this length (longrope). */
function frequencies(
  g: GraphBuilder,
  table: RotaryTable,
  { total, model }: { total: Value; model: CausalModel },
): Value {
  const [short, long] = [table.frequencies(1), table.frequencies(model.contextLength)];
  const constant = (name: string, values: Float32Array): Value =>
    g.float32s(`rope.${name}${table.suffix}`, values, [1, values.length]);
  if (short === long) return constant("frequencies", short);
  const longest = lastLength(table, model.contextLength);
  if (table.frequencies(longest + 1) !== long) {
    throw unsupported(
      t(
        "This model's rotary embedding changes with every length of the sequence (dynamic), which an ONNX export cannot have",
      ),
    );
  }
  const isLong = g.greater(total, g.int64Scalar(longest));
  return g.where(isLong, constant("long", long), constant("short", short));
}

/** The longest sequence that has the frequencies of the shortest. */
function lastLength(table: RotaryTable, contextLength: number): number {
  const short = table.frequencies(1);
  let [low, high] = [1, contextLength];
  while (high - low > 1) {
    const middle = (low + high) >>> 1;
    if (table.frequencies(middle) === short) low = middle;
    else high = middle;
  }
  return low;
}

function presentOutputs(
  g: GraphBuilder,
  { layers, keyValueHeads, headDim }: CausalModel,
  past: ReadonlyMap<string, Value>,
): void {
  const rows = g.scope("outputs", () => g.splitEvenly("new_kv" as Value, 2 * layers, 0));
  const shape = ["batch", keyValueHeads, "total", headDim];
  for (let layer = 0; layer < layers; layer++) {
    for (const [part, offset] of [
      ["key", 0],
      ["value", layers],
    ] as const) {
      const present = g.scope("outputs", () => {
        const own = rows[offset + layer] as Value;
        return g.concat([past.get(`past_${part}.${layer}`) as Value, own], 2);
      });
      g.output(present, `present.${layer}.${part}`, "float32", shape);
    }
  }
}
