/**
 * Places of the k largest values as `torch.topk` chooses them on a CPU. Which of equal values it takes
 * follows from the C++ library's nth_element: a quickselect around the median of three that ends in an
 * insertion sort of at most three values. Above 64 values a pick it sorts in another way, which only
 * equal values could tell.
 */
export function torchTopK(values: ArrayLike<number>, k: number): number[] {
  const order = Array.from({ length: values.length }, (_, i) => i);
  if (k > 0) selectLargest(order, values, k - 1);
  return order.slice(0, k);
}

type Before = (x: number, y: number) => boolean;

function selectLargest(order: number[], values: ArrayLike<number>, nth: number): void {
  const before: Before = (x, y) => (values[x] as number) > (values[y] as number);
  let [first, last] = [0, order.length];
  while (last - first > 3) {
    const cut = partition(order, { first, last, before });
    if (cut <= nth) first = cut;
    else last = cut;
  }
  for (let i = first + 1; i < last; i++) {
    for (let j = i; j > first && before(order[j] as number, order[j - 1] as number); j--) {
      swap(order, j, j - 1);
    }
  }
}

/** Moves what comes before the pivot, which goes to `first`, ahead of the place that is returned. */
function partition(
  order: number[],
  { first, last, before }: { first: number; last: number; before: Before },
): number {
  const isBefore = (i: number, j: number): boolean =>
    before(order[i] as number, order[j] as number);
  const middle = first + Math.floor((last - first) / 2);
  swap(order, first, medianOf([first + 1, middle, last - 1], isBefore));
  let [low, high] = [first + 1, last];
  for (;;) {
    while (isBefore(low, first)) low++;
    high--;
    while (isBefore(first, high)) high--;
    if (low >= high) return low;
    swap(order, low, high);
    low++;
  }
}

function medianOf([a, b, c]: [number, number, number], isBefore: Before): number {
  if (isBefore(a, b)) return isBefore(b, c) ? b : isBefore(a, c) ? c : a;
  return isBefore(a, c) ? a : isBefore(b, c) ? c : b;
}

function swap(order: number[], i: number, j: number): void {
  [order[i], order[j]] = [order[j] as number, order[i] as number];
}
