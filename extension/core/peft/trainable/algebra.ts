/** Small formulas that several methods' training forms are made of. */
import type { GraphBuilder } from "../../onnx/builder.ts";
import { reduce, scatterAdd } from "../../onnx/calculus.ts";
import type { Value } from "../../onnx/graph.ts";

export function flat(g: GraphBuilder, x: Value): Value {
  return g.reshape(x, [-1]);
}

/** A constant [n, n] with ones on the diagonal. */
export function identity(g: GraphBuilder, size: number): Value {
  const values = new Float32Array(size * size);
  for (let i = 0; i < size; i++) values[i * (size + 1)] = 1;
  return g.float32s(`const.identity.${size}`, values, [size, size]);
}

/** Sums over axes, which stay with size 1 unless `keep` is false. */
export function sumOver(g: GraphBuilder, x: Value, axes: readonly number[], keep = true): Value {
  return reduce(g, "ReduceSum", { x, axes, keep });
}

/** Euclidean norm along axes, which stay with size 1. @param least what it is at least */
export function norm(g: GraphBuilder, x: Value, axes: readonly number[], least = 0): Value {
  const squares = sumOver(g, g.mul(x, x), axes);
  // Where it is cut off, the gradient is zero instead of 0 / 0.
  const kept = least > 0 ? g.max(squares, g.scalar(least * least)) : squares;
  return g.node("Sqrt", [kept])[0];
}

/** A constant of places, int64, whose name says what they depend on. */
export function indices(g: GraphBuilder, name: string, places: ArrayLike<number>): Value {
  return g.int64s(Array.from(places), name);
}

/** x[..., places]: other columns in any number. */
export function pick(
  g: GraphBuilder,
  x: Value,
  { name, places }: { name: string; places: ArrayLike<number> },
): Value {
  return g.gather(x, indices(g, name, places), -1);
}

/** x [..., from, to) along an axis. */
export function slice(
  g: GraphBuilder,
  x: Value,
  { from, to, axis }: { from: number; to: number; axis: number },
): Value {
  return g.node("Slice", [x, g.int64s([from]), g.int64s([to]), g.int64s([axis])])[0];
}

/** A matrix [rows, columns] of zeros with `values` [n] at `places` [n], int64, row-major. */
export function scattered(
  g: GraphBuilder,
  at: { values: Value; places: Value; rows: number; columns: number },
): Value {
  const { rows, columns, places } = at;
  const empty = g.float32s(`const.zeros.${rows * columns}`, new Float32Array(rows * columns), [
    rows * columns,
  ]);
  const made = scatterAdd(g, empty, { ids: places, updates: at.values, axis: 0 });
  return g.reshape(made, [rows, columns]);
}

/** Skew-symmetric blocks [n, size, size] of their upper triangles, row by row [n, size (size − 1) / 2]. */
export function skew(g: GraphBuilder, triangle: Value, size: number): Value {
  const count = (size * (size - 1)) / 2;
  const places = new Array<number>(size * size).fill(0);
  let entry = 1;
  for (let row = 0; row < size; row++) {
    for (let column = row + 1; column < size; column++, entry++) {
      places[row * size + column] = entry;
      places[column * size + row] = entry + count;
    }
  }
  const nothing = g.mul(slice(g, triangle, { from: 0, to: 1, axis: 1 }), g.scalar(0));
  const all = g.concat([nothing, triangle, g.neg(triangle)], 1);
  return g.reshape(pick(g, all, { name: `skew.${size}`, places }), [-1, size, size]);
}

/**
 * Blocks (I + Q)⁻¹ of skew-symmetric blocks Q [n, size, size] by Newton's iteration from
 * (I − Q) / (1 + ‖Q‖²), whose error is squared in every round: 20 rounds are exact in fp32 for ‖Q‖ < 100.
 * The rounds are detached; one more gives the exact gradient −(I + Q)⁻¹ dQ (I + Q)⁻¹.
 */
export function inverseOfTurned(g: GraphBuilder, q: Value, size: number): Value {
  const unit = identity(g, size);
  const twice = g.scale(unit, 2);
  const step = (x: Value, m: Value): Value => g.matMul(x, g.sub(twice, g.matMul(m, x)));
  const m = g.add(unit, q);
  const still = g.detach(m);
  const size2 = sumOver(g, g.mul(g.detach(q), g.detach(q)), [1, 2]);
  let x = g.div(g.sub(unit, g.detach(q)), g.add(size2, g.scalar(1)));
  for (let round = 0; round < 20; round++) x = step(x, still);
  return step(g.detach(x), m);
}

/** x [..., blocks · size] with every part of `size` columns times its block [blocks or 1, size, size]. */
export function turnBlocks(
  g: GraphBuilder,
  x: Value,
  { blocks, count, size }: { blocks: Value; count: number; size: number },
): Value {
  const parts = g.reshape(x, [0, 0, count, 1, size]);
  return g.reshape(g.matMul(parts, blocks), [0, 0, count * size]);
}
