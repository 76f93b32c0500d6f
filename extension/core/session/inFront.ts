/** What prompt methods put in front of a sequence: virtual tokens, or content of the cache. */
import type { AdapterInputs, CachedPrefix } from "./adapterInputs.ts";
import type { DecodingState, Request } from "./decodingState.ts";

/** Puts `count` tokens before every row of a request, real ones but for the padding. */
export function prepend(
  { tokens, options }: Request,
  count: number,
  { virtualPadding: padding }: AdapterInputs,
): Request {
  const zeros = Array.from({ length: count }, () => 0);
  const real = (row: number): number[] =>
    zeros.map((_, place) => (place < (padding[row] ?? padding[0] ?? 0) ? 0 : 1));
  return {
    tokens: tokens.map((row) => [...zeros, ...row]),
    options: {
      ...options,
      attentionMask: tokens.map((row, i) =>
        Uint8Array.from([...real(i), ...(options.attentionMask?.[i] ?? row.map(() => 1))]),
      ),
      logitsRows: options.logitsRows?.map((row) => row + count),
    },
  };
}

/** Puts trained prefixes into an empty cache of `layers` layers. */
export function fillPrefix(
  state: DecodingState,
  { count, padding, rows }: CachedPrefix,
  layers: number,
): void {
  const { batch } = state.cache;
  const [first] = rows as [Float32Array];
  const perTensor = first.length / (2 * layers);
  const together = new Float32Array(first.length * batch);
  for (let i = 0; i < 2 * layers; i++) {
    for (let row = 0; row < batch; row++) {
      const own = (rows[row] ?? first).subarray(i * perTensor, (i + 1) * perTensor);
      together.set(own, (i * batch + row) * perTensor);
    }
  }
  state.cache.begin(together, count);
  state.seen.forEach((row, i) => {
    const empty = padding[i] ?? padding[0] ?? 0;
    for (let place = 0; place < count; place++) row.push(place < empty ? 0 : 1);
  });
  for (const row of state.ids) for (let i = 0; i < count; i++) row.push(-1);
}
