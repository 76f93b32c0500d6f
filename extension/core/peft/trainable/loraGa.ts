/**
 * LoRA-GA (https://arxiv.org/abs/2407.05000; PEFT lora/layer.py, lora_ga_init): factors along the singular
 * directions of the loss's derivative by the weight, so that the first step goes where full training would.
 */
import { lowRankSvd, type LowRankSvd, productsOf } from "../../base/lowRankSvd.ts";
import type { TorchGenerator } from "../../base/torchRandom.ts";
import type { LoraGaConfig } from "../loraPreparations.ts";

export interface LoraGaRequest {
  readonly config: LoraGaConfig;
  readonly in: number;
  readonly out: number;
  readonly rank: number;
  readonly scaling: number;
  /** The first size of the stored weight, which PEFT takes for the number of outputs. */
  readonly firstSize: number;
  readonly random: TorchGenerator;
  /** W [out, in] */
  readonly weight: () => Promise<Float32Array>;
}

/** Passes of the randomised decomposition. */
const iterations = 4;

/** A and B [rank, in], [out, rank]; draws as PEFT does. @param gradient [out, in] */
export async function loraGaFactors(
  gradient: Float32Array,
  at: LoraGaRequest,
): Promise<{ a: Float32Array; b: Float32Array }> {
  const { rank, in: columns, out: rows, random } = at;
  const size = { rows, columns };
  const q = Math.min(4 * rank, rows, columns);
  const draw = (count: number): Float32Array => random.normal(count);
  const found = await lowRankSvd(productsOf(gradient, size), { ...size, q, iterations, draw });
  const chosen = chosenDirections(at);
  const b = await factorOnB(found, chosen.b, at);
  const own = at.config.scale === "gd_scale" ? 1 / at.scaling : 1;
  const a = new Float32Array(rank * columns);
  chosen.a.forEach((from, r) => {
    for (let i = 0; i < columns; i++) {
      a[r * columns + i] = own * (found.v[from * columns + i] as number);
    }
  });
  const out = new Float32Array(rows * rank);
  chosen.b.forEach((from, r) => {
    const factor = b * (found.s[from] as number);
    for (let i = 0; i < rows; i++) {
      out[i * rank + r] = factor * (found.u[i * found.rank + from] as number);
    }
  });
  return { a, b: out };
}

/** Which of the 2 r largest directions each factor gets. */
function chosenDirections({ config, rank, random }: LoraGaRequest): { a: number[]; b: number[] } {
  const from = (first: number, step = 1): number[] =>
    Array.from({ length: rank }, (_, i) => first + step * i);
  switch (config.direction) {
    case "ArBr":
      return { a: from(1, 2), b: from(0, 2) };
    case "A2rBr":
      return { a: from(rank), b: from(0) };
    case "ArB2r":
      return { a: from(0), b: from(rank) };
    case "random": {
      const drawn = Array.from(random.permutation(2 * rank).subarray(0, rank));
      return { a: drawn, b: drawn };
    }
  }
}

/** What B's directions are multiplied with beside their singular values. */
async function factorOnB(
  { s }: LowRankSvd,
  chosen: readonly number[],
  { config, rank, scaling, firstSize, random, weight, ...size }: LoraGaRequest,
): Promise<number> {
  switch (config.scale) {
    case "stable":
      return firstSize ** 0.25 / Math.sqrt(config.stable_gamma);
    case "gd_scale":
      return 1 / scaling;
    case "unit":
      return 1;
    case "weight_svd": {
      const shape = { rows: size.out, columns: size.in };
      const draw = (count: number): Float32Array => random.normal(count);
      const products = productsOf(await weight(), shape);
      const own = await lowRankSvd(products, { ...shape, q: rank, iterations, draw });
      const first = s[chosen[0] as number] as number;
      return first > 0 ? (own.s[0] as number) / first : 1;
    }
  }
}
