import { t } from "@vscode/l10n";
import { type AdapterCheckpoint, plainTensorName } from "../checkpoint/adapterCheckpoint.ts";
import type { BaseCheckpoint } from "../checkpoint/baseCheckpoint.ts";
import { findBaseFolder } from "../checkpoint/findBase.ts";
import { readModelConfig } from "../checkpoint/modelConfig.ts";
import { type ModuleTree, weightName } from "../checkpoint/modules.ts";
import { fullMatch } from "../checkpoint/targets.ts";
import { readTensors } from "../safetensors/read.ts";
import type { TensorData } from "../safetensors/write.ts";

export interface EmbeddingOptions {
  /**
   * PEFT's save_embedding_layers. "auto" adds the base's where the config targets them by PEFT's
   * names or the vocabulary is another one; true adds them, false leaves them out; absent keeps what
   * the adapter came with.
   */
  readonly saveEmbeddingLayers?: boolean | "auto" | undefined;
  readonly onWarning?: ((warning: string) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

interface Context extends EmbeddingOptions {
  readonly checkpoint: BaseCheckpoint;
  readonly tree: ModuleTree;
}

/**
 * An adapter's tensors, under PEFT's names, with the embedding layers that are wished for (PEFT:
 * utils/save_and_load.get_peft_model_state_dict).
 */
export async function withEmbeddingLayers(
  tensors: readonly TensorData[],
  adapter: AdapterCheckpoint,
  context: Context,
): Promise<readonly TensorData[]> {
  const { saveEmbeddingLayers: wish } = context;
  if (wish === undefined) return tensors;
  const isTargeted = targetsEmbeddings(adapter, context.tree);
  const isSaved = wish === "auto" ? await decide(adapter, isTargeted, context) : wish;
  if (isSaved) return addLayers(tensors, adapter, { ...context, isTargeted });
  const kept: TensorData[] = [];
  for (const tensor of tensors) {
    if (!isLayer(tensor.name, adapter, context.tree)) kept.push(tensor);
    else if (wish === "auto" && (await differs(tensor, context))) {
      context.onWarning?.(t("{0} differs from the base's, so it is kept.", tensor.name));
      kept.push(tensor);
    }
  }
  return kept;
}

/** The names that PEFT looks for (utils/constants.EMBEDDING_LAYER_NAMES). */
const layerNames = ["embed_tokens", "lm_head"];

function targetsEmbeddings({ config }: AdapterCheckpoint, tree: ModuleTree): boolean {
  const { target_modules: targets } = config.raw;
  if (Array.isArray(targets)) return layerNames.some((name) => targets.includes(name));
  if (typeof targets !== "string" || targets === "all-linear") return false;
  const pattern = fullMatch(targets, "target_modules", config.file);
  return tree.modules.some(
    ({ path: module }) =>
      layerNames.includes(module.split(".").at(-1) as string) && pattern.test(module),
  );
}

async function decide(
  adapter: AdapterCheckpoint,
  isTargeted: boolean,
  { checkpoint, tree, onWarning, signal }: Context,
): Promise<boolean> {
  const { raw, baseName, peftType } = adapter.config;
  const usesTokens =
    peftType === "TRAINABLE_TOKENS" || (raw["trainable_token_indices"] ?? null) !== null;
  if (isTargeted && !usesTokens) {
    onWarning?.(t("Embedding layers are saved too, as target_modules names them."));
    return true;
  }
  const own = adapterVocabulary(adapter, tree) ?? checkpoint.config.raw["vocab_size"];
  const folder = await findBaseFolder(adapter);
  if (folder === null && baseName) {
    onWarning?.(
      t("{0} is not found, so its vocabulary is taken to be the loaded base's.", baseName),
    );
  }
  const config = folder === null ? checkpoint.config : await readModelConfig(folder, signal);
  const isResized = own !== undefined && own !== config.raw["vocab_size"];
  if (isResized) onWarning?.(t("Embedding layers are saved too, as the vocabulary was resized."));
  return isResized;
}

/** Rows of the input embedding that the adapter brings; undefined without one. */
function adapterVocabulary({ weights }: AdapterCheckpoint, tree: ModuleTree): number | undefined {
  const input = inputEmbedding(tree);
  const whole = weights.tensors.find(({ name }) => layerOf(name) === input && input !== null);
  return whole?.shape[0];
}

function inputEmbedding({ modules }: ModuleTree): string | null {
  return modules.find(({ kind }) => kind === "embedding")?.path ?? null;
}

/** Input embedding and head. */
function vocabularyLayers(tree: ModuleTree): string[] {
  return [inputEmbedding(tree), tree.outputEmbedding].filter((each) => each !== null);
}

/** The module whose whole weight a tensor is; undefined for any other tensor. */
function layerOf(name: string): string | undefined {
  // Prompt methods have one level less in front.
  const plain = plainTensorName(name).replace(/^base_model\./, "");
  return /^(.+?)(?:\.base_layer)?\.weight$/.exec(plain)?.[1];
}

/** True for an embedding layer's weight that no field of the config asks to be saved. */
function isLayer(name: string, { config: { raw } }: AdapterCheckpoint, tree: ModuleTree): boolean {
  const module = layerOf(name);
  const layers = vocabularyLayers(tree);
  if (module === undefined || !layers.includes(module)) return false;
  const names = Array.isArray(raw["modules_to_save"]) ? raw["modules_to_save"].map(String) : [];
  const isSaved = (layer: string): boolean => names.some((each) => layer.endsWith(each));
  return !(isSaved(module) || (raw["ensure_weight_tying"] === true && layers.some(isSaved)));
}

async function differs(
  tensor: TensorData,
  { checkpoint, tree, signal }: Context,
): Promise<boolean> {
  const { dtype, shape } = tensor;
  const ref = baseWeight(layerOf(tensor.name) ?? "", { checkpoint, tree });
  if (ref?.dtype !== dtype || ref.shape.join() !== shape.join()) return true;
  const [base] = await readTensors(ref.file, [ref], signal);
  const own = tensor.bytes instanceof Uint8Array ? tensor.bytes : await tensor.bytes();
  return Buffer.compare(own, base as Uint8Array) !== 0;
}

function baseWeight(
  layer: string,
  { checkpoint, tree }: Pick<Context, "checkpoint" | "tree">,
): ReturnType<BaseCheckpoint["weights"]["get"]> {
  const module = tree.modules.find(({ path: own }) => own === layer);
  return module && checkpoint.weights.get(weightName(module));
}

const promptTypes = new Set([
  "PROMPT_TUNING",
  "MULTITASK_PROMPT_TUNING",
  "P_TUNING",
  "PREFIX_TUNING",
  "CPT",
  "CARTRIDGE",
]);

/** The base's input embedding and head where the adapter brings none of its own. */
async function addLayers(
  tensors: readonly TensorData[],
  { config }: AdapterCheckpoint,
  { isTargeted, ...context }: Context & { isTargeted: boolean },
): Promise<TensorData[]> {
  const { checkpoint, tree, signal } = context;
  const prefix = promptTypes.has(config.peftType) ? "base_model." : "base_model.model.";
  const added: TensorData[] = [];
  for (const layer of vocabularyLayers(tree)) {
    const isWrapped = tensors.some(({ name }) => isAdapterOf(layer, name));
    // Where one of the two is targeted, PEFT leaves the other out.
    if (isTargeted && !isWrapped) continue;
    if (tensors.some(({ name }) => layerOf(name) === layer)) continue;
    const inner = isWrapped && isTargeted ? ".base_layer" : "";
    const weight = baseWeight(layer, context);
    const bias = checkpoint.weights.get(`${layer}.bias`);
    for (const [suffix, ref] of [
      ["weight", weight],
      ["bias", bias],
    ] as const) {
      const name = `${prefix}${layer}${inner}.${suffix}`;
      if (!ref || tensors.some((own) => own.name === name)) continue;
      const { dtype, shape } = ref;
      const bytes = async (): Promise<Uint8Array> =>
        (await readTensors(ref.file, [ref], signal))[0] as Uint8Array;
      added.push({ name, dtype, shape, bytes });
    }
  }
  return [...tensors, ...added];
}

/** True for a tensor of the adapter that changes a layer, in the sense of PEFT's `base_layer`. */
function isAdapterOf(layer: string, name: string): boolean {
  const plain = plainTensorName(name);
  if (!plain.startsWith(`${layer}.`)) return false;
  return !/^(?:weight|bias|base_layer\..*|token_adapter\..*)$/.test(plain.slice(layer.length + 1));
}
