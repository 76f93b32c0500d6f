/** Lengths of a matrix' rows [rows, columns]. */
export function rowNorms(matrix: Float64Array, columns: number): Float64Array {
  const norms = new Float64Array(matrix.length / columns);
  for (let row = 0; row < norms.length; row++) {
    let sum = 0;
    for (let i = 0; i < columns; i++) sum += (matrix[row * columns + i] as number) ** 2;
    norms[row] = Math.sqrt(sum);
  }
  return norms;
}

/** Lengths of its columns. */
export function columnNorms(matrix: Float64Array, columns: number): Float64Array {
  const sums = new Float64Array(columns);
  matrix.forEach((value, i) => (sums[i % columns] = (sums[i % columns] as number) + value ** 2));
  return sums.map(Math.sqrt);
}
