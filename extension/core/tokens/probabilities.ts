/** A token and its probability in the softmax of a model's logits, before anything filters them. */
export interface TokenProbability {
  readonly id: number;
  readonly probability: number;
}

/** Probabilities of a token and of the `count` likeliest, the likeliest first. */
export function probabilitiesOf(
  logits: Float32Array,
  id: number,
  count: number,
): { probability: number; likeliest: TokenProbability[] } {
  const top: { id: number; logit: number }[] = [];
  let best = -Infinity;
  for (let i = 0; i < logits.length; i++) {
    const logit = logits[i] as number;
    if (logit > best) best = logit;
    const last = top.at(-1);
    if (count === 0 || (top.length === count && last && logit <= last.logit)) continue;
    const place = top.findIndex((each) => logit > each.logit);
    top.splice(place === -1 ? top.length : place, 0, { id: i, logit });
    if (top.length > count) top.pop();
  }
  let total = 0;
  for (const logit of logits) total += Math.exp(logit - best);
  const probability = (logit: number): number => Math.exp(logit - best) / total;
  return {
    probability: probability(logits[id] as number),
    likeliest: top.map((each) => ({ id: each.id, probability: probability(each.logit) })),
  };
}
