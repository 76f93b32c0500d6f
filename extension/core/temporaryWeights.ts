import { t } from "@vscode/l10n";
import { mkdtemp, readdir, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import * as path from "node:path";
import { unsupported } from "./base/errors.ts";
import { isRunning } from "./base/processes.ts";
import type { BaseCheckpoint } from "./checkpoint/baseCheckpoint.ts";
import { openSafetensors } from "./safetensors/read.ts";
import { type TensorData, writeSafetensors } from "./safetensors/write.ts";

/** Weights in the place of a checkpoint's own. */
export interface TemporaryWeights {
  /** The checkpoint's weights with those written instead. */
  readonly weights: BaseCheckpoint["weights"];
  /** Removes the file; sessions that map it are closed before. */
  dispose(): Promise<void>;
}

/**
 * Writes tensors that replace or join a checkpoint's, one by one, into a temporary file that ONNX
 * Runtime maps like the checkpoint's: memory stays bounded and the base is not touched. What a killed
 * process left behind is removed by the next one that writes.
 * @param kind what the weights are ("merged"), for the folder's name and messages
 */
export async function temporaryWeights(
  checkpoint: BaseCheckpoint,
  tensors: readonly TensorData[],
  { kind, signal }: { kind: string; signal?: AbortSignal | undefined },
): Promise<TemporaryWeights> {
  const { folder, dispose } = await temporaryFolder(checkpoint, kind);
  try {
    const file = path.join(folder, `${kind}.safetensors`);
    await writeSafetensors(file, tensors, { ...(signal && { signal }) });
    const { tensors: written } = await openSafetensors(file);
    const own = written.map((entry) => [entry.name, { ...entry, file }] as const);
    return { weights: new Map([...checkpoint.weights, ...own]), dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}

/** A folder for weights that this process alone uses; what killed processes left is removed before. */
export async function temporaryFolder(
  checkpoint: BaseCheckpoint,
  kind: string,
): Promise<{ folder: string; dispose(): Promise<void> }> {
  const parent = await realpath(tmpdir());
  checkDrive(parent, { kind, base: checkpoint.dir });
  await removeAbandoned(parent, kind);
  // Named by the process that uses it.
  const folder = await mkdtemp(path.join(parent, `graft-${kind}-${process.pid}-`));
  return { folder, dispose: () => rm(folder, { recursive: true, force: true }) };
}

/** ONNX Runtime maps files below one folder, which two drives do not have. */
export function checkDrive(
  temporary: string,
  { kind, base }: { kind: string; base: string },
): void {
  const [own, other] = [temporary, base].map((each) => path.parse(each).root.toLowerCase());
  if (own === other) return;
  const what = `${kind[0]?.toUpperCase() ?? ""}${kind.slice(1)}`;
  throw unsupported(
    t(
      "{0} weights would go to {1}, which is on another drive than the base {2}",
      what,
      temporary,
      base,
    ),
    t("Set the environment variable TMP to a folder on the base's drive."),
  );
}

/** Removes what processes that are gone have left. */
async function removeAbandoned(parent: string, kind: string): Promise<void> {
  for (const name of await readdir(parent)) {
    const id = new RegExp(`^graft-${kind}-(\\d+)-`).exec(name)?.[1];
    if (id === undefined || isRunning(Number(id))) continue;
    // It may be another user's, or be removed by another process at the same time.
    await rm(path.join(parent, name), { recursive: true, force: true }).catch(() => undefined);
  }
}
