import { z } from "zod";
import { matchPattern } from "../../checkpoint/targets.ts";
import { wholeNumber } from "./config.ts";

/** A field that gives single modules another whole number; absent and null mean none. */
export const numberPattern = z
  .record(z.string(), wholeNumber)
  .nullish()
  .transform((value) => value ?? {});

/**
 * The rule of methods older than PEFT's common one (C3A, FourierFT): a key counts where it ends a
 * name after a dot, then where it is the whole name.
 */
export function matchNameEnd<T>(
  patterns: Readonly<Record<string, T>>,
  path: string,
  place: { field: string; file: string },
): T | undefined {
  const dotted = Object.entries(patterns).map(([key, value]) => [`.*\\.(?:${key})`, value]);
  return (
    matchPattern(Object.fromEntries(dotted) as Record<string, T>, path, place) ??
    (Object.hasOwn(patterns, path) ? patterns[path] : undefined)
  );
}
