/**
 * Any method whose update is one matrix a module, as LoRA (PEFT tuners/lora/conversion.py): ΔW is cut
 * to its largest singular directions, the scaling is 1. Beyond PEFT: every method that can be merged,
 * embeddings, and updates of biases, which become `lora_bias`. PEFT drops DoRA's magnitudes and aLoRA's
 * tokens in silence; here the first count and the second are refused.
 */
import { t } from "@vscode/l10n";
import { unsupported } from "../../base/errors.ts";
import { pause } from "../../base/pause.ts";
import { type AdapterCheckpoint, plainTensorName } from "../../checkpoint/adapterCheckpoint.ts";
import { methodLabels } from "../../checkpoint/adapterConfig.ts";
import { isVocabulary, type ModuleInfo, weightName } from "../../checkpoint/modules.ts";
import { readTensors } from "../../safetensors/read.ts";
import type { TensorData } from "../../safetensors/write.ts";
import type { AdapterEffects } from "../effect.ts";
import type { MethodBase } from "../method.ts";
import {
  type ConvertedAdapter,
  type ConvertedModule,
  type ConvertOptions,
  factorTensors,
  loraConfigText,
  scaleFields,
  targetNames,
  tensor,
} from "./converted.ts";
import { type Factorised, factorise, type Update } from "./factorise.ts";
import { checkChoice, type RankChoice } from "./size.ts";
import { biasUpdate, type OwnParameters, tableUpdate, weightUpdate } from "./update.ts";

export interface ToLoraSource {
  readonly checkpoint: AdapterCheckpoint;
  readonly effects: AdapterEffects;
  /** Paths of the modules that the adapter's own tensors change. */
  readonly bound: readonly string[];
  readonly base: MethodBase;
}

/** Makes the tensors and the config of the LoRA; nothing is written. */
export async function toLora(
  source: ToLoraSource,
  { size, onProgress, signal }: ConvertOptions & { size: RankChoice },
): Promise<ConvertedAdapter> {
  checkChoice(size);
  const { checkpoint, effects } = source;
  checkEffects(checkpoint, effects);
  const base = effects.layers ? source.base.withLayers(effects.layers) : source.base;
  const whole = await wholeTensors({ ...source, base }, signal);
  const chosen = changedModules({ ...source, base }, whole.paths);
  const modules: ConvertedModule[] = [];
  const tensors: TensorData[] = [];
  const biases = new Map<string, Float32Array>();
  for (const [done, module] of chosen.entries()) {
    onProgress?.({ step: t("Converting modules"), done, total: chosen.length, unit: "items" });
    await pause(signal);
    const own = ownParameters(module, base, signal);
    const { factors, total, lost } = await convertModule(module, {
      effects,
      own,
      size,
      checkpoint,
    });
    modules.push({ path: module.path, rank: factors.rank, total, lost });
    tensors.push(...factorTensors(module.path, kindOf(module), factors));
    const effect = effects.linear.get(module.path);
    const bias = module.kind === "linear" && effect ? await biasUpdate(effect, own) : null;
    if (bias) biases.set(module.path, bias);
  }
  return {
    tensors: [...tensors, ...whole.tensors, ...biasTensors(chosen, biases)],
    configText: configText({ ...source, base }, { modules, hasBias: biases.size > 0 }),
    modules,
    warnings: warningsOf(source, { modules, size }),
  };
}

type InWeights = "linear" | "embeddings" | "norms" | "layers" | "replaces";

/** Why the other parts of an adapter are in no weight. */
const reasons: Readonly<Record<Exclude<keyof AdapterEffects, InWeights>, string>> = {
  virtualTokens: t("it puts tokens before the prompt and changes no weight"),
  cachePrefix: t("it puts keys and values before the prompt and changes no weight"),
  attention: t("it adds keys and values to attention and changes no weight"),
  tasks: t("it holds several tasks, a LoRA is for one"),
  activation: t("it changes only some tokens of a prompt"),
  companion: t("it runs a decoder of its own beside the base"),
  router: t("it weighs its experts anew for every token"),
  experts: t("each of the base's experts has factors of its own"),
};

function checkEffects({ config }: AdapterCheckpoint, effects: AdapterEffects): void {
  const parts = Object.entries(reasons) as [keyof AdapterEffects, string][];
  const [, reason] = parts.find(([part]) => effects[part] !== undefined) ?? [];
  if (reason === undefined) return;
  const label = methodLabels[config.peftType] ?? config.peftType;
  throw unsupported(
    t("{0}: this {1} adapter cannot become a LoRA: {2}", config.file, label, reason),
  );
}

/** What the file stores whole stays as it is: modules_to_save, a vocabulary that was saved along. */
async function wholeTensors(
  { checkpoint, bound, base }: ToLoraSource,
  signal: AbortSignal | undefined,
): Promise<{ tensors: TensorData[]; paths: Set<string> }> {
  const saved = checkpoint.config.raw["modules_to_save"];
  const names = Array.isArray(saved) ? saved.map(String) : [];
  const paths = new Set<string>();
  const isWhole = (name: string): boolean => {
    const [, path = "", parameter] = /^(.+)\.(weight|bias)$/.exec(plainTensorName(name)) ?? [];
    const module = base.tree.modules.find((each) => each.path === path);
    if (!module || bound.includes(path)) return false;
    const isSaved = names.some((each) => path.endsWith(each));
    if (!isSaved && !(isVocabulary(module, base.tree) && parameter === "weight")) return false;
    paths.add(path);
    return true;
  };
  const entries = checkpoint.weights.tensors.filter(({ name }) => isWhole(name));
  const bytes = await readTensors(checkpoint.weights.file, entries, signal);
  // A head that is tied to a table stored whole grows and changes with it when it is loaded.
  for (const module of base.tree.modules) {
    const table = /^(.+)\.weight$/.exec(weightName(module))?.[1] ?? "";
    if (paths.has(table) && !bound.includes(module.path)) paths.add(module.path);
  }
  const tensors = entries.map(({ name, dtype, shape }, i) => ({
    name: `base_model.model.${plainTensorName(name)}`,
    dtype,
    shape,
    bytes: bytes[i] as Uint8Array,
  }));
  return { tensors, paths };
}

