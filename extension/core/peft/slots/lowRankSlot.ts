/**
 * The slot of low-rank updates y += B (A x) around a group of layers. A has the layers' ranks one below
 * the other, as PEFT keeps them: its rows are read as dot products, which is the fastest order for one token.
 * Where the layers' outputs are wanted side by side, B is so too, in blocks on its diagonal; where they
 * are read one by one, each has a B of its own, and no zeros are read.
 */
import type { GraphBuilder } from "../../onnx/builder.ts";
import { perRow, type Value } from "../../onnx/graph.ts";
import {
  groupSize,
  type LinearGroup,
  oneByOne,
  type Outputs,
  sideBySide,
} from "../../onnx/layerHook.ts";
import { forEachColumn, type Packed, type Part, transposeInto } from "./packing.ts";

/** Adds the updates to a group's outputs of x [batch, seq, in]. */
export function addLowRank(
  g: GraphBuilder,
  group: LinearGroup,
  { x, outputs }: { x: Value; outputs: Outputs },
): Outputs {
  const { name } = group;
  const size = groupSize(group);
  const factor = (part: string, rows: number | string, columns: number | string): Value =>
    g.input(`${name}.${part}`, "float32", [perRow, rows, columns]);
  if (!isApart(group)) {
    const hidden = g.matMulTransposed(x, factor("lora_A", `${name}.rank`, size.in));
    const update = g.matMul(hidden, factor("lora_B", `${name}.rank`, size.out));
    return g.add(sideBySide(g, outputs), update);
  }
  const { length } = group.modules;
  const hidden = g.matMulTransposed(x, factor("lora_A", `${length}*${name}.rank`, size.in));
  const each = g.splitEvenly(hidden, length, -1);
  return oneByOne(g, group, outputs).map((y, i) => {
    const { out } = group.modules[i] as { out: number };
    return g.add(y, g.matMul(each[i] as Value, factor(factorOf(i), `${name}.rank`, out)));
  });
}

function isApart({ isApart: asked, modules }: LinearGroup): boolean {
  return asked === true && modules.length > 1;
}

function factorOf(place: number): string {
  return `lora_B.${place}`;
}

type Size = { in: number; out: number };

/** A [Σ rank, in], that of a single layer as it is, B [Σ rank, Σ out] as blocks on the diagonal. */
export function packLowRank(
  size: Size,
  parts: readonly Part[],
  kind: "lowRank" | "gated",
): Packed[] {
  const rank = parts.reduce((sum, { effect }) => sum + (effect[kind]?.rank ?? 0), 0);
  const own = parts.length === 1 ? parts[0]?.effect[kind]?.a : undefined;
  const a = own ?? new Float32Array(rank * size.in);
  const b = new Float32Array(rank * size.out);
  let row = 0;
  forEachColumn(parts, ({ module, effect: { [kind]: lowRank } }, column) => {
    if (!lowRank) return;
    const { rank: rows } = lowRank;
    if (!own) a.set(lowRank.a, row * size.in);
    const offset = row * size.out + column;
    transposeInto(b, lowRank.b, { rows: module.out, columns: rows, stride: size.out, offset });
    row += rows;
  });
  const name = kind === "gated" ? "gated" : "lora";
  return [
    { part: `${name}_A`, shape: [1, rank, size.in], data: a },
    { part: `${name}_B`, shape: [1, rank, size.out], data: b },
  ];
}

/** The tensors of a group's slot. */
export function packLowRankSlot(group: LinearGroup, parts: readonly Part[]): Packed[] {
  const size = groupSize(group);
  return isApart(group) ? packApart(size.in, parts) : packLowRank(size, parts, "lowRank");
}

/**
 * A [layers · rank, in], where all take the largest rank, and a B [rank, out] for each. The rank is at
 * least 1, as ONNX Runtime does not split 0 columns; its zeros are neutral.
 */
function packApart(inputs: number, parts: readonly Part[]): Packed[] {
  const rank = Math.max(1, ...parts.map(({ effect }) => effect.lowRank?.rank ?? 0));
  const a = new Float32Array(parts.length * rank * inputs);
  const factors = parts.map(({ module: { out }, effect: { lowRank } }, i): Packed => {
    const b = new Float32Array(rank * out);
    if (lowRank) {
      const rows = lowRank.rank;
      a.set(lowRank.a, i * rank * inputs);
      transposeInto(b, lowRank.b, { rows: out, columns: rows, stride: out, offset: 0 });
    }
    return { part: factorOf(i), shape: [1, rank, out], data: b };
  });
  const shape = [1, parts.length * rank, inputs];
  return [{ part: "lora_A", shape, data: a, blocks: parts.length }, ...factors];
}
