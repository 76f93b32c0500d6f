import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { RunProcess } from "./runsContract.ts";

export function processFile(folder: string): string {
  return join(folder, "process.json");
}

/** What a run's folder says of its process; null when there is none, or when it cannot be read. */
export async function readProcessFile(folder: string): Promise<RunProcess | null> {
  try {
    const known = JSON.parse(await readFile(processFile(folder), "utf8")) as RunProcess;
    return typeof known.pid === "number" && typeof known.socket === "string" ? known : null;
  } catch {
    return null;
  }
}