function changedModules(
  { checkpoint: { config }, effects, base }: ToLoraSource,
  whole: ReadonlySet<string>,
): ModuleInfo[] {
  const norm = [...(effects.norms?.keys() ?? [])].find((path) => !whole.has(path));
  if (norm !== undefined) {
    throw unsupported(
      t(
        "{0}: the adapter cannot become a LoRA: it changes {1}, and a LoRA has no norms",
        config.file,
        norm,
      ),
    );
  }
  const chosen = base.tree.modules.filter(
    ({ path }) => !whole.has(path) && (effects.linear.has(path) || effects.embeddings?.has(path)),
  );
  if (chosen.length > 0) return chosen;
  throw unsupported(
    t("{0}: the adapter changes no weight, there is nothing to convert", config.file),
  );
}

function kindOf({ kind }: ModuleInfo): "linear" | "embedding" {
  return kind === "embedding" ? "embedding" : "linear";
}

function ownParameters(
  module: ModuleInfo,
  base: MethodBase,
  signal: AbortSignal | undefined,
): OwnParameters {
  const name = weightName(module);
  return {
    weight: async () => {
      const weight = await base.readTensor(name, signal);
      if (weight) return weight;
      throw unsupported(t('The base has no tensor "{0}", which the conversion needs', name));
    },
    bias: () => base.readTensor(`${module.path}.bias`, signal),
  };
}

async function convertModule(
  module: ModuleInfo,
  at: {
    effects: AdapterEffects;
    own: OwnParameters;
    size: RankChoice;
    checkpoint: AdapterCheckpoint;
  },
): Promise<Factorised> {
  const { effects, own, size, checkpoint } = at;
  const update = await updateOf(module, effects, own);
  return factorise(update, keptRank(update, checkpoint) ?? size, module.path);
}

async function updateOf(
  module: ModuleInfo,
  effects: AdapterEffects,
  own: OwnParameters,
): Promise<Update> {
  const table = effects.embeddings?.get(module.path);
  if (module.kind === "embedding" && table) return tableUpdate(module, table);
  const effect = effects.linear.get(module.path);
  if (module.kind === "linear" && effect) return weightUpdate(module, effect, own);
  throw unsupported(t("{0} cannot become a LoRA: it is of kind {1}", module.path, module.kind));
}

/** PEFT keeps the factors of MiSS, whatever rank is asked for. */
function keptRank(update: Update, { config }: AdapterCheckpoint): RankChoice | null {
  const isMiss = config.peftType === "MISS" || config.peftType === "BONE";
  return isMiss && update.kind === "factors" ? { kind: "rank", rank: update.factors.rank } : null;
}

/** With `lora_bias` PEFT wants one for every linear module. */
function biasTensors(
  modules: readonly ModuleInfo[],
  biases: ReadonlyMap<string, Float32Array>,
): TensorData[] {
  if (biases.size === 0) return [];
  return modules
    .filter(({ kind }) => kind === "linear")
    .map(({ path, out }) =>
      tensor(`${path}.lora_B.bias`, biases.get(path) ?? new Float32Array(out), [out]),
    );
}

function configText(
  { checkpoint: { config }, effects, base }: ToLoraSource,
  { modules, hasBias }: { modules: readonly ConvertedModule[]; hasBias: boolean },
): string {
  const saved = config.raw["modules_to_save"];
  const modulesToSave = Array.isArray(saved) ? saved.map(String) : [];
  const paths = modules.map(({ path }) => path);
  const scales = new Map(modules.map(({ path, rank }) => [path, { rank, alpha: rank }]));
  return loraConfigText({
    base_model_name_or_path: config.baseName,
    revision: config.revision,
    task_type: config.taskType,
    auto_mapping: config.raw["auto_mapping"] ?? null,
    target_modules: targetNames(paths, base.tree, modulesToSave),
    modules_to_save: modulesToSave.length > 0 ? modulesToSave : null,
    lora_bias: hasBias,
    ...(effects.layers && { layer_replication: config.raw["layer_replication"] }),
    ...scaleFields(scales),
  });
}

function warningsOf(
  { checkpoint: { config } }: ToLoraSource,
  { modules, size }: { modules: readonly ConvertedModule[]; size: RankChoice },
): string[] {
  const warnings: string[] = [];
  // Magnitudes are a reason to convert; without them there was a plain LoRA before.
  if (config.peftType === "LORA" && config.raw["use_dora"] !== true) {
    warnings.push(t("The adapter is a LoRA already; resizing one keeps its options."));
  }
  if (size.kind === "rank" && modules.some(({ rank }) => rank !== size.rank)) {
    warnings.push(
      t("Some modules keep the rank that they have instead of {0}, as in PEFT.", size.rank),
    );
  }
  return warnings;
}
