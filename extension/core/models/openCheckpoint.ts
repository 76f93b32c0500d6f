import { badFile } from "../base/errors.ts";
import {
  type BaseCheckpoint,
  openBaseCheckpoint,
  type WeightRef,
} from "../checkpoint/baseCheckpoint.ts";
import { families } from "./index.ts";

/** Opens a checkpoint's folder with its weights under the names that transformers 5 gives to parameters. */
export async function openCheckpoint(
  folder: string,
  signal?: AbortSignal,
): Promise<BaseCheckpoint> {
  return withParameterNames(await openBaseCheckpoint(folder, signal));
}

/**
 * Keys of `weights` become names of parameters; `WeightRef.name` stays the name in the file.
 * @throws bad-file when two tensors of the files are one parameter
 */
export function withParameterNames(checkpoint: BaseCheckpoint): BaseCheckpoint {
  const { config } = checkpoint;
  const family = families.find(({ modelType }) => modelType === config.modelType);
  if (!family?.tensorName) return checkpoint;
  const weights = new Map<string, WeightRef>();
  for (const ref of checkpoint.weights.values()) {
    const name = family.tensorName(ref.name, config.raw);
    if (name === null) continue;
    const twin = weights.get(name);
    if (twin)
      throw badFile(ref.file, `tensors "${twin.name}" and "${ref.name}" both are "${name}"`);
    weights.set(name, ref);
  }
  return { ...checkpoint, weights };
}
