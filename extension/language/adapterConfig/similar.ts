/** The most similar of some names, for "did you mean"; undefined when none is near. */
export function mostSimilar(name: string, names: Iterable<string>): string | undefined {
  return similar(name, names)[0];
}

/** Names that a typing error or another spelling may have made this one of, the nearest first. */
export function similar(name: string, names: Iterable<string>): string[] {
  const most = Math.max(1, Math.floor(name.length / 3));
  const plain = normal(name);
  return [...new Set(names)]
    .filter((each) => each !== name)
    .map((each) => ({ each, distance: distance(plain, normal(each)) }))
    .filter(({ distance: far }) => far <= most)
    .sort((a, b) => a.distance - b.distance || a.each.localeCompare(b.each))
    .map(({ each }) => each);
}

function normal(name: string): string {
  return name.toLowerCase().replace(/[-_\s]/g, "");
}

/** Insertions, deletions, replacements and swapped neighbours that lead from one text to the other. */
function distance(a: string, b: string): number {
  let [before, last] = [[] as number[], Array.from({ length: b.length + 1 }, (_, i) => i)];
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1;
      const at = (r: number[], k: number): number => r[k] as number;
      let best = Math.min(at(row, j - 1) + 1, at(last, j) + 1, at(last, j - 1) + cost);
      const isSwapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      if (isSwapped) best = Math.min(best, at(before, j - 2) + 1);
      row.push(best);
    }
    [before, last] = [last, row];
  }
  return last[b.length] as number;
}
