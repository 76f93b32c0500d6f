/** A frozen base, opened to be trained around. */
import { t } from "@vscode/l10n";
import { type AdapterStart, configOf } from "./adapterStart.ts";
import { describeBase } from "./baseModel.ts";
import { unsupported } from "./base/errors.ts";
import type { OnProgress } from "./base/progress.ts";
import type { BaseCheckpoint } from "./checkpoint/baseCheckpoint.ts";
import { headIn } from "./headMetadata.ts";
import { type HeadWish, type TaskName, taskNamed, taskOfType } from "./models/taskClass.ts";
import { isExport } from "./onnxExport/findExport.ts";
import type { MethodBase } from "./peft/method.ts";
import { openModel, type PrecisionOptions, preparePrecision } from "./precision.ts";
import type { TaskWish } from "./taskHead.ts";

/** Nothing of it is loaded until a session is made. */
export interface TrainingBase {
  readonly checkpoint: BaseCheckpoint;
  readonly base: MethodBase;
  /** Lets go of weights that were made for it; sessions are closed before. */
  dispose(): Promise<void>;
}

export interface TrainingBaseOptions extends PrecisionOptions {
  /** What the base is to be for, where its config names another class. */
  readonly task?: TaskName | undefined;
  /** Labels that the data have, of a task with some; the base's own when absent. */
  readonly head?: HeadWish | undefined;
  /** The base is measured with: rounded weights that are not at hand need not be made. */
  readonly sizesOnly?: boolean;
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
  const { task, head, sizesOnly, onProgress, signal, ...precision } = options;
  if (await isExport(folder)) {
    throw unsupported(
      t("{0} is an ONNX export, which is not trained on", folder),
      t("Choose the model's Hugging Face checkpoint."),
    );
  }
  onProgress?.({ step: t("Reading headers") });
  const opened = await openModel(folder, signal, wishOf(adapter, task, head));
  const described = describeBase(opened.checkpoint);
  const at = { options: precision, sizesOnly, onProgress, signal };
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
