/** A base, an adapter and its beginning, put together to be trained. */
import { t } from "@vscode/l10n";
import { describeBase } from "./baseModel.ts";
import { badRequest, misfit, throwIfAborted, unsupported } from "./base/errors.ts";
import type { OnProgress } from "./base/progress.ts";
import { torchGenerator } from "./base/torchRandom.ts";
import { type AdapterCheckpoint, openAdapterCheckpoint } from "./checkpoint/adapterCheckpoint.ts";
import { type AdapterConfig, parseAdapterConfig } from "./checkpoint/adapterConfig.ts";
import type { BaseCheckpoint } from "./checkpoint/baseCheckpoint.ts";
import { buildModel } from "./models/index.ts";
import { headOf, type Model } from "./models/model.ts";
import type { Value } from "./onnx/graph.ts";
import type { LayerHook } from "./onnx/layerHook.ts";
import { isExport } from "./onnxExport/findExport.ts";
import type { MethodBase } from "./peft/method.ts";
import { trainableMethodOf } from "./peft/trainable/index.ts";
import { type StoredValues, storedValues as valuesOfFile } from "./peft/trainable/storedValues.ts";
import type { TrainableAdapter, TrainableMethod } from "./peft/trainable/trainable.ts";
import { openModel, type PrecisionOptions, preparePrecision } from "./precision.ts";
import { readFloat32 } from "./safetensors/read.ts";
import type { SessionOptions } from "./session/ortSession.ts";
import { type TaskName, taskNamed, taskOfType } from "./models/taskClass.ts";
import { readTokenizer } from "./tokens/tokenizer.ts";
import type { TaskWish } from "./taskHead.ts";
import type { LossKind } from "./train/losses.ts";
import type { TrainingOptions } from "./train/options.ts";
import { type ModelParts, TrainingModel } from "./train/trainingModel.ts";

/** A frozen base as training reads it: nothing is loaded until a session is made. */
export interface TrainingBase {
  readonly checkpoint: BaseCheckpoint;
  readonly base: MethodBase;
  /** Lets go of weights that were made for it; sessions are closed before. */
  dispose(): Promise<void>;
}

export interface TrainingBaseOptions extends PrecisionOptions {
  /** What the base is to be for, where its config names another class. */
  readonly task?: TaskName | undefined;
  readonly onProgress?: OnProgress;
  readonly signal?: AbortSignal;
}

/** Opens a base to be trained around. @param adapter tells the task where none is asked for */
export async function openTrainingBase(
  folder: string,
  options: TrainingBaseOptions = {},
  adapter: Pick<AdapterConfig, "taskType"> | null = null,
): Promise<TrainingBase> {
  const { task, onProgress, signal, ...precision } = options;
  if (await isExport(folder)) {
    throw unsupported(
      t("{0} is an ONNX export, which is not trained on", folder),
      t("Choose the model's Hugging Face checkpoint."),
    );
  }
  onProgress?.({ step: t("Reading headers") });
  const opened = await openModel(folder, signal, wishOf(task, adapter));
  const described = describeBase(opened.checkpoint);
  const at = { options: precision, onProgress, signal };
  const prepared = await preparePrecision(opened, described, at);
  const { checkpoint } = prepared;
  const isAsStored = checkpoint === opened.checkpoint;
  const base = isAsStored ? described : describeBase(checkpoint);
  return { checkpoint, base, dispose: () => prepared.dispose() };
}

function wishOf(
  task: TaskName | undefined,
  adapter: Pick<AdapterConfig, "taskType"> | null,
): TaskWish | null {
  if (task !== undefined) return { task: taskNamed(task), isAsked: true, tensors: null };
  const own = taskOfType(adapter?.taskType ?? null);
  return own && { task: own, isAsked: false, tensors: null };
}

/** What a run begins with: a new adapter by its config, or one of a folder. */
export type AdapterStart =
  | { readonly kind: "new"; readonly config: AdapterConfig }
  | { readonly kind: "continue"; readonly checkpoint: AdapterCheckpoint };

export async function continued(folder: string, signal?: AbortSignal): Promise<AdapterStart> {
  return { kind: "continue", checkpoint: await openAdapterCheckpoint(folder, signal) };
}

