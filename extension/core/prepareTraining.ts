/** A base, an adapter and its beginning, put together as graphs to be trained. */
import { t } from "@vscode/l10n";
import type { AdapterStart } from "./adapterStart.ts";
import { badRequest, misfit, throwIfAborted } from "./base/errors.ts";
import { fieldWarnings } from "./bindReport.ts";
import { type AdapterConfig, parseAdapterConfig } from "./checkpoint/adapterConfig.ts";
import type { ModelConfig } from "./checkpoint/modelConfig.ts";
import { dropoutFields } from "./models/dropout.ts";
import { buildModel } from "./models/index.ts";
import type { Model } from "./models/model.ts";
import type { Value } from "./onnx/graph.ts";
import type { LayerHook } from "./onnx/layerHook.ts";
import { methodOf } from "./peft/index.ts";
import { withBaseDropout } from "./peft/trainable/baseDropout.ts";
import { trainableMethodOf } from "./peft/trainable/index.ts";
import { checkInitField } from "./peft/trainable/initFields.ts";
import type { TrainableAdapter, TrainableMethod } from "./peft/trainable/trainable.ts";
import { lossOfTask } from "./train/losses.ts";
import type { ModelParts } from "./train/trainingModel.ts";
import type { TrainingBase } from "./trainingBase.ts";
import {
  type BeginningOptions,
  beginningOf,
  type Begun,
  completedConfig,
  valuesOf,
} from "./trainingBeginning.ts";

export interface PrepareOptions extends BeginningOptions {
  /** False leaves out what the base itself drops out in training. */
  readonly baseDropout?: boolean | undefined;
}

/** An adapter around a base, as graphs and values. */
export async function prepareTraining(
  whole: TrainingBase,
  start: AdapterStart,
  at: PrepareOptions,
): Promise<ModelParts> {
  const own = completedConfig(start, whole);
  const { config: given } = own;
  const method = trainableMethodOf(given);
  // A file may say what only training can begin with.
  if (start.kind === "continue") methodOf(given).check(given);
  else checkInitField(given);
  await method.look?.(given, whole.base, at);
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
