import { t } from "@vscode/l10n";
import { realpath } from "node:fs/promises";
import * as path from "node:path";
import { applyEdits, modify } from "jsonc-parser";
import { type FolderPlan, type PlannedFile, writeFolder } from "./adapterFolder.ts";
import { badRequest } from "./base/errors.ts";
import { isFile, writeAtomically } from "./base/files.ts";
import { type AdapterCheckpoint, openAdapterCheckpoint } from "./checkpoint/adapterCheckpoint.ts";
import { adapterConfigName } from "./checkpoint/adapterConfig.ts";
import type { BaseCheckpoint } from "./checkpoint/baseCheckpoint.ts";
import { expertFolderName } from "./checkpoint/experts.ts";
import { baseNameFor, withBaseName } from "./checkpoint/leadToBase.ts";
import type { ModuleTree } from "./checkpoint/modules.ts";
import { writeTorchFile } from "./checkpoint/writeTorchFile.ts";
import type { CombinedAdapter } from "./peft/combine/source.ts";
import { type EmbeddingOptions, withEmbeddingLayers } from "./peft/embeddingLayers.ts";
import { modelCard } from "./peft/modelCard.ts";
import { plainLoraConfig, plainLoraTensors, plainLoraWarning } from "./peft/plainLora.ts";
import { chooseExperts } from "./peft/xlora/experts.ts";
import { readTensors } from "./safetensors/read.ts";
import { type TensorData, writeSafetensors } from "./safetensors/write.ts";

/** The release of PEFT whose files Graft writes. */
export const peftVersion = "0.21.0";

/** PEFT's options of save_pretrained, and what asking first needs. */
export interface SaveOptions extends EmbeddingOptions {
  /** True writes adapter_model.safetensors, false adapter_model.bin. */
  readonly safeSerialization?: boolean | undefined;
  /**
   * Folder of the adapter as it was before training: what is saved is a plain LoRA of twice the rank
   * for the base as it is. For PiSSA, OLoRA, CorDA and LoRA-GA.
   */
  readonly pathInitialModelForWeightConversion?: string | undefined;
  /** False writes nothing: another process does. */
  readonly isMainProcess?: boolean | undefined;
  /** Replace adapter files that are there already, of either format. */
  readonly overwrite?: boolean | undefined;
}

interface BaseFacts {
  readonly checkpoint: BaseCheckpoint;
  readonly tree: ModuleTree;
}

/** Both formats of an adapter's weights; a reader takes the first that is there. */
const weightNames = { safetensors: "adapter_model.safetensors", bin: "adapter_model.bin" };
const cardName = "README.md";

/**
 * Writes adapters as PEFT's save_pretrained lays them out: "default" in the folder itself, others in
 * a subfolder of their name, one model card for all. All files or none.
 */
export async function saveAdapters(
  adapters: readonly { name: string; checkpoint: AdapterCheckpoint }[],
  folder: string,
  at: SaveOptions & BaseFacts,
): Promise<string[]> {
  if (at.isMainProcess === false || adapters.length === 0) return [];
  const parts: FolderPlan[] = [];
  for (const { name, checkpoint } of adapters) {
    const place = name === "default" ? "" : name;
    parts.push(await planAdapter(checkpoint, { ...at, folder, place }));
  }
  const files = parts.flatMap((part) => part.files);
  const checkpoints = adapters.map(({ checkpoint }) => checkpoint);
  const plan = {
    files: [...files, planCard(checkpoints, folder)],
    owned: parts.flatMap((part) => part.owned),
  };
  return writeFolder(folder, plan, at);
}

/**
 * Writes an adapter into a folder of its own, whatever its name: its tensors under PEFT's names, its
 * config with every field it came with, and a model card. All files or none.
 */
export async function saveAdapter(
  checkpoint: AdapterCheckpoint,
  folder: string,
  at: SaveOptions & BaseFacts,
): Promise<string[]> {
  return saveAdapters([{ name: "default", checkpoint }], folder, at);
}

/** An adapter that a card speaks of. */
type CardSource = Pick<AdapterCheckpoint, "dir" | "config">;

interface CombinedOptions extends Pick<SaveOptions, "safeSerialization"> {
  /** Its card is the new card's start. */
  readonly first: CardSource;
  /** Real path of the base's folder, where it is known. */
  readonly base?: string | undefined;
  /** Let the config lead to the base from the new folder too; else it names it as `first` does. */
  readonly leadToBase?: boolean | undefined;
  readonly overwrite?: boolean;
  readonly signal?: AbortSignal;
}

/** Writes an adapter that was made of others into a folder of its own. All files or none. */
export async function saveCombined(
  { tensors, configText }: CombinedAdapter,
  folder: string,
  { first, base, leadToBase = false, ...options }: CombinedOptions,
): Promise<string[]> {
  const target = path.resolve(folder);
  const { baseName: own } = first.config;
  const baseName = leadToBase ? await baseNameFor(first, { target, base }) : own;
  const text =
    baseName === null || baseName === own ? configText : withBaseName(configText, baseName);
  const source = { ...first, config: { ...first.config, baseName } };
  const { files, owned } = planFiles("", { tensors, configText: text }, options);
  return writeFolder(folder, { files: [...files, planCard([source], folder)], owned }, options);
}

