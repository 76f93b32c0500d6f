import * as path from "node:path";
import type { ActiveAdapter, PeftModel } from "../core/peftModel.ts";
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
    const { warnings } = await model.loadAdapter(folder, { adapterName: name, ...options });
    for (const warning of warnings) process.stderr.write(`${folder}: ${warning}\n`);
    active.push({ name, weight });
  }
  return active;
}
