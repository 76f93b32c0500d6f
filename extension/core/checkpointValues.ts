/** Values of an adapter's parameters as a run's checkpoint has them. */
import { t } from "@vscode/l10n";
import { misfit } from "./base/errors.ts";
import { type AdapterCheckpoint, openAdapterCheckpoint } from "./checkpoint/adapterCheckpoint.ts";
import type { ParameterValues, TrainableAdapter } from "./peft/trainable/trainable.ts";
import { readFloat32 } from "./safetensors/read.ts";
import { readUnstored } from "./train/madeTensors.ts";
import { recall } from "./train/runState.ts";
import type { ModelParts, TrainingModel } from "./train/trainingModel.ts";

/** Values that an adapter's file has. @throws misfit for one of another shape, or that is missing */
export async function fileValues(
  { parameters, plain }: TrainableAdapter,
  { weights, dir }: AdapterCheckpoint,
  signal?: AbortSignal,
): Promise<Map<string, Float32Array>> {
  const byName = new Map(weights.tensors.map((entry) => [entry.name, entry]));
  const stored = parameters.filter(({ isStored }) => isStored);
  const missing = stored.find(({ name }) => !byName.has(name));
  if (missing) {
    throw misfit(
      t('{0}: the adapter has no tensor "{1}", which its config asks for.', dir, missing.name),
    );
  }
  const entries = stored.flatMap(({ name }) => byName.get(name) ?? []);
  const values = await readFloat32(weights.file, entries, signal);
  return plain ? new Map(plain.read(values)) : values;
}

/** All parameters' values, those that the adapter's file has no place for among them. */
export async function checkpointValues(
  model: TrainingModel,
  checkpoint: AdapterCheckpoint,
  signal?: AbortSignal,
): Promise<ParameterValues> {
  const { adapter, values } = model.parts;
  const { dir } = checkpoint;
  const stored = await fileValues(adapter, checkpoint, signal);
  const unstored = await readUnstored(dir, adapter, signal);
  return new Map([...values, ...stored, ...unstored, ...(await recall(model, dir))]);
}

/** With what a checkpoint's file holds, what is fed and never trained among it: inputs from the start. */
export async function withFileValues(
  parts: ModelParts,
  folder: string,
  signal: AbortSignal | undefined,
): Promise<ModelParts> {
  const checkpoint = await openAdapterCheckpoint(folder, signal);
  const stored = await fileValues(parts.adapter, checkpoint, signal);
  return { ...parts, values: new Map([...parts.values, ...stored]) };
}
