/** Rotations from skew-symmetric matrices, as OFT, BOFT and PSOFT parametrize them; all [size, size]. */
import { multiply, solve } from "../base/matrix.ts";

/** The skew-symmetric matrix whose upper triangle, row by row, is given: size (size − 1) / 2 values. */
export function skewSymmetric(upper: ArrayLike<number>, size: number): Float64Array {
  const q = new Float64Array(size * size);
  let next = 0;
  for (let row = 0; row < size; row++) {
    for (let column = row + 1; column < size; column++) {
      const value = upper[next++] as number;
      q[row * size + column] = value;
      q[column * size + row] = -value;
    }
  }
  return q;
}

/** Cayley's transform (I − Q)(I + Q)⁻¹ of a skew-symmetric Q: a rotation. */
export function cayley(q: Float64Array, size: number): Float64Array {
  const shifted = (sign: number): Float64Array =>
    q.map((value, i) => sign * value + (i % (size + 1) === 0 ? 1 : 0));
  // I + Q of a skew Q is never singular; the two factors commute.
  return solve(shifted(1), shifted(-1), { size, columns: size }) ?? shifted(0);
}

/**
 * I + 2Q + 2Q² + … + Qⁿ: PEFT's Cayley-Neumann series, the last term once. As PEFT counts, `terms`
 * of 5 end at Q⁴, of 4 and of 3 at Q³, of 2 at 2Q (oft/layer.py, _cayley_batch).
 */
export function cayleyNeumann(q: Float64Array, size: number, terms: number): Float64Array {
  const sum = Float64Array.from(q, (_, i) => (i % (size + 1) === 0 ? 1 : 0));
  const add = (power: Float64Array, factor: number): void =>
    power.forEach((value, i) => (sum[i] = (sum[i] as number) + factor * value));
  const times = (power: Float64Array): Float64Array =>
    multiply(power, q, { rows: size, inner: size, columns: size });
  if (terms > 1) add(q, 2);
  if (terms > 2) {
    let power = times(q);
    add(power, 2);
    for (let term = 3; term < terms - 1; term++) {
      power = times(power);
      add(power, 2);
    }
    add(times(power), 1);
  }
  return sum;
}
