/** Small formulas that several methods' training forms are made of. */
import type { GraphBuilder } from "../../onnx/builder.ts";
import type { Value } from "../../onnx/graph.ts";

/** x [..., in] · wᵀ where w is [out, in]. */
export function linear(g: GraphBuilder, x: Value, w: Value): Value {
  return g.matMulTransposed(x, w);
}

export function flat(g: GraphBuilder, x: Value): Value {
  return g.reshape(x, [-1]);
}

/** A constant [n, n] with ones on the diagonal. */
export function identity(g: GraphBuilder, size: number): Value {
  const values = new Float32Array(size * size);
  for (let i = 0; i < size; i++) values[i * (size + 1)] = 1;
  return g.float32s(`const.identity.${size}`, values, [size, size]);
}

export function sumOver(g: GraphBuilder, x: Value, axes: readonly number[], keep = true): Value {
  const attributes = { keepdims: { kind: "int", value: keep ? 1 : 0 } } as const;
  return g.node("ReduceSum", [x, g.int64s(axes)], { attributes })[0];
}

/** Euclidean norm along axes, which stay with size 1. @param least what it is at least */
export function norm(g: GraphBuilder, x: Value, axes: readonly number[], least = 0): Value {
  const squares = sumOver(g, g.mul(x, x), axes);
  // Where it is cut off, the gradient is zero instead of 0 / 0.
  const kept = least > 0 ? g.max(squares, g.scalar(least * least)) : squares;
  return g.node("Sqrt", [kept])[0];
}

export function divide(g: GraphBuilder, a: Value, b: Value): Value {
  return g.node("Div", [a, b])[0];
}

export function negative(g: GraphBuilder, x: Value): Value {
  return g.node("Neg", [x])[0];
}

/** A constant of places, int64, whose name says what they depend on. */
export function indices(g: GraphBuilder, name: string, places: ArrayLike<number>): Value {
  const bytes = new Uint8Array(BigInt64Array.from(Array.from(places, BigInt)).buffer);
  return g.initializer(`const.${name}`, "int64", [places.length], { kind: "inline", bytes });
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
  const [made] = g.node("ScatterElements", [empty, places, at.values], {
    attributes: { axis: { kind: "int", value: 0 }, reduction: { kind: "string", value: "add" } },
  });
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
  const all = g.concat([nothing, triangle, negative(g, triangle)], 1);
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
  const still = detached(g, m);
  const size2 = sumOver(g, g.mul(detached(g, q), detached(g, q)), [1, 2]);
  let x = divide(g, g.sub(unit, detached(g, q)), g.add(size2, g.scalar(1)));
  for (let round = 0; round < 20; round++) x = step(x, still);
  return step(detached(g, x), m);
}

/** The value without a gradient. */
export function detached(g: GraphBuilder, x: Value): Value {
  return g.detach(x);
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
