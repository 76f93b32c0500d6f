/** Runs: an adapter is trained on a base, its checkpoints and the adapter itself are written. */
import { t } from "@vscode/l10n";
import { mkdir } from "node:fs/promises";
import * as path from "node:path";
import type { AdapterStart } from "./adapterStart.ts";
import { asGraftError, diskFull, isNoRoom, notFound, throwIfAborted } from "./base/errors.ts";
import { isFolder } from "./base/files.ts";
import type { OnProgress } from "./base/progress.ts";
import { openAdapterCheckpoint } from "./checkpoint/adapterCheckpoint.ts";
import { checkpointValues, withFileValues } from "./checkpointValues.ts";
import { headMetadata } from "./headMetadata.ts";
import { prepareTraining } from "./prepareTraining.ts";
import {
  goOnFrom,
  ownBaseName,
  type Resumed,
  resumedFrom,
  resumedStart,
} from "./resumeTraining.ts";
import type { SessionOptions } from "./session/ortSession.ts";
import { type AdapterFrame, writeAdapterFiles } from "./train/adapterFiles.ts";
import {
  checkpointName,
  readOwnState,
  removeOld,
  tidyCheckpoints,
} from "./train/checkpointFolder.ts";
import type { Split } from "./train/data/batch.ts";
import type { TrainingEnd, TrainingEvent } from "./train/events.ts";
import type { LossKind } from "./train/losses.ts";
import { baseIdentity, type MadeOf, orderOf } from "./train/madeOf.ts";
import { trainingOptions, type TrainingOptions, type TrainingWish } from "./train/options.ts";
import { saveState } from "./train/runState.ts";
import { checkTasks } from "./train/taskFeeds.ts";
import { Trainer, type TrainerHooks } from "./train/trainer.ts";
import { type ModelParts, TrainingModel } from "./train/trainingModel.ts";
import { savedConfig, writeTrainingCard } from "./trainedFiles.ts";
import type { TrainingBase } from "./trainingBase.ts";
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

/** What a run writes its files by. */
interface RunFiles {
  readonly configText: string;
  readonly madeOf: MadeOf;
  /** What the adapter runs on. */
  readonly baseFolder: string;
}

/** A run that is open: its sessions are made, nothing is trained yet. */
export class TrainingRun {
  private constructor(
    readonly trainer: Trainer,
    private readonly request: TrainRequest,
    private readonly files: RunFiles,
  ) {}

  static async open(request: TrainRequest): Promise<TrainingRun> {
    const options = trainingOptions.parse(request.options ?? {});
    const { folder, signal, onEvent, samples, waitsForRoom = false } = request;
    const resumed = await resumedFrom(folder, request.resume);
    const begun = resumed ? await resumedStart(request, resumed, { run: folder, signal }) : request;
    const parts = await partsOf({ ...request, ...begun }, { options, resumed });
    const files = await filesOf(request, { parts, options, base: begun.base });
    const model = await TrainingModel.create(parts, options, request.session);
    try {
      const hooks = {
        save: (): Promise<string> => run.save(),
        waitsForRoom,
        ...(onEvent && { onEvent }),
        ...(samples && { samples }),
      };
      const trainer = new Trainer(model, request.data, options, hooks);
      const run = new TrainingRun(trainer, request, files);
      await run.prepareFolder(begun.base);
      run.note(resumed ? await run.goOn(resumed) : (parts.warnings ?? []));
      // What the method's config asks for and this run does not do.
      run.note(parts.adapter.remarks?.(trainer.length.steps) ?? []);
      return run;
    } catch (error) {
      await model.dispose();
      throw error;
    }
  }

  /** Folder of the base that the adapter runs on: the given one, or what LoftQ made of it. */
  get baseFolder(): string {
    return this.files.baseFolder;
  }

  /**
   * Trains to the end and writes the adapter and its card into the run's folder.
   * @throws disk-full where there is no room for them; the last checkpoint holds what was learned
   */
  async train(signal = this.request.signal): Promise<TrainingEnd> {
    const { trainer, request } = this;
    const end = await trainer.train(signal);
    await this.takeBest(end);
    const { folder, dataNote } = request;
    try {
      await writeAdapterFiles(folder, trainer.model, this.frame);
      await writeTrainingCard(folder, trainer, { configText: this.savedText, end, dataNote });
    } catch (error) {
      if (!isNoRoom(error)) throw error;
      throw diskFull(
        t(
          "There is no room for the adapter in {0}. Make room and continue: its last checkpoint holds all that was learned.",
          folder,
        ),
        { folder },
      );
    }
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
    return { configText: this.files.configText, base, metadata };
  }

