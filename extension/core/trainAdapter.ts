/** Runs: an adapter is trained, its checkpoints are kept, and it is gone on with from any of them. */
import { t } from "@vscode/l10n";
import { mkdir } from "node:fs/promises";
import * as path from "node:path";
import { asGraftError, diskFull, isNoRoom, notFound, throwIfAborted } from "./base/errors.ts";
import { isFolder, writeAtomically } from "./base/files.ts";
import { type AdapterCheckpoint, openAdapterCheckpoint } from "./checkpoint/adapterCheckpoint.ts";
import { parseAdapterConfig } from "./checkpoint/adapterConfig.ts";
import { withBaseName } from "./checkpoint/leadToBase.ts";
import { headMetadata } from "./headMetadata.ts";
import { modelCard } from "./peft/modelCard.ts";
import {
  type AdapterStart,
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
import { trainingCard } from "./train/trainingCard.ts";

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
  ) {}

  static async open(request: TrainRequest): Promise<TrainingRun> {
    const options = trainingOptions.parse(request.options ?? {});
    const { base, adapter, loss, signal, folder } = request;
    const { seed, baseDropout } = options;
    const parts = await prepareTraining(base, adapter, { seed, baseDropout, loss, signal });
    const { train: texts, evaluation } = request.data;
    for (const split of [texts, evaluation ?? texts]) checkTasks(parts.adapter, split);
    const configText = savedConfig(parts.adapter.config.text, base);
    const madeOf = {
      base: await baseIdentity(base.checkpoint),
      data: request.data.fingerprint ?? null,
      order: orderOf(options),
    };
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
      );
      await mkdir(folder, { recursive: true });
      await tidyCheckpoints(folder);
      await run.resume();
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

  private async resume(): Promise<void> {
    const { resume = false, folder } = this.request;
    if (resume === false) return;
    const found =
      resume === true ? await lastWhole(folder) : { folder: resume, skipped: [] as const };
    if (found.folder === null) {
      const problem = found.skipped.join("\n");
      throw notFound(
        t("Checkpoint"),
        folder,
        t("None of this run is whole. Begin the run anew.") + (problem && `\n${problem}`),
      );
    }
    const notes = await this.goOnFrom(found.folder);
    const { step } = this.trainer.history;
    for (const text of [...found.skipped, ...notes])
      this.request.onEvent?.({ kind: "note", step, text });
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
      const config = parseAdapterConfig(this.configText, folder);
      compareConfigs(saved.config, config, { checkpoint: folder, changing });
    }
    const values = await this.valuesIn(folder, saved);
    return [...notes, ...(await restoreState(trainer, folder, { own, values }))];
  }

  /** What the method's config asks for and this run does not do. */
  private tellRemarks(): void {
    const { model, length, history } = this.trainer;
    const remarks = model.parts.adapter.remarks?.(length.steps) ?? [];
    for (const text of remarks) this.request.onEvent?.({ kind: "note", step: history.step, text });
  }

  /** Puts the best evaluation's values in place of the last ones, where the options ask for it. */
  private async takeBest({ finish, step, bestStep }: TrainingEnd): Promise<void> {
    const { options, model } = this.trainer;
    if (!options.loadBestModelAtEnd || finish === "stopped") return;
    if (bestStep === null || bestStep === step) return;
    const folder = path.join(this.request.folder, checkpointName(bestStep));
    const note = (text: string): void => this.request.onEvent?.({ kind: "note", step, text });
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
    const { configText } = this;
    await writeAdapterFiles(folder, model, this.frame);
    const file = path.join(folder, "README.md");
    const config = parseAdapterConfig(configText, file);
    const name = path.basename(path.resolve(folder));
    const card = await modelCard(file, { name, configs: [config], peftVersion });
    const text = trainingCard(card, { options, end, history: this.trainer.history, dataNote });
    await writeAtomically(file, (handle) => handle.writeFile(text));
  }
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

/** As PEFT saves a config; one that names no base leads to the folder that it was trained on. */
export function savedConfig(text: string, { checkpoint }: TrainingBase): string {
  const own = withInferenceMode(text);
  const { baseName } = parseAdapterConfig(own, "adapter_config.json");
  return baseName === null ? withBaseName(own, checkpoint.dir) : own;
}
