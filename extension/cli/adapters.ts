import * as path from "node:path";
import { badRequest } from "../core/base/errors.ts";
import { modelFolder } from "../core/checkpoint/findAdapter.ts";
import type { PeftModel } from "../core/peftModel.ts";
import type { ActiveAdapter } from "../core/loadedAdapters.ts";
import { baseOfAdapter } from "../core/resolveModel.ts";
import { showTransfers } from "./progress.ts";
import { readWeighted } from "./arguments.ts";

/** Loads adapters given as DIR or DIR:WEIGHT; what is unusual about one goes to stderr. */
export async function loadAdapters(
  model: PeftModel,
  given: readonly string[],
  options: { allowPartial: boolean; signal: AbortSignal },
): Promise<ActiveAdapter[]> {
  const active: ActiveAdapter[] = [];
  for (const [i, text] of given.entries()) {
    const { folder, weight } = readWeighted(text);
    // Two folders may have the same name.
    const name = `${i}.${path.basename(folder)}`;
    const { warnings } = await model.loadAdapter(folder, {
      adapterName: name,
      onProgress: showTransfers(),
      ...options,
    });
    sayWarnings(folder, warnings);
    active.push({ name, weight });
  }
  return active;
}

export function sayWarnings(folder: string, warnings: readonly string[]): void {
  for (const warning of warnings) process.stderr.write(`${folder}: ${warning}\n`);
}

/** The base that an adapter, given as DIR or DIR:WEIGHT, was trained on: for verbs without --base. */
export async function baseOf(adapter: string | undefined, verb: string): Promise<string> {
  if (adapter === undefined) throw badRequest(`${verb} needs a base or an adapter.`);
  const place = { onProgress: showTransfers() };
  return baseOfAdapter(await modelFolder(readWeighted(adapter).folder, place), place);
}
