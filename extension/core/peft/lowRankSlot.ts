/**
 * The slot of low-rank updates y += B (A x) around a group of layers. A has the layers' ranks side by
 * side. Where the layers' outputs are wanted side by side, so is B, in blocks on its diagonal; where they
 * are read one by one, each has a B of its own, and no zeros are read.
 */
import type { GraphBuilder } from "../onnx/builder.ts";
import { perRow, type Value } from "../onnx/graph.ts";
import {
  groupSize,
  type LinearGroup,
  oneByOne,
  type Outputs,
  sideBySide,
} from "../onnx/layerHook.ts";
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
    const hidden = g.matMul(x, factor("lora_A", size.in, `${name}.rank`));
    const update = g.matMul(hidden, factor("lora_B", `${name}.rank`, size.out));
    return g.add(sideBySide(g, outputs), update);
  }
  const { length } = group.modules;
  const hidden = g.matMul(x, factor("lora_A", size.in, `${length}*${name}.rank`));
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

/** A [in, Σ rank] side by side, B [Σ rank, Σ out] as blocks on the diagonal. */
export function packLowRank(
  size: Size,
  parts: readonly Part[],
  kind: "lowRank" | "gated",
): Packed[] {
  const rank = parts.reduce((sum, { effect }) => sum + (effect[kind]?.rank ?? 0), 0);
  const a = new Float32Array(size.in * rank);
  const b = new Float32Array(rank * size.out);
  let row = 0;
  forEachColumn(parts, ({ module, effect: { [kind]: lowRank } }, column) => {
    if (!lowRank) return;
    const own = lowRank.rank;
    transposeInto(a, lowRank.a, { rows: own, columns: size.in, stride: rank, offset: row });
    const offset = row * size.out + column;
    transposeInto(b, lowRank.b, { rows: module.out, columns: own, stride: size.out, offset });
    row += own;
  });
  const name = kind === "gated" ? "gated" : "lora";
  return [
    { part: `${name}_A`, shape: [1, size.in, rank], data: a },
    { part: `${name}_B`, shape: [1, rank, size.out], data: b },
  ];
}

/** The tensors of a group's slot. */
export function packLowRankSlot(group: LinearGroup, parts: readonly Part[]): Packed[] {
  const size = groupSize(group);
  return isApart(group) ? packApart(size.in, parts) : packLowRank(size, parts, "lowRank");
}

/**
 * A [in, layers · rank], where all take the largest rank, and a B [rank, out] for each. The rank is at
 * least 1, as ONNX Runtime does not split 0 columns; its zeros are neutral.
 */
function packApart(inputs: number, parts: readonly Part[]): Packed[] {
  const rank = Math.max(1, ...parts.map(({ effect }) => effect.lowRank?.rank ?? 0));
  const stride = parts.length * rank;
  const a = new Float32Array(inputs * stride);
  const factors = parts.map(({ module: { out }, effect: { lowRank } }, i): Packed => {
    const b = new Float32Array(rank * out);
    if (lowRank) {
      const rows = lowRank.rank;
      transposeInto(a, lowRank.a, { rows, columns: inputs, stride, offset: i * rank });
      transposeInto(b, lowRank.b, { rows: out, columns: rows, stride: out, offset: 0 });
    }
    return { part: factorOf(i), shape: [1, rank, out], data: b };
  });
  const shape = [1, inputs, stride];
  return [{ part: "lora_A", shape, data: a, blocks: parts.length }, ...factors];
}
