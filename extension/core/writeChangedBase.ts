import * as path from "node:path";
import { createFolder } from "./base/folders.ts";
import type { BaseCheckpoint, WeightRef } from "./checkpoint/baseCheckpoint.ts";
import { copyModelFiles } from "./copyModelFiles.ts";
import { readTensors } from "./safetensors/read.ts";
import { type TensorData, writeSafetensors } from "./safetensors/write.ts";

/**
 * Writes a base some of whose weights stand elsewhere as a checkpoint of its own: the same shards and
 * types. Tensor by tensor; a failure leaves no folder behind.
 * @param changed the same checkpoint with other places for the weights that are others, of the same sizes
 */
export async function writeChangedBase(
  original: BaseCheckpoint,
  changed: Pick<BaseCheckpoint, "weights">,
  { folder, signal }: { folder: string; signal?: AbortSignal | undefined },
): Promise<void> {
  const write = async (partial: string): Promise<void> => {
    const others = changesOf(original, changed);
    for (const [i, shard] of original.files.entries()) {
      const tensors = shard.tensors.map((entry): TensorData => ({
        ...entry,
        bytes: async () => {
          const [bytes] = (await readTensors(shard.file, [entry], signal)) as [Uint8Array];
          for (const { from, to } of others.get(entry.name) ?? []) {
            const [own] = (await readTensors(to.file, [to], signal)) as [Uint8Array];
            bytes.set(own, from.offset - entry.offset);
          }
          return bytes;
        },
      }));
      const file = path.join(partial, original.shardNames[i] as string);
      await writeSafetensors(file, tensors, { metadata: { ...shard.metadata }, signal });
    }
    await copyModelFiles(original, partial);
  };
  await createFolder(folder, write, { replaces: true });
}

/** By tensors of the files, which may hold several parameters: where a weight stood, and where it stands. */
function changesOf(
  { weights }: BaseCheckpoint,
  changed: Pick<BaseCheckpoint, "weights">,
): Map<string, { from: WeightRef; to: WeightRef }[]> {
  const out = new Map<string, { from: WeightRef; to: WeightRef }[]>();
  for (const [name, from] of weights) {
    const to = changed.weights.get(name);
    if (!to || to === from) continue;
    out.set(from.name, [...(out.get(from.name) ?? []), { from, to }]);
  }
  return out;
}
