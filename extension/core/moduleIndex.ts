import { containerPaths, layerIndex, type ModuleTree } from "./checkpoint/modules.ts";

/** Where names of tensors lead in a base, also those that stand under another prefix. */
export interface ModuleIndex {
  /** The module that a tensor's name begins with, or null. */
  moduleOf(name: string): string | null;
  /** Does a tensor's name begin with a module, or with a block of modules? */
  isInside(name: string): boolean;
  /** What stands before the part of a name that the base has too, in the name and in the base. */
  placeOf(plain: string): { head: string; ownHead: string } | null;
  readonly lastLayer: number;
  /** The layers of some modules, ascending. */
  layersOf(paths: readonly string[]): number[];
  /** Are these all modules of their names in their layers? */
  isWhole(paths: readonly string[]): boolean;
}

/** A tensor's name without `base_model.model.`, in parts. */
export function plainSegments(name: string): string[] {
  return name.replace(/^base_model\.model\./, "").split(".");
}

export function moduleIndex(tree: ModuleTree): ModuleIndex {
  const paths = new Set([...tree.modules, ...(tree.experts ?? [])].map(({ path }) => path));
  const blocks = containerPaths(tree);
  const tails = tailsOf(paths);
  const layersOf = (some: readonly string[]): number[] =>
    [...new Set(some.map((path) => layerIndex(path) ?? -1))].sort((a, b) => a - b);
  const lastName = (path: string): string => path.split(".").at(-1) as string;
  return {
    lastLayer: Math.max(...layersOf([...paths])),
    layersOf,
    moduleOf: (name) => {
      const parts = plainSegments(name);
      for (let end = parts.length; end > 0; end--) {
        const path = parts.slice(0, end).join(".");
        if (paths.has(path)) return path;
      }
      return null;
    },
    isInside: (name) => {
      const parts = plainSegments(name);
      // The last two name the tensor and at least one part of the model.
      const inner = parts.slice(0, -1).join(".");
      return parts.length > 2 && (paths.has(inner) || blocks.has(inner));
    },
    placeOf: (plain) => {
      const parts = plain.split(".");
      for (let start = 0; start < parts.length; start++) {
        for (let end = parts.length; end > start; end--) {
          const ownHead = tails.get(parts.slice(start, end).join("."));
          if (ownHead === undefined) continue;
          return { head: parts.slice(0, start).map(dotted).join(""), ownHead };
        }
      }
      return null;
    },
    isWhole: (some) => {
      const layers = new Set(layersOf(some));
      const names = new Set(some.map(lastName));
      const all = [...paths].filter(
        (path) => layers.has(layerIndex(path) ?? -1) && names.has(lastName(path)),
      );
      return all.length === some.length;
    },
  };
}

/** Ends of paths that still say which layer, and whole paths, each with what stands before. */
function tailsOf(paths: ReadonlySet<string>): Map<string, string> {
  const tails = new Map<string, string>();
  for (const path of paths) {
    const parts = path.split(".");
    parts.forEach((_, start) => {
      const tail = parts.slice(start);
      if (start > 0 && !tail.some((part) => /^\d+$/.test(part))) return;
      tails.set(tail.join("."), parts.slice(0, start).map(dotted).join(""));
    });
  }
  return tails;
}

function dotted(part: string): string {
  return `${part}.`;
}
