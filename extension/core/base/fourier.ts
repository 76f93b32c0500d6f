/** A complex signal. */
export interface Complex {
  readonly re: Float64Array;
  readonly im: Float64Array;
}

/** Makes room for n complex zeros. */
export function complexZeros(n: number): Complex {
  return { re: new Float64Array(n), im: new Float64Array(n) };
}

/**
 * The inverse discrete Fourier transform of signals of n values, X[k] = (1/n) Σ x[j] e^(2πi j k / n).
 * Mixed radix: fast where n is a product of small primes, as the widths of models are.
 */
export function inverseTransform(n: number): (signal: Complex) => Complex {
  const turns = complexZeros(n);
  for (let k = 0; k < n; k++) {
    turns.re[k] = Math.cos((2 * Math.PI * k) / n);
    turns.im[k] = Math.sin((2 * Math.PI * k) / n);
  }
  return (signal) => {
    const out = complexZeros(n);
    transform(signal, out, { turns, length: n, from: 0, stride: 1, to: 0 });
    out.re.forEach((value, k) => (out.re[k] = value / n));
    out.im.forEach((value, k) => (out.im[k] = value / n));
    return out;
  };
}

interface Part {
  /** e^(2πi k / n) of the whole length n. */
  readonly turns: Complex;
  readonly length: number;
  readonly from: number;
  readonly stride: number;
  readonly to: number;
}

/** Every stride-th value of the source from a place on, transformed into a run of the target. */
function transform(source: Complex, target: Complex, part: Part): void {
  const { length, from, stride, to } = part;
  if (length === 1) {
    target.re[to] = source.re[from] as number;
    target.im[to] = source.im[from] as number;
    return;
  }
  const radix = smallestFactor(length);
  const inner = length / radix;
  for (let j = 0; j < radix; j++) {
    transform(source, target, {
      ...part,
      length: inner,
      from: from + j * stride,
      stride: stride * radix,
      to: to + j * inner,
    });
  }
  combine(target, part, { radix, inner });
}

/** X[k + q m] = Σ_j e^(2πi j (k + q m) / length) Y_j[k], in place. */
function combine(
  target: Complex,
  { turns, length, stride, to }: Part,
  { radix, inner }: { radix: number; inner: number },
): void {
  const own = complexZeros(radix);
  for (let k = 0; k < inner; k++) {
    for (let j = 0; j < radix; j++) {
      own.re[j] = target.re[to + j * inner + k] as number;
      own.im[j] = target.im[to + j * inner + k] as number;
    }
    for (let q = 0; q < radix; q++) {
      let [re, im] = [0, 0];
      for (let j = 0; j < radix; j++) {
        const turn = ((j * (k + q * inner)) % length) * stride;
        const [c, s] = [turns.re[turn] as number, turns.im[turn] as number];
        re += (own.re[j] as number) * c - (own.im[j] as number) * s;
        im += (own.re[j] as number) * s + (own.im[j] as number) * c;
      }
      target.re[to + q * inner + k] = re;
      target.im[to + q * inner + k] = im;
    }
  }
}

function smallestFactor(n: number): number {
  for (let factor = 2; factor * factor <= n; factor++) if (n % factor === 0) return factor;
  return n;
}
