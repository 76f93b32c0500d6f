import { readFileSync } from "node:fs";

/** Bytes of a process. */
export interface Memory {
  readonly rss: number;
  readonly peak: number;
  /** What of it is no mapped file; null where the system does not tell. */
  readonly anonymous: number | null;
}

/** What this process has now, and had at most. */
export function processMemory(): Memory {
  const { rss } = process.memoryUsage();
  const peak = process.resourceUsage().maxRSS * 1024;
  if (process.platform !== "linux") return { rss, peak, anonymous: null };
  const status = readFileSync("/proc/self/status", "utf8");
  const field = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(status)?.[1]) * 1024;
  return { rss: field("VmRSS"), peak: field("VmHWM"), anonymous: field("RssAnon") };
}
