/** What a run leaves: its adapter as PEFT loads it, and a card that says how it was made. */
import * as path from "node:path";
import { writeAtomically } from "./base/files.ts";
import { parseAdapterConfig } from "./checkpoint/adapterConfig.ts";
import { withBaseName } from "./checkpoint/leadToBase.ts";
import { modelCard } from "./peft/modelCard.ts";
import { peftVersion, withInferenceMode } from "./savePretrained.ts";
import type { TrainingEnd } from "./train/events.ts";
import type { Trainer } from "./train/trainer.ts";
import { trainingCard } from "./train/trainingCard.ts";
import type { TrainingBase } from "./trainingBase.ts";

/**
 * As PEFT saves a config; one that names no base leads to the folder that it was trained on.
 * @param ownBase the base that the run made for itself: the config leads there whatever it named
 */
export function savedConfig(
  text: string,
  { checkpoint }: Pick<TrainingBase, "checkpoint">,
  ownBase?: string,
): string {
  const own = withInferenceMode(text);
  const { baseName } = parseAdapterConfig(own, "adapter_config.json");
  if (ownBase !== undefined) return withBaseName(own, ownBase);
  return baseName === null ? withBaseName(own, checkpoint.dir) : own;
}

/** Writes the README.md of an adapter that was trained. @param at.configText as it stands beside the adapter */
export async function writeTrainingCard(
  folder: string,
  { options, history }: Trainer,
  at: { configText: string; end: TrainingEnd; dataNote?: string | undefined },
): Promise<void> {
  const { configText, end, dataNote } = at;
  const file = path.join(folder, "README.md");
  const config = parseAdapterConfig(configText, file);
  const name = path.basename(path.resolve(folder));
  const card = await modelCard(file, { name, configs: [config], peftVersion });
  const text = trainingCard(card, { options, end, history, dataNote });
  await writeAtomically(file, (handle) => handle.writeFile(text));
}