/** An adapter's weights and config, below `place` in the folder. */
async function planAdapter(
  adapter: AdapterCheckpoint,
  { folder, place, ...at }: SaveOptions & BaseFacts & { folder: string; place: string },
): Promise<FolderPlan> {
  const { pathInitialModelForWeightConversion: initial } = at;
  const own = await withEmbeddingLayers(storedTensors(adapter, at.signal), adapter, at);
  const text = withInferenceMode(adapter.config.text);
  if (initial === undefined) {
    const { files, owned } = planFiles(place, { tensors: own, configText: text }, at);
    const experts = planExperts(adapter, place, at);
    return { files: [...files, ...experts.files], owned: [...owned, ...experts.owned] };
  }
  const start = await openAdapterCheckpoint(initial, at.signal);
  const target = path.join(folder, place);
  const real = await realpath(target).catch(() => path.resolve(target));
  if (start.dir === adapter.dir || start.dir === real || adapter.dir === real) {
    throw badRequest(
      t("The adapter, its start and the converted adapter each need a folder of their own."),
    );
  }
  const warning = plainLoraWarning(adapter.config);
  if (warning !== null) at.onWarning?.(warning);
  const tensors = plainLoraTensors(own, adapter, start);
  return planFiles(place, { tensors, configText: plainLoraConfig(text, adapter.config) }, at);
}

/** The adapters that an adapter is made of, whole, in folders of their names. */
function planExperts(adapter: AdapterCheckpoint, place: string, at: SaveOptions): FolderPlan {
  const plans = (adapter.experts ? chooseExperts(adapter) : []).map((expert) => {
    const { config, weights } = expert.adapter;
    const tensors = [...weights.tensors, ...expert.frozen];
    const whole = { ...expert.adapter, weights: { ...weights, tensors } };
    const files = { tensors: storedTensors(whole, at.signal), configText: config.text };
    return planFiles(path.join(place, expertFolderName(expert.name)), files, at);
  });
  return {
    files: plans.flatMap(({ files }) => files),
    owned: plans.flatMap(({ owned }) => owned),
  };
}

function planFiles(
  place: string,
  { tensors, configText }: { tensors: readonly TensorData[]; configText: string },
  { safeSerialization = true, signal }: SaveOptions,
): FolderPlan {
  const writeWeights = (file: string): Promise<void> =>
    safeSerialization
      ? writeSafetensors(file, tensors, { metadata: { format: "pt" }, signal })
      : writeTorchFile(file, tensors, { signal });
  const weights = safeSerialization ? weightNames.safetensors : weightNames.bin;
  const below = (name: string): string => path.join(place, name);
  return {
    files: [
      { name: below(adapterConfigName), write: (file) => writeText(file, configText) },
      { name: below(weights), write: writeWeights },
    ],
    // The other format too: a file of it that stayed behind could be the one that is read.
    owned: [adapterConfigName, weightNames.safetensors, weightNames.bin].map(below),
  };
}

/** The card of the folder, else the one that the first adapter brought, brought up to date. */
function planCard(adapters: readonly CardSource[], folder: string): PlannedFile {
  const write = async (file: string): Promise<void> => {
    const own = path.join(folder, cardName);
    const [first] = adapters;
    const existing = (await isFile(own)) ? own : path.join(first?.dir ?? folder, cardName);
    const name = path.basename(path.resolve(folder));
    const configs = adapters.map(({ config }) => config);
    await writeText(file, await modelCard(existing, { name, configs, peftVersion }));
  };
  return { name: cardName, write };
}

/** Every tensor of the adapter, under PEFT's name by now; bytes are read when it is their turn. */
function storedTensors({ weights }: AdapterCheckpoint, signal?: AbortSignal): TensorData[] {
  return weights.tensors.map((entry) => ({
    // Some writers leave an adapter's name in; Shadow's names have it as PEFT writes them.
    name: entry.name.replace(/(?<!\.shadow_\w+)\.default\.(weight|bias)$/, ".$1"),
    dtype: entry.dtype,
    shape: entry.shape,
    bytes: async () => (await readTensors(weights.file, [entry], signal))[0] as Uint8Array,
  }));
}

/** The config as it came, unknown fields, order and spelling of numbers included. */
export function withInferenceMode(text: string): string {
  const formattingOptions = { insertSpaces: true, tabSize: 2 };
  return applyEdits(text, modify(text, ["inference_mode"], true, { formattingOptions }));
}

async function writeText(file: string, text: string): Promise<void> {
  await writeAtomically(file, (handle) => handle.writeFile(text));
}
