import { mkdir, mkdtemp, readdir, rename, rm } from "node:fs/promises";
import * as path from "node:path";
import { applyEdits, modify } from "jsonc-parser";
import { badRequest, throwIfAborted } from "./base/errors.ts";
import { isFile, writeAtomically } from "./base/files.ts";
import type { BaseCheckpoint } from "./checkpoint/baseCheckpoint.ts";
import { type AdapterCheckpoint, plainTensorName } from "./checkpoint/adapterCheckpoint.ts";
import { adapterConfigName } from "./checkpoint/adapterConfig.ts";
import type { ModuleTree } from "./checkpoint/modules.ts";
import type { CombinedAdapter } from "./peft/combine/source.ts";
import { modelCard } from "./peft/modelCard.ts";
import { readTensors } from "./safetensors/read.ts";
import { type TensorData, writeSafetensors } from "./safetensors/write.ts";

/** The release of PEFT whose files Graft writes. */
export const peftVersion = "0.21.0";

export interface SaveOptions {
  /** "auto" keeps embedding layers that the adapter brought; true adds the base's, false drops them. */
  readonly saveEmbeddingLayers?: boolean | "auto";
  /** Replace adapter files that are there already. */
  readonly overwrite?: boolean;
  readonly signal?: AbortSignal;
}

/** What an adapter's folder will hold. */
interface AdapterFiles {
  readonly tensors: readonly TensorData[];
  readonly configText: string;
  /** The model card, for the folder's real place. */
  readonly cardText: (target: string) => Promise<string>;
}

/**
 * Writes an adapter as PEFT's save_pretrained lays it out: its tensors under PEFT's names, its
 * config with every field it came with, and a model card. All files or none.
 * @param folder the adapter's own folder (PEFT: a subfolder of its name unless that is "default")
 */
export async function saveAdapter(
  adapter: AdapterCheckpoint,
  folder: string,
  at: SaveOptions & { checkpoint: BaseCheckpoint; tree: ModuleTree },
): Promise<string[]> {
  const files = async (): Promise<AdapterFiles> => ({
    tensors: await tensorsToSave(adapter, at),
    configText: configText(adapter),
    cardText: (target) => cardText(adapter, target),
  });
  return writeAdapter(files, folder, at);
}

/** Writes an adapter that was made of others; the first one's card is its card's start. */
export async function saveCombined(
  { tensors, configText }: CombinedAdapter,
  folder: string,
  { first, ...at }: { first: AdapterCheckpoint; overwrite?: boolean; signal?: AbortSignal },
): Promise<string[]> {
  const card = (target: string): Promise<string> => cardText(first, target);
  const files = { tensors, configText, cardText: card };
  return writeAdapter(() => Promise.resolve(files), folder, at);
}

async function writeAdapter(
  make: () => Promise<AdapterFiles>,
  folder: string,
  { overwrite = false, signal }: SaveOptions,
): Promise<string[]> {
  const target = path.resolve(folder);
  const names = [adapterConfigName, "adapter_model.safetensors", "README.md"];
  const made = await mkdir(target, { recursive: true });
  if (!overwrite) {
    for (const name of names) {
      if (!(await isFile(path.join(target, name)))) continue;
      throw badRequest(`${path.join(target, name)} exists already. Choose another folder.`);
    }
  }
  const scratch = await mkdtemp(path.join(target, ".graft-"));
  try {
    const files = await make();
    const metadata = { format: "pt" };
    await writeSafetensors(path.join(scratch, "adapter_model.safetensors"), files.tensors, {
      metadata,
      signal,
    });
    await writeText(path.join(scratch, adapterConfigName), files.configText);
    await writeText(path.join(scratch, "README.md"), await files.cardText(target));
    throwIfAborted(signal);
    for (const name of names) await rename(path.join(scratch, name), path.join(target, name));
    return names.map((name) => path.join(target, name));
  } finally {
    await rm(scratch, { recursive: true, force: true });
    await removeEmpty(target, made);
  }
}

/** Takes back the folders that were made for what was not written. */
async function removeEmpty(folder: string, made = folder): Promise<void> {
  if ((await readdir(folder)).length > 0) return;
  await rm(folder, { recursive: true });
  if (folder !== made) await removeEmpty(path.dirname(folder), made);
}

/** Every tensor of the adapter under PEFT's name, plus or minus the embedding layers asked for. */
async function tensorsToSave(
  adapter: AdapterCheckpoint,
  { checkpoint, tree, saveEmbeddingLayers = "auto", signal }: Parameters<typeof saveAdapter>[2],
): Promise<TensorData[]> {
  const { weights } = adapter;
  const bytes = await readTensors(weights.file, weights.tensors, signal);
  const tensors = weights.tensors.map(({ name, dtype, shape }, i) => ({
    name: peftName(name),
    dtype,
    shape,
    bytes: bytes[i] as Uint8Array,
  }));
  if (saveEmbeddingLayers === "auto") return tensors;
  const vocabulary = tree.modules.filter(
    ({ kind, path: module }) => kind === "embedding" || module === tree.outputEmbedding,
  );
  const isEmbedding = (name: string): boolean =>
    vocabulary.some(({ path: module }) => plainName(name) === `${module}.weight`);
  if (!saveEmbeddingLayers) return tensors.filter(({ name }) => !isEmbedding(name));
  for (const { path: module } of vocabulary) {
    const ref = checkpoint.weights.get(`${module}.weight`);
    if (!ref || tensors.some(({ name }) => plainName(name) === ref.name)) continue;
    const isTargeted = tensors.some(({ name }) =>
      plainTensorName(name).startsWith(`${module}.lora_`),
    );
    const name = `base_model.model.${module}${isTargeted ? ".base_layer" : ""}.weight`;
    const [own] = await readTensors(ref.file, [ref], signal);
    tensors.push({ name, dtype: ref.dtype, shape: ref.shape, bytes: own as Uint8Array });
  }
  return tensors;
}

function plainName(name: string): string {
  return plainTensorName(name).replace(/\.base_layer\.weight$/, ".weight");
}

/** PEFT's spelling: without an adapter name that some writers leave in. */
function peftName(name: string): string {
  return name.replace(/\.default\.(weight|bias)$/, ".$1");
}

/** The config as it came, unknown fields, order and spelling of numbers included. */
function configText({ config }: AdapterCheckpoint): string {
  const formattingOptions = { insertSpaces: true, tabSize: 2 };
  return applyEdits(
    config.text,
    modify(config.text, ["inference_mode"], true, { formattingOptions }),
  );
}

async function cardText({ dir, config }: AdapterCheckpoint, target: string): Promise<string> {
  const own = path.join(target, "README.md");
  const existing = (await isFile(own)) ? own : path.join(dir, "README.md");
  const { baseName, peftType, taskType } = config;
  return modelCard(existing, { baseName, peftType, taskType, peftVersion });
}

async function writeText(file: string, text: string): Promise<void> {
  await writeAtomically(file, (handle) => handle.writeFile(text));
}
