/** A base, an adapter and its beginning, put together to be trained. */
import { t } from "@vscode/l10n";
import { describeBase } from "./baseModel.ts";
import { fieldWarnings } from "./bindReport.ts";
import { badRequest, misfit, throwIfAborted, unsupported } from "./base/errors.ts";
import type { OnProgress } from "./base/progress.ts";
import { torchGenerator } from "./base/torchRandom.ts";
import { type AdapterCheckpoint, openAdapterCheckpoint } from "./checkpoint/adapterCheckpoint.ts";
import {
  type AdapterConfig,
  methodLabels,
  parseAdapterConfig,
} from "./checkpoint/adapterConfig.ts";
import type { BaseCheckpoint } from "./checkpoint/baseCheckpoint.ts";
import type { ModelConfig } from "./checkpoint/modelConfig.ts";
import { headIn } from "./headMetadata.ts";
import { buildModel } from "./models/index.ts";
import { dropoutFields } from "./models/dropout.ts";
import { headOf, type Model } from "./models/model.ts";
import type { Value } from "./onnx/graph.ts";
import { bareLayers, type LayerHook } from "./onnx/layerHook.ts";
import { isExport } from "./onnxExport/findExport.ts";
import { methodOf } from "./peft/index.ts";
import { lostBeginning } from "./peft/loraConfig.ts";
import { preparationConfig, preparationOf, preparationWarnings } from "./peft/loraPreparations.ts";
import type { MethodBase } from "./peft/method.ts";
import { withBaseDropout } from "./peft/trainable/baseDropout.ts";
import { trainableMethodOf } from "./peft/trainable/index.ts";
import { checkInitField } from "./peft/trainable/initFields.ts";
import { type StoredValues, storedValues as valuesOfFile } from "./peft/trainable/storedValues.ts";
import type {
  InitializeOptions,
  TrainableAdapter,
  TrainableMethod,
} from "./peft/trainable/trainable.ts";
import { loftqBase, loftqLayers, loftqWarnings } from "./loftqBase.ts";
import { openModel, type PrecisionOptions, preparePrecision } from "./precision.ts";
import { readFloat32 } from "./safetensors/read.ts";
import type { SessionOptions } from "./session/ortSession.ts";
import { type ProblemType, problemOf } from "./models/problem.ts";
import { type HeadWish, type TaskName, taskNamed, taskOfType } from "./models/taskClass.ts";
import { readTokenizer } from "./tokens/tokenizer.ts";
import type { TaskWish } from "./taskHead.ts";
import { withDrawnHead, withHeadSaved, withOwnTask } from "./trainingHead.ts";
import { type BeginningTexts, prepareBeginning, withoutData } from "./train/beginning/prepare.ts";
import type { LossKind } from "./train/losses.ts";
import type { TrainingOptions } from "./train/options.ts";
import { type ModelParts, TrainingModel } from "./train/trainingModel.ts";

interface TrainingParts {
  readonly checkpoint: BaseCheckpoint;
  readonly base: MethodBase;
}

/** A frozen base as training reads it: nothing is loaded until a session is made. */
export interface TrainingBase extends TrainingParts {
  /** Lets go of weights that were made for it; sessions are closed before. */
  dispose(): Promise<void>;
}

export interface TrainingBaseOptions extends PrecisionOptions {
  /** What the base is to be for, where its config names another class. */
  readonly task?: TaskName | undefined;
  /** Labels that the data have, of a task with some; the base's own when absent. */
  readonly head?: HeadWish | undefined;
  readonly onProgress?: OnProgress;
  readonly signal?: AbortSignal;
}

/**
 * Opens a base to be trained around.
 * @param adapter tells the task where none is asked for; one that is trained on brings its head
 */
