import type { Machine } from "../../../../extension/core/base/machine.ts";

export const gib = 1024 ** 3;

/** A machine of 16 GiB, 9 free, and 8 cores under Linux, but for what is said. */
export function machineOf(
  own: Partial<Machine> & { files?: Readonly<Record<string, string>>; vm?: string } = {},
): Machine {
  const { files = {}, vm, ...rest } = own;
  return {
    platform: "linux",
    free: 9 * gib,
    total: 16 * gib,
    parallelism: 8,
    cores: 8,
    read: (file) => Promise.resolve(files[file] ?? null),
    vmStat: () => (vm === undefined ? Promise.reject(new Error("none")) : Promise.resolve(vm)),
    ...rest,
  };
}
