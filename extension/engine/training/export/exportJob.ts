/** A run as a folder that trains the same in Python: PEFT, TRL, Accelerate. */
import { copyFile, mkdir, readdir, writeFile } from "node:fs/promises";
import * as path from "node:path";
import { t } from "@vscode/l10n";
import { throwIfAborted, unsupported } from "../../../core/base/errors.ts";
import { filesIn, refuseTaken, createFolder } from "../../../core/base/folders.ts";
import { repoIdOf } from "../../../core/hub/cache.ts";
import { isSavedAsPlain } from "../../../core/peft/loraPreparations.ts";
import { headOf, type Model } from "../../../core/models/model.ts";
import { prepareTraining } from "../../../core/prepareTraining.ts";
import { savedConfig } from "../../../core/trainedFiles.ts";
import { writeAdapterForm } from "../../../core/train/adapterFiles.ts";
import type { Dataset } from "../../../core/train/data/dataset.ts";
import { trainingOptions } from "../../../core/train/options.ts";
import { checkTasks } from "../../../core/train/taskFeeds.ts";
import type { ModelParts } from "../../../core/train/trainingModel.ts";
import type { ExportedJob, RunConfig } from "../../../protocol/trainingContract.ts";
import { mediaFolder } from "../../media.ts";
import { type OpenedRun, openRun, type Work } from "../openRun.ts";
import { writeRunConfig } from "../runConfig.ts";
import { readEvents } from "../runLog.ts";
import { type JobBase, type JobFacts, type JobTask, trainingJob } from "./job.ts";
import { jobNotes, plain } from "./notes.ts";
import { jobReadme } from "./readme.ts";
import { writeRows } from "./rows.ts";

export interface JobRequest {
  readonly config: RunConfig;
  /** A folder that does not exist yet. */
  readonly folder: string;
  /** Folder of a run of this config, whose losses go along to be compared with. */
  readonly run?: string | undefined;
}

/**
 * Writes a run as a Python job: tokenised rows, the adapter as Graft begins with it, and a script with all
 * settings. All files or none.
 * @throws bad-request for a folder that exists; what is wrong with config, base or data
 */
export async function exportJob(request: JobRequest, work: Work): Promise<ExportedJob> {
  const folder = path.resolve(request.folder);
  await refuseTaken(folder);
  const opened = await openRun(request.config, work);
  try {
    const { base, adapter } = opened;
    const { seed, baseDropout } = request.config.settings;
    work.onProgress({ step: t("Making the adapter") });
    refuseUntold(adapter);
    const texts = {
      train: opened.data.training,
      options: trainingOptions.parse(opened.options),
    };
    const { onProgress, signal } = work;
    const own = { seed, baseDropout, texts, onProgress, signal };
    const parts = await prepareTraining(base, adapter, own);
    checkTasks(parts.adapter, opened.data.training);
    const facts = await factsOf(request, opened, parts);
    await createFolder(folder, async (partial) => {
      await writeJob({ folder: partial, request, facts, opened, parts }, work);
      throwIfAborted(work.signal);
    });
    const warnings = parts.warnings ?? [];
    const notes = [...jobNotes(request.config, facts), ...warnings];
    return { folder, ...(await filesIn(folder)), notes };
  } finally {
    await opened.dispose();
  }
}

/** PEFT has no file that says what such a base has lost. */
function refuseUntold(adapter: OpenedRun["adapter"]): void {
  const init = adapter.kind === "new" ? adapter.config.raw["init_lora_weights"] : true;
  if (init !== "loftq" && !isSavedAsPlain(init)) return;
  throw unsupported(
    t(
      'A Python job does not begin with init_lora_weights "{0}": no file says what the base is then',
      String(init),
    ),
    t("Choose another init_lora_weights for the job, or train here."),
  );
}

interface Job {
  readonly folder: string;
  readonly request: JobRequest;
  readonly facts: JobFacts;
  readonly opened: OpenedRun;
  readonly parts: ModelParts;
}

async function writeJob({ folder, request, facts, opened, parts }: Job, work: Work): Promise<void> {
  const { config } = request;
  const data = path.join(folder, "data");
  await mkdir(data);
  const rows = { ...work, form: facts };
  await writeRows(path.join(data, "training.jsonl"), opened.data.training, rows);
  if (facts.hasEvaluation) {
    await writeRows(path.join(data, "evaluation.jsonl"), opened.data.evaluation, rows);
  }
  const { base } = opened;
  const configText = savedConfig(parts.adapter.config.text, base);
  const begun = path.join(folder, "adapter");
  await mkdir(begun);
  const { parameters, config: ownConfig } = parts.adapter;
  const form = { parameters, values: parts.values, fields: {}, config: ownConfig };
  await writeAdapterForm(begun, form, { configText, base: base.base });
  await writeRunConfig(folder, config);
  const job = trainingJob(config, facts);
  await writeFile(path.join(folder, "job.json"), `${JSON.stringify(job, null, 2)}\n`);
  const readme = jobReadme(config, job, jobNotes(config, facts, plain));
  await writeFile(path.join(folder, "README.md"), readme);
  const templates = mediaFolder("training-job");
  for (const name of await readdir(templates)) {
    await copyFile(path.join(templates, name), path.join(folder, name));
  }
}

async function factsOf(
  { config, run }: JobRequest,
  { data }: OpenedRun,
  { adapter, model, evaluation, loss }: ModelParts,
): Promise<JobFacts> {
  const task = taskOf(model);
  return {
    base: baseOf(config.base),
    task,
    labels: task === "causal" ? null : labelsOf(data, model),
    loss,
    hasEvaluation: config.settings.evaluateEvery > 0 && data.evaluation.count > 0,
    hasDropout: evaluation !== model,
    learnsFirstToken: task === "causal" && adapter.predictsFirst === true,
    hasTasks: adapter.tasks !== undefined,
    losses: run === undefined ? {} : await lossesOf(run),
  };
}

function taskOf(model: Model): JobTask {
  const { task } = headOf(model);
  const isText = model.kind === "causal" || model.kind === "encoder";
  if (isText && task === "language-modeling") return "causal";
  if (isText && (task === "sequence-classification" || task === "token-classification")) {
    return task;
  }
  throw unsupported(
    t("Graft does not export jobs of models for {0} yet", task.replaceAll("-", " ")),
    t("Train it here, or choose a decoder or a classifier."),
  );
}

/** Names where the data have as many as the head has outputs. */
function labelsOf({ labels }: Dataset, model: Model): string[] {
  const { width } = headOf(model);
  return Array.from({ length: width }, (_, id) => labels[id] ?? `LABEL_${id}`);
}

/** A snapshot of the Hub's cache is known by its repository and commit. */
function baseOf(folder: string): JobBase {
  const whole = path.resolve(folder);
  const isSnapshot = path.basename(path.dirname(whole)) === "snapshots";
  const id = isSnapshot ? repoIdOf(whole) : null;
  return { path: whole, id, revision: id === null ? null : path.basename(whole) };
}

async function lossesOf(run: string): Promise<Record<string, number>> {
  const losses: Record<string, number> = {};
  for await (const event of readEvents(run)) {
    if (event.kind === "step") losses[event.step] = event.loss;
  }
  return losses;
}