export async function openTrainingBase(
  folder: string,
  options: TrainingBaseOptions = {},
  adapter: AdapterStart | null = null,
): Promise<TrainingBase> {
  const { task, head, onProgress, signal, ...precision } = options;
  if (await isExport(folder)) {
    throw unsupported(
      t("{0} is an ONNX export, which is not trained on", folder),
      t("Choose the model's Hugging Face checkpoint."),
    );
  }
  onProgress?.({ step: t("Reading headers") });
  const opened = await openModel(folder, signal, wishOf(adapter, task, head));
  const described = describeBase(opened.checkpoint);
  const at = { options: precision, onProgress, signal };
  const prepared = await preparePrecision(opened, described, at);
  const { checkpoint } = prepared;
  const isAsStored = checkpoint === opened.checkpoint;
  const base = isAsStored ? described : describeBase(checkpoint);
  return { checkpoint, base, dispose: () => prepared.dispose() };
}

function wishOf(
  adapter: AdapterStart | null,
  asked: TaskName | undefined,
  head: HeadWish | undefined,
): TaskWish | null {
  const taskType = adapter && configOf(adapter).taskType;
  const task = asked === undefined ? taskOfType(taskType) : taskNamed(asked);
  const weights = adapter?.kind === "continue" ? adapter.checkpoint.weights : null;
  const own = head ?? (weights ? headIn(weights.metadata) : undefined);
  return (
    task && { task, isAsked: asked !== undefined, tensors: weights?.tensors ?? null, head: own }
  );
}

/** What a run begins with: a new adapter by its config, or one of a folder. */
export type AdapterStart =
  | { readonly kind: "new"; readonly config: AdapterConfig }
  | { readonly kind: "continue"; readonly checkpoint: AdapterCheckpoint };

/** The config of an adapter that training begins with. */
export function configOf(start: AdapterStart): AdapterConfig {
  return start.kind === "new" ? start.config : start.checkpoint.config;
}

export async function continued(folder: string, signal?: AbortSignal): Promise<AdapterStart> {
  return { kind: "continue", checkpoint: await openAdapterCheckpoint(folder, signal) };
}

