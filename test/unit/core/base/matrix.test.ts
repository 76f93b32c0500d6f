import assert from "node:assert/strict";
import test from "node:test";
import {
  multiply,
  type Multiply,
  orthonormalColumns,
  solve,
  symmetricEigen,
  transposed,
} from "../../../../extension/core/base/matrix.ts";
import { quickBasis } from "../../../../extension/core/base/quickBasis.ts";
import { seededRandom } from "../../../../extension/core/base/random.ts";

function randomMatrix(rows: number, columns: number): Float64Array {
  const random = seededRandom(rows * 100 + columns);
  return Float64Array.from({ length: rows * columns }, () => random() - 0.5);
}

function close(actual: ArrayLike<number>, expected: ArrayLike<number>): void {
  assert.equal(actual.length, expected.length);
  for (let i = 0; i < actual.length; i++) {
    assert.ok(Math.abs((actual[i] as number) - (expected[i] as number)) < 1e-12, `entry ${i}`);
  }
}

function identity(size: number): Float64Array {
  return Float64Array.from({ length: size * size }, (_, i) => (i % (size + 1) === 0 ? 1 : 0));
}

void test("solve undoes a product and knows a singular matrix", () => {
  const [a, x] = [randomMatrix(7, 7), randomMatrix(7, 3)];
  const b = multiply(a, x, { rows: 7, inner: 7, columns: 3 });
  close(solve(a, b, { size: 7, columns: 3 }) as Float64Array, x);
  assert.equal(solve([1, 2, 2, 4], [1, 1], { size: 2, columns: 1 }), null);
});

void test("orthonormal columns are orthonormal and span the same space", () => {
  const a = randomMatrix(9, 4);
  const q = orthonormalColumns(a, 9, 4);
  const qt = transposed(q, 9, 4);
  close(multiply(qt, q, { rows: 4, inner: 9, columns: 4 }), identity(4));
  const inside = multiply(qt, a, { rows: 4, inner: 9, columns: 4 });
  close(multiply(q, inside, { rows: 9, inner: 4, columns: 4 }), a);
});

void test("eigenvalues come largest first and rebuild the matrix", () => {
  const a = randomMatrix(6, 6);
  const symmetric = multiply(transposed(a, 6, 6), a, { rows: 6, inner: 6, columns: 6 });
  const { values, vectors } = symmetricEigen(symmetric, 6);
  assert.deepEqual(
    [...values],
    [...values].sort((x, y) => y - x),
  );
  const scaled = vectors.map((value, i) => value * (values[i % 6] as number));
  const back = multiply(scaled, transposed(vectors, 6, 6), { rows: 6, inner: 6, columns: 6 });
  close(back, symmetric);
});

void test("a large symmetric matrix has the eigenvectors that it has by rotations", () => {
  const size = 170;
  const random = seededRandom(3);
  const half = Float64Array.from({ length: size * size }, () => random() - 0.5);
  const matrix = half.map(
    (value, i) => value + (half[(i % size) * size + Math.floor(i / size)] ?? 0),
  );
  const { values, vectors } = symmetricEigen(matrix, size);
  const square = { rows: size, inner: size, columns: size };
  const image = multiply(matrix, vectors, square);
  image.forEach((value, i) => {
    const wanted = (vectors[i] as number) * (values[i % size] as number);
    assert.ok(Math.abs(value - wanted) < 1e-11);
  });
  const unit = multiply(transposed(vectors, size, size), vectors, square);
  unit.forEach((value, i) => assert.ok(Math.abs(value - (i % (size + 1) === 0 ? 1 : 0)) < 1e-12));
  assert.ok(values.every((value, i) => i === 0 || value <= (values[i - 1] as number)));
});

void test("columns made orthonormal by products are those of Gram and Schmidt", async () => {
  const [rows, columns] = [900, 160];
  const random = seededRandom(5);
  const matrix = Float64Array.from(
    { length: rows * columns },
    (_, i) => (random() - 0.5) * 0.95 ** (i % columns),
  );
  const product: Multiply = (a, b, size) => Promise.resolve(multiply(a, b, size));
  const wanted = orthonormalColumns(matrix, rows, columns);
  const quick = await quickBasis(matrix, { rows, columns }, product);
  quick.forEach((value, i) => assert.ok(Math.abs(value - (wanted[i] as number)) < 1e-10));
  // A column that others make up is left to them.
  const flat = matrix.map((value, i) => (i % columns === 7 ? (matrix[i - 1] as number) : value));
  const same = await quickBasis(flat, { rows, columns }, product);
  assert.deepEqual(same, orthonormalColumns(flat, rows, columns));
});
