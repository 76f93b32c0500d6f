import assert from "node:assert/strict";
import { test } from "node:test";
import { availableCores, freeMemory } from "../../../../extension/core/base/machine.ts";
import { gib, machineOf } from "./machines.ts";

const meminfo = { "/proc/meminfo": `MemTotal: 1 kB\nMemAvailable:   ${10 * 1024 ** 2} kB\n` };

/** A group of version 2 of which 3 GiB are used, 1 of them a cache. */
const groupTwo = (limit: string): Record<string, string> => ({
  ...meminfo,
  "/proc/self/cgroup": "0::/user/app\n",
  "/sys/fs/cgroup/user/memory.max": limit,
  "/sys/fs/cgroup/user/memory.current": `${3 * gib}\n`,
  "/sys/fs/cgroup/user/memory.stat": `anon 5\ninactive_file ${gib}\n`,
});

const groupOne = {
  ...meminfo,
  "/proc/self/cgroup": "9:name=systemd:/\n4:memory:/app\n1:cpu,cpuacct:/app\n0::/\n",
  "/sys/fs/cgroup/memory/app/memory.limit_in_bytes": `${2 * gib}`,
  "/sys/fs/cgroup/memory/app/memory.usage_in_bytes": `${gib}`,
  "/sys/fs/cgroup/memory/app/memory.stat": `inactive_file 1\ntotal_inactive_file ${gib / 2}\n`,
  "/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712",
  "/sys/fs/cgroup/memory/memory.usage_in_bytes": `${12 * gib}`,
};

const vm =
  "Mach Virtual Memory Statistics: (page size of 16384 bytes)\nPages free: 65536.\nPages active: 99.\nPages inactive: 131072.\nPages speculative: 65536.\nPages purgeable: 0.\n";

// prettier-ignore
const states: [what: string, own: Parameters<typeof machineOf>[0], free: number, total: number, isLimited: boolean][] = [
  ["Linux counts what caches give back", { files: meminfo }, 10, 16, false],
  ["Linux without /proc", {}, 9, 16, false],
  ["a container's limit", { files: groupTwo(`${4 * gib}\n`) }, 2, 4, true],
  ["a container without a limit", { files: groupTwo("max\n") }, 10, 16, false],
  ["a limit above the machine", { files: groupTwo(`${64 * gib}\n`) }, 10, 16, false],
  ["groups of version 1", { files: groupOne }, 1.5, 2, true],
  ["macOS counts what it gives back", { platform: "darwin", vm }, 4, 16, false],
  ["macOS without vm_stat", { platform: "darwin" }, 9, 16, false],
  ["Windows", { platform: "win32" }, 9, 16, false],
];

for (const [what, own, free, total, isLimited] of states) {
  test(`free memory: ${what}`, async () => {
    const state = await freeMemory(machineOf(own));
    assert.deepEqual(state, { free: free * gib, total: total * gib, isLimited });
  });
}

test("free memory of this machine is less than it has", async () => {
  const { free, total } = await freeMemory();
  assert(free > 0 && free <= total, `${free} of ${total}`);
});

const quota = { "/proc/self/cgroup": "0::/app\n", "/sys/fs/cgroup/app/cpu.max": "150000 100000\n" };
const quotaOne = {
  "/proc/self/cgroup": "1:cpu,cpuacct:/\n",
  "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "300000\n",
  "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
};

// prettier-ignore
const cores: [what: string, own: Parameters<typeof machineOf>[0], cores: number][] = [
  ["all", {}, 8],
  ["affinity", { parallelism: 3 }, 3],
  ["a quota of one and a half", { files: quota }, 2],
  ["no quota", { files: { ...quota, "/sys/fs/cgroup/app/cpu.max": "max 100000\n" } }, 8],
  ["a quota of version 1", { files: quotaOne }, 3],
  ["none of version 1", { files: { ...quotaOne, "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n" } }, 8],
];

for (const [what, own, count] of cores) {
  test(`cores of this process: ${what}`, async () => {
    assert.equal(await availableCores(machineOf(own)), count);
  });
}
