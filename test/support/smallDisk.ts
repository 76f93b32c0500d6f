import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";

export interface SmallDisk {
  readonly folder: string;
  /** Takes all room that is left. */
  fill(): void;
  /** Gives it back. */
  empty(): void;
  grow(size: string): void;
}

/** A disk of a given size ("256k"), gone after the test; null, and the test skipped, where none can be made. */
export function smallDisk(t: TestContext, size: string): SmallDisk | null {
  const folder = mkdtempSync(join(tmpdir(), "graft-disk-"));
  const mount = (...options: string[]): void =>
    void execFileSync("mount", [...options, folder], { stdio: "ignore" });
  try {
    mount("-t", "tmpfs", "-o", `size=${size}`, "tmpfs");
  } catch {
    rmSync(folder, { recursive: true });
    t.skip("only root on Linux can mount a small disk");
    return null;
  }
  t.after(() => {
    execFileSync("umount", ["-l", folder]);
    rmSync(folder, { recursive: true });
  });
  const filler = join(folder, "filler");
  return {
    folder,
    fill: () =>
      void execFileSync("sh", ["-c", `cat /dev/zero > ${filler} || true`], { stdio: "ignore" }),
    empty: () => rmSync(filler, { force: true }),
    grow: (larger) => mount("-o", `remount,size=${larger}`),
  };
}