  /** adapter_config.json as it stands beside the adapter's file. */
  private get savedText(): string {
    const { plain } = this.trainer.model.parts.adapter;
    const { configText } = this.files;
    return plain?.configText(configText) ?? configText;
  }

  private async prepareFolder({ checkpoint }: TrainingBase): Promise<void> {
    const { folder, signal } = this.request;
    await mkdir(folder, { recursive: true });
    await tidyCheckpoints(folder);
    const { rounded } = this.trainer.model.parts;
    if (!rounded) return;
    await writeChangedBase(checkpoint, rounded.checkpoint, { folder: this.baseFolder, signal });
  }

  private async save(): Promise<string> {
    const { folder } = this.request;
    const { history, options } = this.trainer;
    const place = path.join(folder, checkpointName(history.step));
    await saveState(this.trainer, place, { ...this.frame, madeOf: this.files.madeOf });
    const { saveTotalLimit } = options;
    const kept = { written: history.step, best: history.bestStep };
    if (saveTotalLimit !== undefined) await removeOld(folder, saveTotalLimit, kept);
    return place;
  }

  private async goOn({ folder, skipped }: Resumed): Promise<string[]> {
    const { base, dataNote: data, signal } = this.request;
    const { madeOf } = this.files;
    const facts = { madeOf, configText: this.savedText, base: base.checkpoint.dir, data, signal };
    return [...skipped, ...(await goOnFrom(this.trainer, folder, facts))];
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
    const { folder: run, signal } = this.request;
    const folder = path.join(run, checkpointName(bestStep));
    const note = (text: string): void => this.note([text]);
    try {
      if (!(await isFolder(folder))) throw notFound(t("Checkpoint"), folder);
      await readOwnState(folder);
      const checkpoint = await openAdapterCheckpoint(folder, signal);
      const values = await checkpointValues(model, checkpoint, signal);
      model.parameters.restore(values, { memory: new Map(), updates: step });
    } catch (error) {
      throwIfAborted(signal);
      const { message } = asGraftError(error);
      return note(t("The adapter is that of the last step, not of the best one: {0}", message));
    }
    note(t("The adapter is that of step {0}, whose evaluation was the best.", bestStep));
  }
}

/** Graphs and values of a run, its data looked at. */
async function partsOf(
  request: TrainRequest,
  { options, resumed }: { options: TrainingOptions; resumed: Resumed | null },
): Promise<ModelParts> {
  const { base, adapter, data, loss, session, onProgress, signal } = request;
  const { seed, baseDropout } = options;
  const begun = await prepareTraining(base, adapter, {
    ...{ seed, baseDropout, loss, session, onProgress, signal },
    texts: { train: data.train, options },
    isRestored: resumed !== null,
  });
  // What the base has lost is fed and never trained.
  const isKnown = resumed !== null && begun.adapter.plain !== undefined;
  const parts = isKnown ? await withFileValues(begun, resumed.folder, signal) : begun;
  for (const split of [data.train, data.evaluation ?? data.train]) checkTasks(parts.adapter, split);
  return parts;
}

/** @param at.base what the run is trained around, where LoftQ has made it already */
async function filesOf(
  request: TrainRequest,
  at: { parts: ModelParts; options: TrainingOptions; base: TrainingBase },
): Promise<RunFiles> {
  const { checkpoint } = request.base;
  const { parts, options, base } = at;
  const madeOf = {
    base: await baseIdentity(checkpoint),
    data: request.data.fingerprint ?? null,
    order: orderOf(options),
  };
  const baseFolder = parts.rounded ? path.join(request.folder, ownBaseName) : base.checkpoint.dir;
  const ownBase = baseFolder === checkpoint.dir ? undefined : baseFolder;
  const configText = savedConfig(parts.adapter.config.text, base, ownBase);
  return { configText, madeOf, baseFolder };
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
