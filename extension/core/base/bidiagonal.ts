/**
 * Singular values and vectors of a bidiagonal matrix by implicit QR steps, after LAPACK's bdsqr and
 * lasdq (Demmel and Kahan, https://doi.org/10.1137/0911052). The rotations have LAPACK's signs
 * (lartg since 3.10), so the vectors' signs are those that torch.linalg.svd finds for small matrices.
 */

/** B [rows, columns] with `diagonal` and, to its right, `above`; columns is rows or rows + 1. */
export interface Bidiagonal {
  readonly diagonal: Float64Array;
  /** rows − 1 values, or rows when there is one more column. */
  readonly above: Float64Array;
}

/** B = U diag(values) Vᵀ; values sink. */
export interface SingularVectors {
  readonly values: Float64Array;
  /** Rows are left vectors, [rows] of [rows]. */
  readonly left: Float64Array[];
  /** Rows are right vectors, [columns] of [columns]; one more than values where B has a column more. */
  readonly right: Float64Array[];
}

/** A run of QR steps in progress. */
interface State {
  readonly d: Float64Array;
  readonly e: Float64Array;
  readonly left: Float64Array[];
  readonly right: Float64Array[];
  readonly epsilon: number;
  readonly tolerance: number;
  readonly threshold: number;
}

interface Block {
  readonly first: number;
  readonly last: number;
}

/** Singular vectors to a relative precision `epsilon`, e.g. 2⁻²⁴ as torch iterates in float32. */
export function bidiagonalVectors(
  { diagonal, above }: Bidiagonal,
  epsilon: number,
): SingularVectors {
  const size = diagonal.length;
  const [d, e] = [diagonal.slice(), above.slice()];
  const left = unitRows(size);
  const right = unitRows(above.length + 1);
  if (above.length === size) {
    chase(d, e, right);
    // The chase along the columns leaves a lower bidiagonal; one along the rows makes it upper.
    chase(d, e.subarray(0, size - 1), left);
  }
  const tolerance = Math.max(10, Math.min(100, epsilon ** -0.125)) * epsilon;
  const state = { d, e, left, right, epsilon, tolerance, threshold: smallest(d, e, tolerance) };
  iterate(state);
  return sorted(state);
}

/** Singular values alone, largest first: what the vectors cost is left out. */
export function bidiagonalValues({ diagonal, above }: Bidiagonal): Float64Array {
  const [d, e] = [diagonal.slice(), above.slice()];
  const none = Array.from(d, () => new Float64Array(0));
  const epsilon = 2 ** -53;
  const tolerance = Math.max(10, Math.min(100, epsilon ** -0.125)) * epsilon;
  const threshold = smallest(d, e, tolerance);
  iterate({ d, e, left: none, right: none, epsilon, tolerance, threshold });
  return d.map(Math.abs).sort().reverse();
}

function unitRows(size: number): Float64Array[] {
  return Array.from({ length: size }, (_, row) => {
    const values = new Float64Array(size);
    values[row] = 1;
    return values;
  });
}

/** Turns neighbours so that the off-diagonal changes sides; with one more e the last one vanishes. */
function chase(d: Float64Array, e: Float64Array, vectors: Float64Array[]): void {
  e.forEach((value, i) => {
    const { c, s, r } = rotation(at(d, i), value);
    d[i] = r;
    e[i] = i + 1 < d.length ? s * at(d, i + 1) : 0;
    if (i + 1 < d.length) d[i + 1] = c * at(d, i + 1);
    rotateRows(vectors, [i, i + 1], { c, s });
  });
}

/** A bound below which an off-diagonal value cannot move the smallest singular value. */
function smallest(d: Float64Array, e: Float64Array, tolerance: number): number {
  let mu = Math.abs(at(d, 0));
  let bound = mu;
  for (let i = 1; i < d.length && bound > 0; i++) {
    mu = Math.abs(at(d, i)) * (mu / (mu + Math.abs(at(e, i - 1))));
    bound = Math.min(bound, mu);
  }
  return Math.max((tolerance * bound) / Math.sqrt(d.length), Number.MIN_VALUE);
}