/** An adapter around a base, as graphs and values. @param at.loss the task's own when absent */
export async function prepareTraining(
  { checkpoint, base }: TrainingBase,
  start: AdapterStart,
  at: { seed: number; loss?: LossKind | undefined; signal?: AbortSignal | undefined },
): Promise<ModelParts> {
  const config = start.kind === "new" ? start.config : start.checkpoint.config;
  const method = trainableMethodOf(config);
  await method.look?.(config, base, at.signal);
  const adapter = method.prepare(config, base);
  const { values, warnings } = await valuesOf(method, adapter, {
    start,
    base,
    dir: checkpoint.dir,
    ...at,
  });
  throwIfAborted(at.signal);
  const checkpoints: Value[] = [];
  const noted = noteBlocks(adapter.hook, checkpoints);
  const model = buildModel(checkpoint, noted, adapter.layers);
  const quiet = method.prepare(withoutDropout(adapter.config), base, { isQuiet: true });
  const evaluation =
    adapter.dropoutSeed === null ? model : buildModel(checkpoint, quiet.hook, quiet.layers);
  checkLayers(adapter, model);
  const loss = at.loss ?? lossOfTask(model);
  return { adapter, model, evaluation, values, warnings, loss, checkpoints };
}

/** The same with its sessions open. */
export async function openTrainingModel(
  parts: ModelParts,
  options: TrainingOptions,
  session: SessionOptions = {},
): Promise<TrainingModel> {
  return TrainingModel.create(parts, options, session);
}

async function valuesOf(
  method: TrainableMethod,
  adapter: TrainableAdapter,
  at: {
    start: AdapterStart;
    base: MethodBase;
    dir: string;
    seed: number;
    signal?: AbortSignal | undefined;
  },
): Promise<StoredValues> {
  const { start, base, seed, signal } = at;
  if (start.kind === "continue" && adapter.made) {
    throw unsupported(
      t("{0} has the finished prompt alone, not what makes it", start.checkpoint.dir),
      t("Continue the run that made it from one of its checkpoints."),
    );
  }
  const tokenize = async (text: string): Promise<number[] | null> =>
    (await readTokenizer(at.dir))?.encode(text) ?? null;
  const random = torchGenerator(seed);
  const initial = await method.initialize(adapter, base, { random, tokenize, signal });
  if (start.kind === "new") return { values: initial, warnings: [] };
  return valuesOfFile(adapter, start.checkpoint, { initial, base, signal });
}

/** Values that an adapter's file has. @throws misfit for one of another shape, or that is missing */
export async function storedValues(
  { parameters }: TrainableAdapter,
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
  return readFloat32(weights.file, entries, signal);
}

/** A config whose every dropout is 0. */
function withoutDropout(config: AdapterConfig): AdapterConfig {
  const fields = Object.entries(config.raw).map(([key, value]) => [
    key,
    /dropout$/.test(key) && typeof value === "number" ? 0 : value,
  ]);
  const text = JSON.stringify(Object.fromEntries(fields));
  return { ...parseAdapterConfig(text, config.file), floatFields: config.floatFields };
}

/** Notes the stream at the border of every block. */
function noteBlocks(hook: LayerHook, borders: Value[]): LayerHook {
  return {
    ...hook,
    block: (g, path, size) => {
      const own = hook.block(g, path, size);
      return {
        enter: (stream) => {
          borders.push(stream);
          return own ? own.enter(stream) : stream;
        },
        leave: (stream) => (own ? own.leave(stream) : stream),
      };
    },
  };
}

function checkLayers({ parameters }: TrainableAdapter, { graph }: Model): void {
  const inputs = new Set<string>(graph.inputs.map(({ name }) => name));
  const trained = parameters.filter(({ isTrained }) => isTrained);
  if (trained.length === 0) throw badRequest(t("The adapter has nothing that is trained."));
  const gone = trained.find(({ name }) => !inputs.has(name));
  if (!gone) return;
  throw misfit(t('The base has no place for the parameter "{0}".', gone.name));
}

/** A class of several, unless the config says otherwise (transformers' problem_type). */
function lossOfTask(model: Model): LossKind {
  const { task } = headOf(model);
  if (task === "feature-extraction" || task === "question-answering") {
    throw unsupported(t("Graft does not train models for {0} yet", task.replaceAll("-", " ")));
  }
  return "choice";
}
