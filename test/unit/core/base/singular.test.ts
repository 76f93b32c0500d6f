import assert from "node:assert/strict";
import { test } from "node:test";
import { multiply, symmetricEigen, transposed } from "../../../../extension/core/base/matrix.ts";
import { seededRandom } from "../../../../extension/core/base/random.ts";
import { singularPart, type SingularRequest } from "../../../../extension/core/base/singular.ts";
import { difference } from "../support.ts";

function noise(length: number): Float32Array {
  const random = seededRandom(length);
  return Float32Array.from({ length }, () => random() + random() - 1);
}

function part(matrix: Float32Array, request: SingularRequest): Float64Array {
  const { left, right, rank } = singularPart(matrix, request);
  return multiply(left, right, { rows: request.rows, inner: rank, columns: request.columns });
}

/** All eigenvectors of Wᵀ W: another way to the same directions. */
function eigenvectors(matrix: Float32Array, rows: number, columns: number): Float64Array {
  const gram = multiply(transposed(matrix, rows, columns), matrix, {
    rows: columns,
    inner: rows,
    columns,
  });
  return symmetricEigen(gram, columns).vectors;
}

function expected(
  matrix: Float32Array,
  vectors: Float64Array,
  { rows, columns, count, end }: SingularRequest,
): Float64Array {
  const first = end === "largest" ? 0 : Math.min(rows, columns) - count;
  const some = Float64Array.from(
    { length: columns * count },
    (_, i) => vectors[Math.floor(i / count) * columns + first + (i % count)] as number,
  );
  const left = multiply(matrix, some, { rows, inner: columns, columns: count });
  const right = transposed(some, columns, count);
  return multiply(left, right, { rows, inner: count, columns });
}

const sizes: [rows: number, columns: number][] = [
  [40, 40],
  [60, 24],
  [24, 60],
  [300, 280],
];

for (const [rows, columns] of sizes) {
  const matrix = noise(rows * columns);
  const vectors = eigenvectors(matrix, rows, columns);
  for (const end of ["largest", "smallest"] as const) {
    void test(`the ${end} directions of ${rows} × ${columns}`, () => {
      const request = { rows, columns, count: 5, end };
      const far = difference(part(matrix, request), expected(matrix, vectors, request));
      assert(far < 1e-10, `differ by ${far}`);
    });
  }
}

void test("equal singular values are all found", () => {
  const [size, count] = [30, 30];
  const matrix = Float32Array.from({ length: size * size }, (_, i) => (i % (size + 1) ? 0 : 2));
  const request = { rows: size, columns: size, count, end: "largest" } as const;
  assert(difference(part(matrix, request), matrix) < 1e-12);
});

void test("a matrix of zeros has a part of zeros", () => {
  for (const end of ["largest", "smallest"] as const) {
    const request = { rows: 300, columns: 300, count: 4, end };
    const zero = part(new Float32Array(300 * 300), request);
    assert(difference(zero, new Float64Array(300 * 300)) < 1e-12, end);
  }
});