function iterate(state: State): void {
  const { d, e } = state;
  let [oldFirst, oldLast, goesDown] = [-1, -1, true];
  let last = d.length - 1;
  // Every value takes two or three steps; the bound only ends what is not a number.
  for (let step = 0; last > 0 && step < 60 * d.length; step++) {
    const block = activeBlock(state, last);
    const { first } = block;
    if (first === last) {
      last--;
    } else if (first === last - 1) {
      solvePair(state, first);
      last -= 2;
    } else {
      if (first > oldLast || last < oldFirst)
        goesDown = Math.abs(at(d, first)) >= Math.abs(at(d, last));
      const order = run(block, goesDown);
      const lowest = converged(state, order);
      if (lowest === null) continue;
      [oldFirst, oldLast] = [first, last];
      const shift = shiftOf(state, order, lowest);
      sweep(state, order, { shift, goesDown });
      const end = Math.min(order.at(-1) as number, order.at(-2) as number);
      if (Math.abs(at(e, end)) <= state.threshold) e[end] = 0;
    }
  }
}

/** The lowest block up to `last` without a negligible off-diagonal value inside. */
function activeBlock({ e, threshold }: State, last: number): Block {
  for (let first = last; first > 0; first--) {
    if (Math.abs(at(e, first - 1)) <= threshold) {
      e[first - 1] = 0;
      return { first, last };
    }
  }
  return { first: 0, last };
}

/** Places of a block in the order of a sweep: the mirrored sweep exchanges left and right. */
function run({ first, last }: Block, goesDown: boolean): number[] {
  const places = Array.from({ length: last - first + 1 }, (_, i) => first + i);
  return goesDown ? places : places.reverse();
}

/** A lower bound of the block's values, or null when an off-diagonal value was dropped. */
function converged({ d, e, tolerance }: State, order: readonly number[]): number | null {
  const [end, beforeEnd] = [order.at(-1) as number, order.at(-2) as number];
  const tail = Math.min(end, beforeEnd);
  if (Math.abs(at(e, tail)) <= tolerance * Math.abs(at(d, end))) {
    e[tail] = 0;
    return null;
  }
  let mu = Math.abs(at(d, order[0] as number));
  let lowest = mu;
  for (let k = 1; k < order.length; k++) {
    const [before, place] = [order[k - 1] as number, order[k] as number];
    const between = Math.min(before, place);
    const off = Math.abs(at(e, between));
    if (off <= tolerance * mu) {
      e[between] = 0;
      return null;
    }
    mu = Math.abs(at(d, place)) * (mu / (mu + off));
    lowest = Math.min(lowest, mu);
  }
  return lowest;
}

/** The smaller singular value of the block's last two rows, or 0 where relative precision asks so. */
function shiftOf(state: State, order: readonly number[], lowest: number): number {
  const { d, e, epsilon, tolerance } = state;
  const [start, end, beforeEnd] = [order[0], order.at(-1), order.at(-2)] as [
    number,
    number,
    number,
  ];
  const [low, high] = [Math.min(start, end), Math.max(start, end)];
  let largest = 0;
  for (let i = low; i <= high; i++) largest = Math.max(largest, Math.abs(at(d, i)));
  for (let i = low; i < high; i++) largest = Math.max(largest, Math.abs(at(e, i)));
  const bound = Math.max(epsilon, 0.01 * tolerance);
  if ((d.length * tolerance * lowest) / largest <= bound) return 0;
  const [upper, lower] = [Math.min(end, beforeEnd), Math.max(end, beforeEnd)];
  const shift = smallerValue(at(d, upper), at(e, upper), at(d, lower));
  const first = Math.abs(at(d, start));
  return first > 0 && (shift / first) ** 2 < epsilon ? 0 : shift;
}