export interface PrepareOptions {
  readonly seed: number;
  /** The task's own when absent. */
  readonly loss?: LossKind | undefined;
  /** What initialisations by data look at; without it they begin as PEFT does without. */
  readonly texts?: BeginningTexts | undefined;
  /** The values of a checkpoint take the place of those that data would have given. */
  readonly isRestored?: boolean | undefined;
  /** False leaves out what the base itself drops out in training. */
  readonly baseDropout?: boolean | undefined;
  readonly session?: SessionOptions | undefined;
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** An adapter around a base, as graphs and values. */
export async function prepareTraining(
  whole: TrainingBase,
  start: AdapterStart,
  at: PrepareOptions,
): Promise<ModelParts> {
  const own = completed(start, whole);
  const { config: given } = own;
  const method = trainableMethodOf(given);
  // A file may say what only training can begin with.
  if (start.kind === "continue") methodOf(given).check(given);
  else checkInitField(given);
  await method.look?.(given, whole.base, at.signal);
  const begun = await beginningOf(method, given, { ...at, ...whole, start });
  try {
    const warnings = [...own.warnings, ...begun.warnings];
    return await partsOf(method, { ...begun, warnings }, { ...at, ...whole, start });
  } catch (error) {
    await begun.rounded?.dispose();
    throw error;
  }
}

/** Graphs and values of an adapter on the base that it begins with. */
async function partsOf(
  method: TrainableMethod,
  begun: Begun,
  at: PrepareOptions & TrainingBase & { start: AdapterStart },
): Promise<ModelParts> {
  const { adapter, rounded } = begun;
  const { checkpoint, base } = rounded ?? at;
  const { values, warnings } = await valuesOf(method, begun, { ...at, checkpoint, base });
  throwIfAborted(at.signal);
  const checkpoints: Value[] = [];
  const dropped = new Set<string>();
  const noted = noteBlocks(adapter.hook, checkpoints);
  const hook = at.baseDropout === false ? noted : withBaseDropout(noted, dropped);
  const model = buildModel(checkpoint, hook, adapter.layers);
  const quiet = method.prepare(withoutDropout(adapter.config), base, { isQuiet: true });
  const isQuiet = adapter.dropoutSeed === null && dropped.size === 0;
  const evaluation = isQuiet ? model : buildModel(checkpoint, quiet.hook, quiet.layers);
  checkLayers(adapter, model);
  const loss = at.loss ?? lossOfTask(model, checkpoint.config);
  const all = [
    ...fieldWarnings(adapter, methodOf(adapter.config)),
    ...(adapter.warnings ?? []),
    ...begun.warnings,
    ...warnings,
    ...(at.baseDropout === false ? [] : unknownDropout(checkpoint.config, dropped)),
  ];
  const own = rounded && { rounded };
  return { adapter, model, evaluation, values, warnings: all, loss, checkpoints, ...own };
}

interface Begun {
  readonly adapter: TrainableAdapter;
  readonly data: InitializeOptions["data"];
  readonly warnings: readonly string[];
  /** The base that LoftQ made of the one that was given. */
  readonly rounded?: TrainingBase;
}

/** The adapter with what its initialisation found out in the data, where it looks at them. */
async function beginningOf(
  method: TrainableMethod,
  given: AdapterConfig,
  at: PrepareOptions & { start: AdapterStart } & Pick<TrainingBase, "checkpoint" | "base">,
): Promise<Begun> {
  const { start, checkpoint, base, texts, isRestored = false } = at;
  const adapter = method.prepare(given, base);
  const name = preparationOf(given);
  if (start.kind === "continue") {
    const warnings = name === "lora_ga" ? [lostBeginning()] : [];
    return { adapter, data: undefined, warnings };
  }
  const plain: Begun = { adapter, data: undefined, warnings: preparationWarnings(given) };
  if (name === null) return plain;
  if (isRestored) return { ...plain, data: "restored" };
  if (name === "loftq") return loftqBeginning(method, adapter, at);
  if (!texts) return { ...plain, warnings: [...plain.warnings, withoutData(name)] };
  const loss =
    at.loss ?? lossOfTask(buildModel(checkpoint, bareLayers, adapter.layers), checkpoint.config);
  const { session, onProgress, signal } = at;
  const work = { session, onProgress, signal };
  const made = await prepareBeginning({ name, checkpoint, adapter, texts, loss, ...work });
  return {
    adapter: made.config === adapter.config ? adapter : method.prepare(made.config, base),
    data: made.data,
    warnings: [...plain.warnings, ...made.warnings],
  };
}

/** A new adapter's config with what its base asks for; one that is trained on stays as it is. */
function completed(
  start: AdapterStart,
  { checkpoint, base }: TrainingParts,
): ReturnType<typeof withHeadSaved> {
  const given = configOf(start);
  if (start.kind === "continue") return { config: given, warnings: [] };
  const task = withOwnTask(given, base);
  const head = withHeadSaved(task.config, checkpoint);
  return { config: head.config, warnings: [...task.warnings, ...head.warnings] };
}

/** The same with its sessions open. */
export async function openTrainingModel(
  parts: ModelParts,
  options: TrainingOptions,
  session: SessionOptions = {},
): Promise<TrainingModel> {
  return TrainingModel.create(parts, options, session);
}

async function loftqBeginning(
  method: TrainableMethod,
  { config, parameters }: TrainableAdapter,
  at: PrepareOptions & Pick<TrainingBase, "checkpoint" | "base">,
): Promise<Begun> {
  const { onProgress, signal } = at;
  const { checkpoint, factors, dispose } = await loftqBase(
    at.checkpoint,
    loftqLayers(parameters, at.base.tree),
    { config: preparationConfig("loftq", config), onProgress, signal },
  );
  const base = describeBase(checkpoint);
  const nothing = (path: string): Promise<never> =>
    Promise.reject(new Error(`LoftQ asked ${path}`));
  return {
    adapter: method.prepare(config, base),
    data: { factors, covariance: nothing, gradient: nothing },
    warnings: [...preparationWarnings(config), ...loftqWarnings(config, parameters)],
    rounded: { checkpoint, base, dispose },
  };
}

async function valuesOf(
  method: TrainableMethod,
  { adapter, data }: Begun,
  at: TrainingParts & { start: AdapterStart; seed: number; signal?: AbortSignal | undefined },
): Promise<StoredValues> {
  const { start, checkpoint, base, seed, signal } = at;
  if (start.kind === "new") refuseNew(method, start.config);
  if (start.kind === "continue" && adapter.made) {
    throw unsupported(
      t("{0} has the finished prompt alone, not what makes it", start.checkpoint.dir),
      t("Continue the run that made it from one of its checkpoints."),
    );
  }
  const tokenize = async (text: string): Promise<number[] | null> =>
    (await readTokenizer(checkpoint.dir))?.encode(text) ?? null;
  const random = torchGenerator(seed);
  const plain = await method.initialize(adapter, base, { random, data, tokenize, signal });
  const initial = withDrawnHead(plain, checkpoint, seed);
  if (start.kind === "new") return { values: initial, warnings: [] };
  return valuesOfFile(adapter, start.checkpoint, { initial, base, signal });
}

function refuseNew({ peftType, whyNotNew }: TrainableMethod, { file }: AdapterConfig): void {
  if (!whyNotNew) return;
  const label = methodLabels[peftType] ?? peftType;
  throw unsupported(
    t("{0}: Graft trains {1} adapters that PEFT made, and begins no new ones", file, label),
    whyNotNew(),
  );
}

/** Values that an adapter's file has. @throws misfit for one of another shape, or that is missing */
export async function storedValues(
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

/** A config whose every dropout is 0. */
function withoutDropout(config: AdapterConfig): AdapterConfig {
  const fields = Object.entries(config.raw).map(([key, value]) => [
    key,
    /dropout$/.test(key) && typeof value === "number" ? 0 : value,
  ]);
  const text = JSON.stringify(Object.fromEntries(fields));
  return { ...parseAdapterConfig(text, config.file), floatFields: config.floatFields };
}

/** Says which of a base's dropouts are not there, where none is. */
function unknownDropout(config: ModelConfig, dropped: ReadonlySet<string>): string[] {
  const fields = dropoutFields(config).filter((field) => !dropped.has(field));
  if (fields.length === 0 || dropped.size > 0) return [];
  return [
    t(
      "{0} asks for dropout in training ({1}), which Graft does not apply to this family.",
      config.file,
      fields.join(", "),
    ),
  ];
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

function checkLayers({ parameters }: TrainableAdapter, model: Model): void {
  const graphs = model.kind === "seq2seq" ? [model.graph, model.encoder.graph] : [model.graph];
  const inputs = new Set<string>(graphs.flatMap(({ inputs: own }) => own.map(({ name }) => name)));
  const trained = parameters.filter(({ isTrained }) => isTrained);
  if (trained.length === 0) throw badRequest(t("The adapter has nothing that is trained."));
  const gone = trained.find(({ name }) => !inputs.has(name));
  if (!gone) return;
  throw misfit(t('The base has no place for the parameter "{0}".', gone.name));
}

const losses: Readonly<Record<ProblemType, LossKind>> = {
  single_label_classification: "choice",
  multi_label_classification: "choices",
  regression: "numbers",
};

/** A class of several, unless the config says otherwise (transformers' problem_type). */
function lossOfTask(model: Model, config: ModelConfig): LossKind {
  const { task } = headOf(model);
  if (task === "question-answering") return "spans";
  if (task === "feature-extraction") {
    throw unsupported(t("Graft does not train models for {0} yet", task.replaceAll("-", " ")));
  }
  if (task !== "sequence-classification") return "choice";
  return losses[problemOf(config) ?? "single_label_classification"];
}
