/** What this process may use of the machine: memory and cores, containers' limits included. */
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import * as os from "node:os";
import * as path from "node:path";
import { promisify } from "node:util";

/** Where the facts come from; tests put others in. */
export interface Machine {
  readonly platform: NodeJS.Platform;
  /** In bytes, as the system counts it: on macOS without what it would give back. */
  readonly free: number;
  readonly total: number;
  /** Cores that the scheduler lets this process run on. */
  readonly parallelism: number;
  readonly cores: number;
  /** A file's text; null when it is not there. */
  read(file: string): Promise<string | null>;
  /** macOS's own count of pages. */
  vmStat(): Promise<string>;
}

export function thisMachine(): Machine {
  return {
    platform: process.platform,
    free: os.freemem(),
    total: os.totalmem(),
    parallelism: os.availableParallelism(),
    cores: os.cpus().length,
    read: (file) => readFile(file, "utf8").catch(() => null),
    vmStat: async () => (await promisify(execFile)("vm_stat", { timeout: 2000 })).stdout,
  };
}

export interface MemoryState {
  /** Bytes that a process can still take without swapping. */
  readonly free: number;
  /** Bytes that there are for this process at all: the machine's, or its container's limit. */
  readonly total: number;
  /** Whether a container's limit decides, not the machine. */
  readonly isLimited: boolean;
}

/**
 * Memory that is free for this process, the caches that the system gives back included. Linux:
 * MemAvailable and the limits of all control groups above the process (versions 1 and 2); macOS: free,
 * inactive, speculative and purgeable pages; Windows: available physical memory.
 */
export async function freeMemory(machine: Machine = thisMachine()): Promise<MemoryState> {
  const { platform, total } = machine;
  if (platform === "darwin") return { free: await macFree(machine), total, isLimited: false };
  if (platform !== "linux") return { free: machine.free, total, isLimited: false };
  const available = /^MemAvailable:\s+(\d+) kB/m.exec((await machine.read("/proc/meminfo")) ?? "");
  const free = available ? Number(available[1]) * 1024 : machine.free;
  let state: MemoryState = { free, total, isLimited: false };
  for (const { limit, used } of await memoryLimits(machine)) {
    const left = Math.max(0, limit - used);
    if (limit >= total) continue;
    const smaller = Math.min(state.total, limit);
    if (left >= state.free) state = { ...state, total: smaller };
    else state = { free: left, total: smaller, isLimited: true };
  }
  return state;
}

/** Pages that macOS hands out at once; os.freemem counts only those that nobody ever used. */
async function macFree({ vmStat, free }: Machine): Promise<number> {
  const text = await vmStat().catch(() => "");
  const size = Number(/page size of (\d+) bytes/.exec(text)?.[1]);
  const pages = ["free", "inactive", "speculative", "purgeable"].map((kind) =>
    Number(new RegExp(`^Pages ${kind}:\\s+(\\d+)`, "m").exec(text)?.[1]),
  );
  const sum = pages.reduce((all, count) => all + count, 0) * size;
  return Number.isFinite(sum) ? sum : free;
}

/** Cores that this process gets: affinity and the CPU quota of its control groups. */
export async function availableCores(machine: Machine = thisMachine()): Promise<number> {
  let cores = machine.parallelism;
  if (machine.platform !== "linux") return cores;
  for (const folder of await groupFolders(machine, "cpu")) {
    const [quota, period] = await cpuQuota(machine, folder);
    if (quota > 0 && period > 0) cores = Math.min(cores, Math.max(1, Math.ceil(quota / period)));
  }
  return cores;
}

async function cpuQuota(machine: Machine, folder: string): Promise<[number, number]> {
  const two = await machine.read(path.posix.join(folder, "cpu.max"));
  // "max 100000" is no limit: NaN is never above 0.
  if (two !== null) return two.trim().split(" ").map(Number) as [number, number];
  const [quota, period] = await Promise.all(
    ["cpu.cfs_quota_us", "cpu.cfs_period_us"].map((name) =>
      machine.read(path.posix.join(folder, name)),
    ),
  );
  return [Number(quota ?? NaN), Number(period ?? NaN)];
}

/** Limit and use of every memory group above the process; caches that are given back do not count. */
async function memoryLimits(machine: Machine): Promise<{ limit: number; used: number }[]> {
  const limits = [];
  for (const folder of await groupFolders(machine, "memory")) {
    const read = (name: string): Promise<string | null> =>
      machine.read(path.posix.join(folder, name));
    const limit = (await read("memory.max")) ?? (await read("memory.limit_in_bytes"));
    const used = (await read("memory.current")) ?? (await read("memory.usage_in_bytes"));
    if (limit === null || used === null || !/^\d+\s*$/.test(limit)) continue;
    const stat = (await read("memory.stat")) ?? "";
    const cached = (name: string): number =>
      Number(new RegExp(`^${name} (\\d+)`, "m").exec(stat)?.[1] ?? 0);
    const given = cached("total_inactive_file") || cached("inactive_file");
    limits.push({ limit: Number(limit), used: Number(used) - given });
  }
  return limits;
}

/** Folders of the groups that this process is in for a controller, innermost first. */
async function groupFolders(machine: Machine, controller: string): Promise<string[]> {
  const lines = ((await machine.read("/proc/self/cgroup")) ?? "").split("\n");
  const folders: string[] = [];
  for (const line of lines) {
    const [, names, own] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? [];
    if (names === undefined || own === undefined) continue;
    const isOwn = names === "" || names.split(",").includes(controller);
    if (!isOwn) continue;
    // A container sees its own group as the root, whatever the path says.
    const root = names === "" ? "/sys/fs/cgroup" : `/sys/fs/cgroup/${names}`;
    for (let at = own; ; at = path.posix.dirname(at)) {
      folders.push(path.posix.join(root, at));
      if (at === "/") break;
    }
    if (names !== "" && names !== controller) folders.push(`/sys/fs/cgroup/${controller}`);
  }
  return folders;
}
