/** Activations by their names in Hugging Face configs (transformers, activations.py ACT2FN). */
export const activations = {
  gelu,
  gelu_10: (x: number) => Math.min(10, Math.max(-10, gelu(x))),
  gelu_accurate: geluTanh,
  gelu_fast: geluTanh,
  gelu_new: geluTanh,
  gelu_python: gelu,
  gelu_python_tanh: geluTanh,
  gelu_pytorch_tanh: geluTanh,
  hardswish: (x: number) => (x * Math.min(6, Math.max(0, x + 3))) / 6,
  laplace: (x: number) => 0.5 * (1 + erf((x - 0.707107) / (0.282095 * Math.SQRT2))),
  leaky_relu: (x: number) => (x < 0 ? 0.01 * x : x),
  linear: (x: number) => x,
  mish: (x: number) => x * Math.tanh(softplus(x)),
  // Its slope is a parameter that PEFT makes anew for every pass, at torch's initial value.
  prelu: (x: number) => (x < 0 ? 0.25 * x : x),
  quick_gelu: (x: number) => x * sigmoid(1.702 * x),
  relu: (x: number) => Math.max(0, x),
  relu2: (x: number) => Math.max(0, x) ** 2,
  relu6: (x: number) => Math.min(6, Math.max(0, x)),
  sigmoid,
  silu: (x: number) => x * sigmoid(x),
  sqrtsoftplus: (x: number) => Math.sqrt(softplus(x)),
  swish: (x: number) => x * sigmoid(x),
  tanh: (x: number) => Math.tanh(x),
} as const;

export type ActivationName = keyof typeof activations;

function sigmoid(x: number): number {
  return 1 / (1 + Math.exp(-x));
}

function softplus(x: number): number {
  return Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
}

function gelu(x: number): number {
  return 0.5 * x * (1 + erf(x / Math.SQRT2));
}

function geluTanh(x: number): number {
  return 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));
}

/**
 * The error function, to about 1e-15: its series near zero, Laplace's continued fraction of erfc
 * beyond (Abramowitz and Stegun 7.1.6 and 7.1.14).
 */
export function erf(x: number): number {
  const size = Math.abs(x);
  if (size > 6) return Math.sign(x);
  if (size < 2.5) {
    let term = x;
    let sum = x;
    for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) {
      term *= (2 * x * x) / (2 * n + 1);
      sum += term;
    }
    return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
  }
  let fraction = size;
  for (let n = 60; n > 0; n--) fraction = size + n / 2 / fraction;
  return Math.sign(x) * (1 - Math.exp(-size * size) / (fraction * Math.sqrt(Math.PI)));
}
