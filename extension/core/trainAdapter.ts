/** Runs: an adapter is trained, its checkpoints are kept, and it is gone on with from any of them. */
import { t } from "@vscode/l10n";
import { mkdir } from "node:fs/promises";
import * as path from "node:path";
import { asGraftError, diskFull, isNoRoom, notFound, throwIfAborted } from "./base/errors.ts";
import { isFolder, writeAtomically } from "./base/files.ts";
import type { OnProgress } from "./base/progress.ts";
import { type AdapterCheckpoint, openAdapterCheckpoint } from "./checkpoint/adapterCheckpoint.ts";
import { parseAdapterConfig, readAdapterConfig } from "./checkpoint/adapterConfig.ts";
import { withBaseName } from "./checkpoint/leadToBase.ts";
import { headMetadata } from "./headMetadata.ts";
import { preparationOf } from "./peft/loraPreparations.ts";
import { modelCard } from "./peft/modelCard.ts";
import {
  type AdapterStart,
  openTrainingBase,
  openTrainingModel,
  prepareTraining,
  storedValues,
  type TrainingBase,
} from "./prepareTraining.ts";
import { peftVersion, withInferenceMode } from "./savePretrained.ts";
import type { SessionOptions } from "./session/ortSession.ts";
import { type AdapterFrame, writeAdapterFiles } from "./train/adapterFiles.ts";
import type { ParameterValues } from "./peft/trainable/trainable.ts";
import {
  checkpointName,
  lastWhole,
  readOwnState,
  removeOld,
  tidyCheckpoints,
} from "./train/checkpointFolder.ts";
import type { Split } from "./train/data/batch.ts";
import type { TrainingEnd, TrainingEvent } from "./train/events.ts";
import type { LossKind } from "./train/losses.ts";
import {
  baseIdentity,
  compareConfigs,
  compareMadeOf,
  type MadeOf,
  orderOf,
} from "./train/madeOf.ts";
import { readUnstored } from "./train/madeTensors.ts";
import { trainingOptions, type TrainingWish } from "./train/options.ts";
import { recall, restoreState, saveState } from "./train/runState.ts";
import { checkTasks } from "./train/taskFeeds.ts";
import { Trainer, type TrainerHooks } from "./train/trainer.ts";
import type { ModelParts } from "./train/trainingModel.ts";
import { trainingCard } from "./train/trainingCard.ts";
import { writeChangedBase } from "./writeChangedBase.ts";

export interface TrainRequest {
  readonly base: TrainingBase;
  readonly adapter: AdapterStart;
  readonly data: {
    readonly train: Split;
    readonly evaluation?: Split | null;
    /** Of all texts: a run that goes on is refused with others. */
    readonly fingerprint?: string;
  };
  readonly options?: TrainingWish;
  /** The run's folder: checkpoints below it, the adapter itself at the end. */
  readonly folder: string;
  /** True goes on from the last checkpoint that is whole, a folder from that one. */
  readonly resume?: boolean | string;
  /** The task's own when absent. */
  readonly loss?: LossKind;
  readonly session?: SessionOptions;
  readonly onEvent?: (event: TrainingEvent) => void;
  /** What is done before the first step. */
  readonly onProgress?: OnProgress;
  /** Answers of the model as it is, after an evaluation. */
  readonly samples?: TrainerHooks["samples"];
  /** Pauses where a checkpoint finds no room, instead of ending. */
  readonly waitsForRoom?: boolean;
  /** What the adapter was trained on, for its card: names of files, numbers of texts. */
  readonly dataNote?: string;
  readonly signal?: AbortSignal;
}

/** A run that is open: its sessions are made, nothing is trained yet. */
export class TrainingRun {
  private constructor(
    readonly trainer: Trainer,
    private readonly request: TrainRequest,
    private readonly configText: string,
    private readonly madeOf: MadeOf,
    /** What the adapter runs on. */
    readonly baseFolder: string,
  ) {}

