import * as path from "node:path";
import type {
  AdapterSummary,
  BaseModelSummary,
  DiscoverResult,
} from "./protocol/engineContract.ts";
import type { FitReport } from "./protocol/reportContract.ts";
import type { State } from "./state.ts";

/** What is known after some folders were looked at anew; what is gone from them is gone from here. */
export function mergeRescan(
  { bases, adapters }: Pick<State, "bases" | "adapters">,
  folders: readonly string[],
  found: Pick<DiscoverResult, "bases" | "adapters">,
): { bases: BaseModelSummary[]; adapters: AdapterSummary[] } {
  const looked = new Set(folders);
  return {
    // An export's path is its .onnx file, in the folder or in the `onnx` folder there.
    bases: merge(bases, found.bases, (own) =>
      [own, path.dirname(own), path.dirname(path.dirname(own))].some(
        (folder, i) => looked.has(folder) && (i === 0 || own.endsWith(".onnx")),
      ),
    ),
    adapters: merge(adapters, found.adapters, (own) => looked.has(own)),
  };
}

/** Keeps the order of those that stay, so that nothing moves that has not changed. */
function merge<T extends { path: string }>(
  known: readonly T[],
  found: readonly T[],
  isLooked: (path: string) => boolean,
): T[] {
  const fresh = new Map(found.map((each) => [each.path, each]));
  const kept = known.flatMap((each) => {
    const again = fresh.get(each.path);
    fresh.delete(each.path);
    if (again) return [again];
    return isLooked(each.path) ? [] : [each];
  });
  return [...kept, ...fresh.values()];
}

/** Adapters with what was read of them since, by path. */
export function withRead(
  adapters: readonly AdapterSummary[],
  read: readonly AdapterSummary[],
): AdapterSummary[] {
  const fresh = new Map(read.map((each) => [each.path, each]));
  return adapters.map((each) => {
    const again = fresh.get(each.path);
    // A base that the user has named is not in the adapter's files.
    return again ? { ...again, basePath: again.basePath ?? each.basePath } : each;
  });
}

/** Reports by path; those of adapters that are gone, or that changed, give way. */
export function withFits(
  fits: ReadonlyMap<string, FitReport>,
  reports: readonly FitReport[],
): ReadonlyMap<string, FitReport> {
  return new Map([...fits, ...reports.map((report) => [report.path, report] as const)]);
}
