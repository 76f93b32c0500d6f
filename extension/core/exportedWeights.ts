import { t } from "@vscode/l10n";
import { type FileHandle, realpath } from "node:fs/promises";
import * as path from "node:path";
import { isFloatDtype, toFloat32 } from "./base/dtype.ts";
import { throwIfAborted, unsupported } from "./base/errors.ts";
import { writeAtomically } from "./base/files.ts";
import { fromFloat32 } from "./base/halfFloat.ts";
import type { OnProgress } from "./base/progress.ts";
import type { BaseCheckpoint, WeightRef } from "./checkpoint/baseCheckpoint.ts";
import { readTensors } from "./safetensors/read.ts";

/** What weights are kept in; arithmetic is fp32 with either. */
export type ExportedDtype = "fp32" | "fp16";

/** Tensors begin at multiples of so many bytes: a page, so that runtimes can map them. */
const alignment = 4096;

/**
 * Writes the weights that a graph names into one file of external data, tensor by tensor.
 * @param names of the weights, as the checkpoint's parameters are called
 * @returns the checkpoint with these weights in the new file
 * @throws unsupported for a value that fp16 cannot hold
 */
export async function writeExportedWeights(
  checkpoint: BaseCheckpoint,
  names: readonly string[],
  at: { file: string; dtype: ExportedDtype; onProgress?: OnProgress; signal?: AbortSignal },
): Promise<BaseCheckpoint> {
  const { file, dtype, onProgress, signal } = at;
  const refs = names.flatMap((name) => {
    const ref = checkpoint.weights.get(name);
    return ref ? [[name, ref] as const] : [];
  });
  const total = refs.reduce((sum, [, { byteLength }]) => sum + byteLength, 0);
  const weights = new Map<string, WeightRef>();
  await writeAtomically(file, async (handle) => {
    let [offset, done] = [0, 0];
    for (const [name, ref] of refs) {
      onProgress?.({ step: t("Writing weights"), done, total, unit: "bytes" });
      throwIfAborted(signal);
      const bytes = await exportedBytes(ref, { name, dtype, signal });
      offset = await padTo(handle, offset);
      await handle.writeFile(bytes);
      const stored = { name, dtype: dtype === "fp16" ? "F16" : "F32" } as const;
      const place = { file, offset, byteLength: bytes.length };
      weights.set(name, { ...stored, shape: ref.shape, ...place });
      offset += bytes.length;
      done += ref.byteLength;
    }
  });
  const dir = await realpath(path.dirname(file));
  const moved = [...weights].map(
    ([name, ref]) => [name, { ...ref, file: path.join(dir, path.basename(file)) }] as const,
  );
  return { ...checkpoint, weights: new Map(moved) };
}

async function padTo(handle: FileHandle, offset: number): Promise<number> {
  const gap = (alignment - (offset % alignment)) % alignment;
  if (gap > 0) await handle.writeFile(new Uint8Array(gap));
  return offset + gap;
}

async function exportedBytes(
  ref: WeightRef,
  at: { name: string; dtype: ExportedDtype; signal: AbortSignal | undefined },
): Promise<Uint8Array> {
  const [bytes] = (await readTensors(ref.file, [ref], at.signal)) as [Uint8Array];
  const wanted = at.dtype === "fp16" ? "F16" : "F32";
  if (ref.dtype === wanted) return bytes;
  if (!isFloatDtype(ref.dtype)) {
    throw unsupported(
      t('{0}: tensor "{1}" is {2}, which is not exported yet', ref.file, at.name, ref.dtype),
    );
  }
  const values = toFloat32(bytes, ref.dtype);
  if (wanted === "F16" && values.some((value) => Math.abs(value) >= largestHalf)) {
    throw unsupported(
      t('Tensor "{0}" has values beyond {1}, which fp16 cannot hold', at.name, largestHalf),
      t("Export in fp32."),
    );
  }
  return fromFloat32(values, wanted);
}

/** From here on fp16 rounds to infinity. */
const largestHalf = 65520;
