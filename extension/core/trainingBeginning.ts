/** What an adapter begins with on its base: what its data say, what LoftQ makes, and every value. */
import { t } from "@vscode/l10n";
import { type AdapterStart, configOf } from "./adapterStart.ts";
import { describeBase } from "./baseModel.ts";
import { unsupported } from "./base/errors.ts";
import type { OnProgress } from "./base/progress.ts";
import { torchGenerator } from "./base/torchRandom.ts";
import { type AdapterConfig, methodLabels } from "./checkpoint/adapterConfig.ts";
import { loftqBase, loftqLayers, loftqWarnings } from "./loftqBase.ts";
import { buildModel } from "./models/index.ts";
import { bareLayers } from "./onnx/layerHook.ts";
import { lostBeginning } from "./peft/loraConfig.ts";
import { preparationConfig, preparationOf, preparationWarnings } from "./peft/loraPreparations.ts";
import { type StoredValues, storedValues } from "./peft/trainable/storedValues.ts";
import type {
  InitializeOptions,
  TrainableAdapter,
  TrainableMethod,
} from "./peft/trainable/trainable.ts";
import type { SessionOptions } from "./session/ortSession.ts";
import { readTokenizer } from "./tokens/tokenizer.ts";
import { type BeginningTexts, prepareBeginning, withoutData } from "./train/beginning/prepare.ts";
import { type LossKind, lossOfTask } from "./train/losses.ts";
import type { TrainingBase } from "./trainingBase.ts";
import { withDrawnHead, withHeadSaved, withOwnTask } from "./trainingHead.ts";

export interface BeginningOptions {
  readonly seed: number;
  /** The task's own when absent. */
  readonly loss?: LossKind | undefined;
  /** What initialisations by data look at; without it they begin as PEFT does without. */
  readonly texts?: BeginningTexts | undefined;
  /** The adapter is measured with: its shapes are wanted, not its values. */
  readonly sizesOnly?: boolean | undefined;
  /** The values of a checkpoint take the place of those that data would have given. */
  readonly isRestored?: boolean | undefined;
  readonly session?: SessionOptions | undefined;
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** An adapter whose shapes are known, with what its values are to be made of. */
export interface Begun {
  readonly adapter: TrainableAdapter;
  readonly data: InitializeOptions["data"];
  readonly warnings: readonly string[];
  /** The base that LoftQ made of the one that was given. */
  readonly rounded?: TrainingBase;
}

interface Place extends BeginningOptions, Pick<TrainingBase, "checkpoint" | "base"> {
  readonly start: AdapterStart;
}

/** A new adapter's config with what its base asks for; one that is trained on stays as it is. */
export function completedConfig(
  start: AdapterStart,
  { checkpoint, base }: TrainingBase,
): ReturnType<typeof withHeadSaved> {
  const given = configOf(start);
  if (start.kind === "continue") return { config: given, warnings: [] };
  const task = withOwnTask(given, base);
  const head = withHeadSaved(task.config, checkpoint);
  return { config: head.config, warnings: [...task.warnings, ...head.warnings] };
}

/** The adapter with what its initialisation found out in the data, where it looks at them. */
export async function beginningOf(
  method: TrainableMethod,
  given: AdapterConfig,
  at: Place,
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

async function loftqBeginning(
  method: TrainableMethod,
  { config, parameters }: TrainableAdapter,
  at: Place,
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

/** Every parameter's value: as PEFT begins a new adapter, or as the file has it. */
export async function valuesOf(
  method: TrainableMethod,
  { adapter, data }: Begun,
  at: Place,
): Promise<StoredValues> {
  const { start, checkpoint, base, seed, sizesOnly, onProgress, signal } = at;
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
  const work = { sizesOnly, onProgress, signal };
  const plain = await method.initialize(adapter, base, { random, data, tokenize, ...work });
  const initial = withDrawnHead(plain, checkpoint, seed);
  if (start.kind === "new") return { values: initial, warnings: [] };
  return storedValues(adapter, start.checkpoint, { initial, base, signal });
}

function refuseNew({ peftType, whyNotNew }: TrainableMethod, { file }: AdapterConfig): void {
  if (!whyNotNew) return;
  const label = methodLabels[peftType] ?? peftType;
  throw unsupported(
    t("{0}: Graft trains {1} adapters that PEFT made, and begins no new ones", file, label),
    whyNotNew(),
  );
}
