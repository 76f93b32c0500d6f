/** An adapter in training as PEFT's files. */
import * as path from "node:path";
import { writeAtomically } from "../base/files.ts";
import { adapterConfigName, parseAdapterConfig } from "../checkpoint/adapterConfig.ts";
import type { MethodBase } from "../peft/method.ts";
import { savedTensors } from "../peft/trainable/savedTensors.ts";
import { withFields } from "../peft/trainable/completedConfig.ts";
import type { SavedForm, TrainableAdapter } from "../peft/trainable/trainable.ts";
import { writeSafetensors } from "../safetensors/write.ts";
import { madeTensors } from "./madeTensors.ts";
import type { TrainingModel } from "./trainingModel.ts";

/** What stands in an adapter's files beside its values. */
export interface AdapterFrame {
  /** adapter_config.json as it is saved. */
  readonly configText: string;
  /** PEFT saves tables of it beside adapters of them. */
  readonly base: MethodBase;
  /** Of the weights' file, beside what PEFT writes there. */
  readonly metadata?: Readonly<Record<string, string>>;
}

/** Writes adapter_config.json and adapter_model.safetensors of an adapter as it is now. */
export function writeAdapterFiles(
  folder: string,
  model: TrainingModel,
  frame: AdapterFrame,
): Promise<void> {
  const { adapter } = model.parts;
  const { plain } = adapter;
  const form = plain?.saved(model.parameters.values()) ?? model.saved();
  const configText = plain?.configText(frame.configText) ?? frame.configText;
  return writeAdapterForm(folder, { ...adapter, ...form }, { ...frame, configText });
}

/** The same of an adapter that is not trained yet. */
export async function writeAdapterForm(
  folder: string,
  form: SavedForm & Pick<TrainableAdapter, "config" | "made" | "settle">,
  { configText, base, metadata = {} }: AdapterFrame,
): Promise<void> {
  const { parameters, values, fields, config } = form;
  const stored = await savedTensors({ parameters, config }, values, { base });
  const tensors = [...stored, ...(await madeTensors(form, values))];
  const weights = path.join(folder, "adapter_model.safetensors");
  await writeSafetensors(weights, tensors, { metadata: { ...metadata, format: "pt" } });
  const file = path.join(folder, adapterConfigName);
  const { text } = withFields(parseAdapterConfig(configText, file), fields);
  await writeAtomically(file, (handle) => handle.writeFile(text));
}