  static async open(request: TrainRequest): Promise<TrainingRun> {
    const options = trainingOptions.parse(request.options ?? {});
    const { loss, signal, folder, session, onProgress } = request;
    const resumed = await resumedFrom(request);
    const adapter = resumed ? await restored(request.adapter, resumed.folder) : request.adapter;
    const base = resumed ? await baseIn(request) : request.base;
    const begun = await prepareTraining(base, adapter, {
      ...{
        seed: options.seed,
        baseDropout: options.baseDropout,
        loss,
        session,
        onProgress,
        signal,
      },
      texts: { train: request.data.train, options },
      isRestored: resumed !== null,
    });
    // What the base has lost is fed and never trained: a session's inputs from the start.
    const isKnown = resumed !== null && begun.adapter.plain !== undefined;
    const parts = isKnown ? await withStored(begun, resumed.folder, signal) : begun;
    const { train: texts, evaluation } = request.data;
    for (const split of [texts, evaluation ?? texts]) checkTasks(parts.adapter, split);
    const madeOf = {
      base: await baseIdentity(request.base.checkpoint),
      data: request.data.fingerprint ?? null,
      order: orderOf(options),
    };
    const { rounded } = parts;
    const baseFolder = rounded ? path.join(folder, ownBaseName) : base.checkpoint.dir;
    const ownBase = baseFolder === request.base.checkpoint.dir ? undefined : baseFolder;
    const configText = savedConfig(parts.adapter.config.text, base, ownBase);
    const model = await openTrainingModel(parts, options, request.session);
    try {
      const save = (trainer: Trainer): Promise<string> => run.save(trainer);
      const { onEvent, samples, waitsForRoom = false } = request;
      const hooks = {
        save,
        waitsForRoom,
        ...(onEvent && { onEvent }),
        ...(samples && { samples }),
      };
      const run = new TrainingRun(
        new Trainer(model, request.data, options, hooks),
        request,
        configText,
        madeOf,
        baseFolder,
      );
      await mkdir(folder, { recursive: true });
      await tidyCheckpoints(folder);
      if (rounded) {
        const place = { folder: baseFolder, signal };
        await writeChangedBase(base.checkpoint, rounded.checkpoint, place);
      }
      if (resumed) await run.resume(resumed);
      else run.note(parts.warnings ?? []);
      run.tellRemarks();
      return run;
    } catch (error) {
      await model.dispose();
      throw error;
    }
  }

  /**
   * Trains to the end and writes the adapter and its card into the run's folder.
   * @throws disk-full where there is no room for them; the last checkpoint holds what was learned
   */
  async train(signal = this.request.signal): Promise<TrainingEnd> {
    const end = await this.trainer.train(signal);
    await this.takeBest(end);
    const { folder } = this.request;
    await this.writeAdapter(end).catch((error: unknown) => {
      if (!isNoRoom(error)) throw error;
      throw diskFull(
        t(
          "There is no room for the adapter in {0}. Make room and continue: its last checkpoint holds all that was learned.",
          folder,
        ),
        { folder },
      );
    });
    return end;
  }

  /** Writes the adapter as it is now, as PEFT would load it. */
  async saveAdapter(folder: string): Promise<void> {
    await mkdir(folder, { recursive: true });
    await writeAdapterFiles(folder, this.trainer.model, this.frame);
  }

  dispose(): Promise<void> {
    return this.trainer.model.dispose();
  }

  private get frame(): AdapterFrame {
    const { base, checkpoint } = this.request.base;
    const metadata = headMetadata(this.trainer.model.parts.model, checkpoint.config);
    return { configText: this.configText, base, metadata };
  }

  private async save(trainer: Trainer): Promise<string> {
    const { folder } = this.request;
    const { history, options } = trainer;
    const place = path.join(folder, checkpointName(history.step));
    await saveState(trainer, place, { ...this.frame, madeOf: this.madeOf });
    const { saveTotalLimit } = options;
    const kept = { written: history.step, best: history.bestStep };
    if (saveTotalLimit !== undefined) await removeOld(folder, saveTotalLimit, kept);
    return place;
  }

  private async resume({ folder, skipped }: Resumed): Promise<void> {
    this.note([...skipped, ...(await this.goOnFrom(folder))]);
  }

  /** @throws misfit where base, data or config are not those of the checkpoint */
  private async goOnFrom(folder: string): Promise<string[]> {
    const { trainer } = this;
    const { signal, base, dataNote } = this.request;
    const own = await readOwnState(folder);
    const saved = await openAdapterCheckpoint(folder, signal);
    const notes: string[] = [];
    if (own?.madeOf) {
      const names = { checkpoint: folder, base: base.checkpoint.dir, data: dataNote };
      notes.push(...compareMadeOf(own.madeOf, this.madeOf, names));
      const changing = trainer.model.allocator?.fields ?? [];
      const config = parseAdapterConfig(this.savedText, folder);
      compareConfigs(saved.config, config, { checkpoint: folder, changing });
    }
    const values = await this.valuesIn(folder, saved);
    return [...notes, ...(await restoreState(trainer, folder, { own, values }))];
  }

  /** adapter_config.json as it stands beside the adapter's file. */
  private get savedText(): string {
    const { plain } = this.trainer.model.parts.adapter;
    return plain?.configText(this.configText) ?? this.configText;
  }

  /** What the method's config asks for and this run does not do. */
  private tellRemarks(): void {
    const { model, length } = this.trainer;
    this.note(model.parts.adapter.remarks?.(length.steps) ?? []);
  }

  private note(sentences: readonly string[]): void {
    const { step } = this.trainer.history;
    for (const text of sentences) this.request.onEvent?.({ kind: "note", step, text });
  }