function sweep(
  state: State,
  order: readonly number[],
  { shift, goesDown }: { shift: number; goesDown: boolean },
): void {
  const { left, right } = state;
  const sides = goesDown ? { inner: right, outer: left } : { inner: left, outer: right };
  if (shift === 0) sweepWithoutShift(state, order, sides);
  else sweepWithShift(state, order, { ...sides, shift });
}

interface Sides {
  readonly inner: Float64Array[];
  readonly outer: Float64Array[];
}

function sweepWithoutShift({ d, e }: State, order: readonly number[], sides: Sides): void {
  let [c, oldC, oldS] = [1, 1, 0];
  for (let k = 0; k + 1 < order.length; k++) {
    const [place, next] = [order[k], order[k + 1]] as [number, number];
    const turn = rotation(at(d, place) * c, at(e, Math.min(place, next)));
    if (k > 0) e[Math.min(order[k - 1] as number, place)] = oldS * turn.r;
    const back = rotation(oldC * turn.r, at(d, next) * turn.s);
    d[place] = back.r;
    rotateRows(sides.inner, [place, next], turn);
    rotateRows(sides.outer, [place, next], back);
    [c, oldC, oldS] = [turn.c, back.c, back.s];
  }
  const [end, beforeEnd] = [order.at(-1), order.at(-2)] as [number, number];
  const h = at(d, end) * c;
  d[end] = h * oldC;
  e[Math.min(end, beforeEnd)] = h * oldS;
}

function sweepWithShift(
  { d, e }: State,
  order: readonly number[],
  { inner, outer, shift }: Sides & { shift: number },
): void {
  const start = order[0] as number;
  const head = at(d, start);
  let f = (Math.abs(head) - shift) * ((head < 0 ? -1 : 1) + shift / head);
  let g = at(e, Math.min(start, order[1] as number));
  for (let k = 0; k + 1 < order.length; k++) {
    const [place, next] = [order[k], order[k + 1]] as [number, number];
    const between = Math.min(place, next);
    const turn = rotation(f, g);
    if (k > 0) e[Math.min(order[k - 1] as number, place)] = turn.r;
    f = turn.c * at(d, place) + turn.s * at(e, between);
    e[between] = turn.c * at(e, between) - turn.s * at(d, place);
    g = turn.s * at(d, next);
    d[next] = turn.c * at(d, next);
    const back = rotation(f, g);
    d[place] = back.r;
    f = back.c * at(e, between) + back.s * at(d, next);
    d[next] = back.c * at(d, next) - back.s * at(e, between);
    if (k + 2 < order.length) {
      const following = Math.min(next, order[k + 2] as number);
      g = back.s * at(e, following);
      e[following] = back.c * at(e, following);
    }
    rotateRows(inner, [place, next], turn);
    rotateRows(outer, [place, next], back);
  }
  e[Math.min(order.at(-1) as number, order.at(-2) as number)] = f;
}

/** Makes values positive on the right vectors' side and sorts them. */
function sorted({ d, left, right }: State): SingularVectors {
  d.forEach((value, i) => {
    if (value >= 0) return;
    d[i] = -value;
    right[i] = (right[i] as Float64Array).map((entry) => -entry);
  });
  const order = Array.from(d, (_, i) => i).sort((i, j) => at(d, j) - at(d, i));
  const pick = (rows: Float64Array[]): Float64Array[] => order.map((i) => rows[i] as Float64Array);
  return {
    values: Float64Array.from(order, (i) => at(d, i)),
    left: pick(left),
    right: [...pick(right), ...right.slice(d.length)],
  };
}

/** A rotation with c ≥ 0 that takes (f, g) to (r, 0); r has the sign of f. */
export function rotation(f: number, g: number): { c: number; s: number; r: number } {
  if (g === 0) return { c: 1, s: 0, r: f };
  if (f === 0) return { c: 0, s: g < 0 ? -1 : 1, r: Math.abs(g) };
  const r = (f < 0 ? -1 : 1) * Math.hypot(f, g);
  return { c: Math.abs(f / r), s: g / r, r };
}

