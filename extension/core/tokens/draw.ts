import type { Sampling } from "./sampler.ts";

/** A token e^30 times less likely than the best is below fp32's resolution: never drawn. */
const negligible = 30;
/** Bands of likelihood; of a vocabulary of 150,000 few hundred tokens fall into one. */
const bands = 1024;
const width = negligible / bands;
/** e^-x where each band begins. */
const begins = Float64Array.from({ length: bands }, (_, band) => Math.exp(-band * width));

/**
 * Draws from what top-k and top-p leave of scores. Tokens are counted and weighed by bands of
 * likelihood, and only the bands that matter are sorted: the result is that of sorting all.
 */
export class Draw {
  private readonly counts = new Uint32Array(bands);
  private readonly weights = new Float64Array(bands);
  /** Per token its band; `bands` where it is negligible. */
  private places = new Uint16Array(0);

  private readonly sharpness: number;

  constructor(private readonly sampling: Pick<Sampling, "temperature" | "topK" | "topP">) {
    this.sharpness = 1 / sampling.temperature;
  }

  /**
   * @param best id of the largest score
   * @param uniform a random number in [0, 1)
   */
  from(scores: Float32Array, best: number, uniform: number): number {
    const { topK, topP } = this.sampling;
    this.weigh(scores, scores[best] as number);
    let limit = topK > 0 ? topK : Infinity;
    let total = 0;
    for (let band = 0, left = limit; band < bands && left > 0; band++) {
      const count = this.counts[band] as number;
      total +=
        count <= left ? (this.weights[band] as number) : sum(this.sorted(scores, best, band), left);
      left -= count;
    }
    if (topP < 1) {
      const { kept, weight } = this.walk(scores, best, {
        limit,
        until: (held) => held >= topP * total,
      });
      if (kept < limit) [limit, total] = [kept, weight];
    }
    const mark = uniform * total;
    return this.walk(scores, best, { limit, until: (held) => held > mark }).last;
  }

  /** Goes through tokens from the likeliest on, whole bands where it can, until enough is held. */
  private walk(
    scores: Float32Array,
    best: number,
    { limit, until }: { limit: number; until: (held: number) => boolean },
  ): { last: number; kept: number; weight: number } {
    let [last, kept, weight] = [best, 0, 0];
    for (let band = 0; band < bands && kept < limit; band++) {
      const count = this.counts[band] as number;
      if (count === 0) continue;
      const isWhole = kept + count < limit && !until(weight + (this.weights[band] as number));
      if (isWhole) {
        weight += this.weights[band] as number;
        kept += count;
        continue;
      }
      for (const candidate of this.sorted(scores, best, band)) {
        last = candidate.id;
        weight += candidate.weight;
        if (++kept >= limit || until(weight)) return { last, kept, weight };
      }
    }
    return { last, kept, weight };
  }

  private weigh(scores: Float32Array, most: number): void {
    const { counts, weights } = this;
    if (this.places.length !== scores.length) this.places = new Uint16Array(scores.length);
    const { places, sharpness } = this;
    counts.fill(0);
    weights.fill(0);
    for (let id = 0; id < scores.length; id++) {
      const behind = (most - (scores[id] as number)) * sharpness;
      // Not below: what is no number is never drawn.
      if (!(behind < negligible)) {
        places[id] = bands;
        continue;
      }
      const band = (behind / width) | 0;
      places[id] = band;
      counts[band] = (counts[band] as number) + 1;
      // Within a band four terms of e^-x are exact to 2e-10, far below what fp32 scores tell apart.
      const x = behind - band * width;
      const share = 1 - x * (1 - x * (1 / 2 - x * (1 / 6 - x / 24)));
      weights[band] = (weights[band] as number) + (begins[band] as number) * share;
    }
  }

  /** The tokens of a band, the likeliest first. */
  private sorted(scores: Float32Array, best: number, band: number): Candidate[] {
    const most = scores[best] as number;
    const found: Candidate[] = [];
    for (let id = this.places.indexOf(band); id !== -1; id = this.places.indexOf(band, id + 1)) {
      const behind = (most - (scores[id] as number)) * this.sharpness;
      found.push({ id, weight: Math.exp(-behind) });
    }
    return found.sort((a, b) => b.weight - a.weight);
  }
}

interface Candidate {
  readonly id: number;
  /** Relative to the likeliest token; not normalised. */
  readonly weight: number;
}

function sum(candidates: readonly Candidate[], count: number): number {
  let total = 0;
  for (let i = 0; i < count; i++) total += (candidates[i] as Candidate).weight;
  return total;
}
