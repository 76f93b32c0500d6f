/** An adapter in training as PEFT's files. */
import * as path from "node:path";
import { writeAtomically } from "../base/files.ts";
import { adapterConfigName } from "../checkpoint/adapterConfig.ts";
import type { MethodBase } from "../peft/method.ts";
import { savedTensors } from "../peft/trainable/savedTensors.ts";
import type { ParameterValues, TrainableAdapter } from "../peft/trainable/trainable.ts";
import { writeSafetensors } from "../safetensors/write.ts";

/** What stands in an adapter's files beside its values. */
export interface AdapterFrame {
  /** adapter_config.json as it is saved. */
  readonly configText: string;
  /** PEFT saves tables of it beside adapters of them. */
  readonly base: MethodBase;
}

/** Writes adapter_config.json and adapter_model.safetensors. */
export async function writeAdapterFiles(
  folder: string,
  adapter: TrainableAdapter,
  { values, configText, base }: { values: ParameterValues } & AdapterFrame,
): Promise<void> {
  const tensors = await savedTensors(adapter, values, { base });
  const weights = path.join(folder, "adapter_model.safetensors");
  await writeSafetensors(weights, tensors, { metadata: { format: "pt" } });
  const config = path.join(folder, adapterConfigName);
  await writeAtomically(config, (handle) => handle.writeFile(configText));
}