function rotateRows(
  rows: Float64Array[],
  [i, j]: readonly [number, number],
  { c, s }: { c: number; s: number },
): void {
  const [x, y] = [rows[i] as Float64Array, rows[j] as Float64Array];
  for (let k = 0; k < x.length; k++) {
    const [a, b] = [at(x, k), at(y, k)];
    x[k] = c * a + s * b;
    y[k] = c * b - s * a;
  }
}

/** The smaller singular value of [[f, g], [0, h]] (las2, without its care for overflow). */
function smallerValue(f: number, g: number, h: number): number {
  const [p, q] = [Math.hypot(f + h, g), Math.hypot(f - h, g)];
  const larger = (p + q) / 2;
  return larger === 0 ? 0 : Math.abs(f * h) / larger;
}

/** The last two rows of a block, solved at once. */
function solvePair({ d, e, left, right }: State, i: number): void {
  const { larger, smaller, turnLeft, turnRight } = pairValues(at(d, i), at(e, i), at(d, i + 1));
  d[i] = larger;
  e[i] = 0;
  d[i + 1] = smaller;
  rotateRows(right, [i, i + 1], turnRight);
  rotateRows(left, [i, i + 1], turnLeft);
}

/** A turn of two rows by an angle. */
export interface Turn {
  readonly c: number;
  readonly s: number;
}

/** Singular values, with signs, and rotations of [[f, g], [0, h]] (lasv2). */
function pairValues(
  f: number,
  g: number,
  h: number,
): { larger: number; smaller: number; turnLeft: Turn; turnRight: Turn } {
  const isSwapped = Math.abs(h) > Math.abs(f);
  const [ft, ht] = isSwapped ? [h, f] : [f, h];
  const { smaller, larger, l, r } = orderedPair(ft, g, ht);
  const turnLeft = isSwapped ? { c: r.s, s: r.c } : l;
  const turnRight = isSwapped ? { c: l.s, s: l.c } : r;
  const sign = (x: number): number => (x < 0 || Object.is(x, -0) ? -1 : 1);
  const isSteep = Math.abs(g) > Math.abs(ft);
  const sense = isSteep
    ? sign(turnRight.s) * sign(turnLeft.c) * sign(g)
    : isSwapped
      ? sign(turnRight.s) * sign(turnLeft.s) * sign(h)
      : sign(turnRight.c) * sign(turnLeft.c) * sign(f);
  return {
    larger: sense * larger,
    smaller: sense * sign(f) * sign(h) * smaller,
    turnLeft,
    turnRight,
  };
}

/** The same for |f| ≥ |h|, values without signs. */
function orderedPair(
  f: number,
  g: number,
  h: number,
): { smaller: number; larger: number; l: Turn; r: Turn } {
  const [fa, ha] = [Math.abs(f), Math.abs(h)];
  if (g === 0) return { smaller: ha, larger: fa, l: { c: 1, s: 0 }, r: { c: 1, s: 0 } };
  const gap = fa === 0 ? 0 : (fa - ha) / fa;
  const m = g / f;
  const t = 2 - gap;
  const s = Math.hypot(t, m);
  const q = gap === 0 ? Math.abs(m) : Math.hypot(gap, m);
  const a = (s + q) / 2;
  const slope =
    m * m === 0
      ? gap === 0
        ? 2 * (f < 0 ? -1 : 1) * (g < 0 ? -1 : 1)
        : g / ((f < 0 ? -1 : 1) * (fa - ha)) + m / t
      : (m / (s + t) + m / (q + gap)) * (1 + a);
  const length = Math.hypot(slope, 2);
  const r = { c: 2 / length, s: slope / length };
  return {
    smaller: ha / a,
    larger: fa * a,
    l: { c: (r.c + r.s * m) / a, s: ((h / f) * r.s) / a },
    r,
  };
}

function at(values: Float64Array, i: number): number {
  return values[i] as number;
}
