import { t } from "@vscode/l10n";
import { noMemory } from "./base/errors.ts";
import { freeMemory, type MemoryState } from "./base/machine.ts";
import {
  estimateMemory,
  type Estimated,
  type MemoryEstimate,
  type MemoryOptions,
} from "./memoryEstimate.ts";

/** How a base's weights stand in memory. */
export type MemoryWish = "resident" | "mapped";

/** What a base was estimated to need, beside what was free. */
export interface MemoryReport {
  readonly estimate: MemoryEstimate;
  readonly free: number;
  readonly total: number;
  readonly wish: MemoryWish;
}

/** What a user can turn to, in the order in which it costs answers or time. */
const ways = ["int8", "int4"] as const;

export type PackedIn = (precision?: "int8" | "int4") => ReadonlyMap<string, number>;

/**
 * Estimates a model beside what is free; what is mapped from disk makes room by itself.
 * @throws no-memory for one that cannot fit, naming what would, unless `allowTooLarge`
 */
export async function checkMemory(
  model: Estimated,
  at: {
    options: Omit<MemoryOptions, "packed">;
    /** Bytes of layers that run packed in a precision, by path; as asked for without one. */
    packedIn: PackedIn;
    allowTooLarge?: boolean;
    state?: MemoryState;
  },
): Promise<MemoryReport> {
  const { options, packedIn, allowTooLarge = false } = at;
  const { free, total, isLimited } = at.state ?? (await freeMemory());
  const estimate = estimateMemory(model, { ...options, packed: packedIn() });
  const wish = options.mapped ? "mapped" : "resident";
  if (allowTooLarge || neededMemory(estimate) <= free) return { estimate, free, total, wish };
  const place = isLimited ? t("this process's memory limit leaves") : t("is free");
  const others = ways.map((precision) => {
    const own = { ...options, packed: packedIn(precision) };
    return {
      precision,
      resident: neededMemory(estimateMemory(model, { ...own, mapped: false })),
      mapped: neededMemory(estimateMemory(model, { ...own, mapped: true })),
    };
  });
  const smaller = others.filter(({ resident }) => resident < neededMemory(estimate));
  const fits = smaller.filter(({ resident }) => resident <= free);
  throw noMemory(
    t(
      "{0} needs about {1}, {2} {3}",
      model.checkpoint.name,
      gigabytes(neededMemory(estimate)),
      gigabytes(free),
      place,
    ),
    remedyOf(fits[0], { canMap: !options.mapped && (others.at(-1)?.mapped ?? 0) <= free }),
    { needed: neededMemory(estimate), free, total, fits: fits.map(({ precision }) => precision) },
  );
}

/** Bytes that have to be free: what is mapped from disk makes room by itself. */
export function neededMemory({ peak, reclaimable }: MemoryEstimate): number {
  return peak - reclaimable;
}

function remedyOf(
  best: { precision: string; resident: number } | undefined,
  { canMap }: { canMap: boolean },
): string {
  if (best) {
    const { precision, resident } = best;
    return t(
      "In {0} it would need {1}: load it in {2}, or free memory.",
      precision,
      gigabytes(resident),
      precision,
    );
  }
  if (canMap) {
    return t(
      "No precision fits: load it in int4 with its weights mapped from disk, which is slow, or free memory.",
    );
  }
  return t("No precision fits here: free memory or choose a smaller model.");
}

function gigabytes(bytes: number): string {
  return bytes < 1e9 ? `${Math.ceil(bytes / 1e6)} MB` : `${(bytes / 1e9).toFixed(1)} GB`;
}