  /** Puts the best evaluation's values in place of the last ones, where the options ask for it. */
  private async takeBest({ finish, step, bestStep }: TrainingEnd): Promise<void> {
    const { options, model } = this.trainer;
    if (!options.loadBestModelAtEnd || finish === "stopped") return;
    if (bestStep === null || bestStep === step) return;
    const folder = path.join(this.request.folder, checkpointName(bestStep));
    const note = (text: string): void => this.note([text]);
    try {
      if (!(await isFolder(folder))) throw notFound(t("Checkpoint"), folder);
      await readOwnState(folder);
      const checkpoint = await openAdapterCheckpoint(folder, this.request.signal);
      const values = await this.valuesIn(folder, checkpoint);
      model.parameters.restore(values, { memory: new Map(), updates: step });
    } catch (error) {
      throwIfAborted(this.request.signal);
      const { message } = asGraftError(error);
      return note(t("The adapter is that of the last step, not of the best one: {0}", message));
    }
    note(t("The adapter is that of step {0}, whose evaluation was the best.", bestStep));
  }

  /** All parameters' values as a checkpoint has them. */
  private async valuesIn(folder: string, checkpoint: AdapterCheckpoint): Promise<ParameterValues> {
    const { model } = this.trainer;
    const { adapter, values } = model.parts;
    const { signal } = this.request;
    const stored = await storedValues(adapter, checkpoint, signal);
    const unstored = await readUnstored(folder, adapter, signal);
    return new Map([...values, ...stored, ...unstored, ...(await recall(model, folder))]);
  }

  private async writeAdapter(end: TrainingEnd): Promise<void> {
    const { folder, dataNote } = this.request;
    const { model, options } = this.trainer;
    const configText = this.savedText;
    await writeAdapterFiles(folder, model, this.frame);
    const file = path.join(folder, "README.md");
    const config = parseAdapterConfig(configText, file);
    const name = path.basename(path.resolve(folder));
    const card = await modelCard(file, { name, configs: [config], peftVersion });
    const text = trainingCard(card, { options, end, history: this.trainer.history, dataNote });
    await writeAtomically(file, (handle) => handle.writeFile(text));
  }
}

/** A checkpoint that a run goes on from, and those that were passed over. */
interface Resumed {
  readonly folder: string;
  readonly skipped: readonly string[];
}

async function resumedFrom({ resume = false, folder }: TrainRequest): Promise<Resumed | null> {
  if (resume === false) return null;
  if (resume !== true) return { folder: resume, skipped: [] };
  const { folder: whole, skipped } = await lastWhole(folder);
  if (whole !== null) return { folder: whole, skipped };
  const problem = skipped.join("\n");
  throw notFound(
    t("Checkpoint"),
    folder,
    t("None of this run is whole. Begin the run anew.") + (problem && `\n${problem}`),
  );
}

/** With what a checkpoint holds, what is fed and never trained among it. */
async function withStored(
  parts: ModelParts,
  folder: string,
  signal: AbortSignal | undefined,
): Promise<ModelParts> {
  const checkpoint = await openAdapterCheckpoint(folder, signal);
  const stored = await storedValues(parts.adapter, checkpoint, signal);
  return { ...parts, values: new Map([...parts.values, ...stored]) };
}

/** Where a run keeps the base that LoftQ made for it. */
export const ownBaseName = "base";

/** The base that a run that goes on has made for itself, or the one that it was given. */
async function baseIn({ base, adapter, folder, signal }: TrainRequest): Promise<TrainingBase> {
  const isRounded = adapter.kind === "new" && preparationOf(adapter.config) === "loftq";
  if (!isRounded) return base;
  const options = signal ? { signal } : {};
  return openTrainingBase(path.join(folder, ownBaseName), options, adapter);
}

/** The beginning of a run as its checkpoint knows it: EVA's ranks stand in its config, LoftQ is done. */
async function restored(start: AdapterStart, folder: string): Promise<AdapterStart> {
  if (start.kind !== "new") return start;
  const name = preparationOf(start.config);
  if (name !== "eva" && name !== "loftq") return start;
  return { kind: "new", config: await readAdapterConfig(folder) };
}

/** Trains an adapter from its beginning, or from a checkpoint, to the end. */
export async function train(request: TrainRequest): Promise<TrainingEnd> {
  const run = await TrainingRun.open(request);
  try {
    return await run.train();
  } finally {
    await run.dispose();
  }
}

/**
 * As PEFT saves a config; one that names no base leads to the folder that it was trained on.
 * @param ownBase the base that the run made for itself: the config leads there whatever it named
 */
export function savedConfig(text: string, { checkpoint }: TrainingBase, ownBase?: string): string {
  const own = withInferenceMode(text);
  const { baseName } = parseAdapterConfig(own, "adapter_config.json");
  if (ownBase !== undefined) return withBaseName(own, ownBase);
  return baseName === null ? withBaseName(own, checkpoint.dir) : own;
}
