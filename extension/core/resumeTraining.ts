/** Going on from a checkpoint: which one, what the run begins with then, and where it stands. */
import { t } from "@vscode/l10n";
import * as path from "node:path";
import type { AdapterStart } from "./adapterStart.ts";
import { notFound } from "./base/errors.ts";
import { openAdapterCheckpoint } from "./checkpoint/adapterCheckpoint.ts";
import { parseAdapterConfig, readAdapterConfig } from "./checkpoint/adapterConfig.ts";
import { checkpointValues } from "./checkpointValues.ts";
import { preparationOf } from "./peft/loraPreparations.ts";
import { lastWhole, readOwnState } from "./train/checkpointFolder.ts";
import { compareConfigs, compareMadeOf, type MadeOf } from "./train/madeOf.ts";
import { restoreState } from "./train/runState.ts";
import type { Trainer } from "./train/trainer.ts";
import { openTrainingBase, type TrainingBase } from "./trainingBase.ts";

/** Where a run keeps the base that LoftQ made for it. */
export const ownBaseName = "base";

/** A checkpoint that a run goes on from, and what there is to say of those that were passed over. */
export interface Resumed {
  readonly folder: string;
  readonly skipped: readonly string[];
}

/**
 * The checkpoint that a run goes on from; null for one that begins.
 * @param resume true for the last that is whole, a folder for that one
 * @throws not-found where none is whole
 */
export async function resumedFrom(
  run: string,
  resume: boolean | string = false,
): Promise<Resumed | null> {
  if (resume === false) return null;
  if (resume !== true) return { folder: resume, skipped: [] };
  const { folder, skipped } = await lastWhole(run);
  if (folder !== null) return { folder, skipped };
  const problem = skipped.join("\n");
  throw notFound(
    t("Checkpoint"),
    run,
    t("None of this run is whole. Begin the run anew.") + (problem && `\n${problem}`),
  );
}

/** What a run begins with. */
export interface RunStart {
  readonly base: TrainingBase;
  readonly adapter: AdapterStart;
}

/** A run's beginning as its checkpoint knows it: EVA's ranks stand in its config, LoftQ's base is made. */
export async function resumedStart(
  { base, adapter }: RunStart,
  { folder }: Resumed,
  { run, signal }: { run: string; signal?: AbortSignal | undefined },
): Promise<RunStart> {
  const name = adapter.kind === "new" ? preparationOf(adapter.config) : null;
  if (name !== "eva" && name !== "loftq") return { base, adapter };
  const config = await readAdapterConfig(folder);
  const options = signal ? { signal } : {};
  const own =
    name === "loftq" && (await openTrainingBase(path.join(run, ownBaseName), options, adapter));
  return { base: own || base, adapter: { kind: "new", config } };
}

/** What a run that goes on is held against. */
export interface RunFacts {
  readonly madeOf: MadeOf;
  /** adapter_config.json as it stands beside the adapter's file. */
  readonly configText: string;
  /** Folder of the base, and what the data is called: for messages. */
  readonly base: string;
  readonly data?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Puts a trainer where a checkpoint is.
 * @returns sentences on what is not as it was
 * @throws misfit where base, data or config are not those of the checkpoint
 */
export async function goOnFrom(
  trainer: Trainer,
  folder: string,
  { madeOf, configText, base, data, signal }: RunFacts,
): Promise<string[]> {
  const own = await readOwnState(folder);
  const saved = await openAdapterCheckpoint(folder, signal);
  const notes: string[] = [];
  if (own?.madeOf) {
    notes.push(...compareMadeOf(own.madeOf, madeOf, { checkpoint: folder, base, data }));
    const changing = trainer.model.allocator?.fields ?? [];
    const config = parseAdapterConfig(configText, folder);
    compareConfigs(saved.config, config, { checkpoint: folder, changing });
  }
  const values = await checkpointValues(trainer.model, saved, signal);
  return [...notes, ...(await restoreState(trainer, folder, { own, values }))];
}
