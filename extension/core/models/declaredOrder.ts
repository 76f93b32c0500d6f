import type { ExpertStack, ModuleInfo, ModuleTree } from "../checkpoint/modules.ts";

type Entry = ModuleInfo | ExpertStack;

/**
 * A tree in the order in which transformers' classes declare its modules, which PyTorch's
 * `named_modules` and with it an optimizer's state go by; a graph meets them as they are read.
 * @param late names that stand behind all others of the module that holds them, in this order
 */
export function declaredOrder(tree: ModuleTree, late: readonly string[]): ModuleTree {
  const { modules, experts = [] } = tree;
  const all: Entry[] = [...modules];
  for (const stack of experts.toSorted((a, b) => b.place - a.place)) {
    all.splice(stack.place, 0, stack);
  }
  const sorted = sort(all, late);
  const ordered = sorted.filter((entry) => "kind" in entry);
  if (experts.length === 0) return { ...tree, modules: ordered };
  const places = sorted.flatMap((entry, i): ExpertStack[] =>
    "kind" in entry
      ? []
      : [{ ...entry, place: sorted.slice(0, i).filter((each) => "kind" in each).length }],
  );
  return { ...tree, modules: ordered, experts: places };
}

function sort(entries: readonly Entry[], late: readonly string[]): Entry[] {
  const met = new Map<string, number>();
  for (const [index, { path }] of entries.entries()) {
    for (const prefix of prefixesOf(path)) if (!met.has(prefix)) met.set(prefix, index);
  }
  const keyOf = (path: string): number[] =>
    prefixesOf(path).flatMap((prefix) => [
      late.indexOf(prefix.slice(prefix.lastIndexOf(".") + 1)),
      met.get(prefix) as number,
    ]);
  return entries
    .map((entry) => ({ entry, key: keyOf(entry.path) }))
    .sort((a, b) => compare(a.key, b.key))
    .map(({ entry }) => entry);
}

/** "model.layers.0" → "model", "model.layers", "model.layers.0". */
function prefixesOf(path: string): string[] {
  const parts = path.split(".");
  return parts.map((_, i) => parts.slice(0, i + 1).join("."));
}

function compare(a: readonly number[], b: readonly number[]): number {
  const i = a.findIndex((value, place) => value !== b[place]);
  return i === -1 ? 0 : (a[i] as number) - (b[i] ?? -1);
}
