/** An adapter in training as PEFT's files. */
import * as path from "node:path";
import { writeAtomically } from "../base/files.ts";
import { adapterConfigName } from "../checkpoint/adapterConfig.ts";
import type { ParameterValues, TrainableAdapter } from "../peft/trainable/trainable.ts";
import { writeSafetensors } from "../safetensors/write.ts";

/** Writes adapter_config.json and adapter_model.safetensors. @param configText as it is saved */
export async function writeAdapterFiles(
  folder: string,
  { parameters }: Pick<TrainableAdapter, "parameters">,
  { values, configText }: { values: ParameterValues; configText: string },
): Promise<void> {
  const stored = parameters.filter(({ isStored }) => isStored);
  const tensors = stored.map(({ name, shape }) => {
    const { buffer, byteOffset, byteLength } = values.get(name) as Float32Array;
    return {
      name,
      dtype: "F32",
      shape,
      bytes: new Uint8Array(buffer, byteOffset, byteLength),
    } as const;
  });
  const weights = path.join(folder, "adapter_model.safetensors");
  await writeSafetensors(weights, tensors, { metadata: { format: "pt" } });
  const config = path.join(folder, adapterConfigName);
  await writeAtomically(config, (handle) => handle.writeFile(configText));
}
