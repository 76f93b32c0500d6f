import { t } from "@vscode/l10n";
import { open, realpath, mkdir } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import * as path from "node:path";
import { z } from "zod";
import { noRoom } from "./noRoom.ts";
import type { OnProgress } from "./base/progress.ts";
import type { BaseCheckpoint } from "./checkpoint/baseCheckpoint.ts";
import type { PrecisionRequest, WeightPlan } from "./quant/plan.ts";
import {
  encodeHeader,
  type LayerError,
  plannedBytes,
  sourceBytes,
  writeWeights,
} from "./quant/writeWeights.ts";
import { type CachedWeights, cachedWeights, digestOf, knownWeights } from "./quantCache.ts";
import { identityOf } from "./safetensors/checksums.ts";
import { openSafetensors, type SafetensorsFile } from "./safetensors/read.ts";
import { checkDrive, temporaryFolder } from "./temporaryWeights.ts";

/** A plan's tensors on disk. */
export interface MadeWeights {
  readonly file: SafetensorsFile;
  readonly errors: readonly LayerError[];
  readonly fromCache: boolean;
  /** True where every value is 0. */
  readonly isHollow?: boolean;
  dispose(): Promise<void>;
}

interface MakeOptions {
  readonly request: PrecisionRequest;
  readonly label: string;
  /** The cache's folder; a temporary file when undefined. */
  readonly dir: string | undefined;
  /** Where the cache has none a file of the same sizes will do, which takes no time: to measure with. */
  readonly sizesOnly?: boolean | undefined;
  readonly onProgress: OnProgress | undefined;
  readonly signal: AbortSignal | undefined;
}

/** Writes what a plan says, or takes it from the cache. */
export async function makeWeights(
  checkpoint: BaseCheckpoint,
  plan: WeightPlan,
  options: MakeOptions,
): Promise<MadeWeights> {
  const { dir, sizesOnly = false } = options;
  if (dir === undefined)
    return sizesOnly ? hollow(checkpoint, plan) : temporary(checkpoint, plan, options);
  return cached(checkpoint, plan, { ...options, dir });
}

const recorded = z.array(
  z.object({ path: z.string(), relative: z.number(), error: z.number(), total: z.number() }),
);

async function cached(
  checkpoint: BaseCheckpoint,
  plan: WeightPlan,
  options: MakeOptions & { dir: string },
): Promise<MadeWeights> {
  const { request, label, onProgress, signal } = options;
  await mkdir(options.dir, { recursive: true });
  const dir = await realpath(options.dir);
  checkDrive(dir, { kind: "quantized", base: checkpoint.dir });
  const { blockSize, quantization } = request;
  const files = await Promise.all(checkpoint.files.map(identityOf));
  const key = digestOf({ files, blockSize, quantization, plan: summaryOf(plan) });
  if (options.sizesOnly) {
    const known = await knownWeights(path.join(dir, key), key);
    return known ? madeOf(known) : hollow(checkpoint, plan);
  }
  const made = await cachedWeights({
    dir,
    key,
    model: checkpoint.name,
    precision: label,
    bytes: plannedBytes(plan),
    onDamaged: () =>
      onProgress?.({ step: t("Quantized weights in the cache are damaged: making them anew") }),
    write: async (handle) => {
      const { sha256, errors } = await writeAll(handle, plan, { onProgress, signal });
      return { sha256, report: errors };
    },
    signal,
  });
  return madeOf(made);
}

function madeOf({ file, report, isNew, release }: CachedWeights): MadeWeights {
  const errors = recorded.safeParse(report).data ?? [];
  return { file, errors, fromCache: !isNew, dispose: release };
}

/** A file as long as a plan's, of which nothing but the header is written. */
async function hollow(checkpoint: BaseCheckpoint, plan: WeightPlan): Promise<MadeWeights> {
  const { folder, dispose } = await temporaryFolder(checkpoint, "quantized");
  try {
    const name = path.join(folder, "quantized.safetensors");
    const handle = await open(name, "wx");
    try {
      await handle.writeFile(encodeHeader(plan));
      await handle.truncate(plannedBytes(plan));
    } finally {
      await handle.close();
    }
    const file = await openSafetensors(name);
    return { file, errors: [], fromCache: false, isHollow: true, dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}

/** What decides a file's bytes beside the numbers that it is made from. */
function summaryOf({ packed, plain }: WeightPlan): unknown {
  return {
    packed: packed.map(({ name, layout, hasZeroPoints, isSorted, items }) => ({
      name,
      layout,
      hasZeroPoints,
      isSorted,
      items: items.map(({ path: own, source, isLossless }) => [own, source.out, isLossless]),
    })),
    plain: plain.map(({ name, dtype, source, isTransposed }) => [
      name,
      dtype,
      source !== null,
      isTransposed,
    ]),
  };
}

async function temporary(
  checkpoint: BaseCheckpoint,
  plan: WeightPlan,
  { onProgress, signal }: MakeOptions,
): Promise<MadeWeights> {
  const { folder, dispose } = await temporaryFolder(checkpoint, "quantized");
  try {
    const name = path.join(folder, "quantized.safetensors");
    const handle = await open(name, "wx");
    const { errors } = await writeAll(handle, plan, { onProgress, signal }).finally(() =>
      handle.close(),
    );
    return { file: await openSafetensors(name), errors, fromCache: false, dispose };
  } catch (error) {
    await dispose();
    const isFull = (error as NodeJS.ErrnoException).code === "ENOSPC";
    throw isFull ? noRoom(folder, { needed: plannedBytes(plan) }) : error;
  }
}

async function writeAll(
  handle: FileHandle,
  plan: WeightPlan,
  { onProgress, signal }: Pick<MakeOptions, "onProgress" | "signal">,
): ReturnType<typeof writeWeights> {
  const total = sourceBytes(plan);
  const started = performance.now();
  let done = 0;
  const report = (): void => {
    const seconds = (performance.now() - started) / 1000;
    const secondsLeft = (seconds * (total - done)) / done;
    // The first second says little about the rest.
    const isKnown = seconds > 1 && done > 0;
    const at = { step: t("Quantizing"), done: Math.round(done), total, unit: "bytes" } as const;
    onProgress?.({ ...at, ...(isKnown && { secondsLeft }) });
  };
  report();
  return writeWeights(handle, plan, {
    onRead: (bytes) => {
      done += bytes;
      report();
    },
    signal,
  });
}
