import { t } from "@vscode/l10n";
import { badRequest } from "../base/errors.ts";
import type { TrainableAdapter } from "../peft/trainable/trainable.ts";
import { taskIdsName } from "../peft/trainable/names.ts";
import { int64Tensor, type Tensor } from "../session/ortSession.ts";
import type { Batch, Split } from "./data/batch.ts";

/** @throws bad-request where texts do not say which of the adapter's tasks they are of */
export function checkTasks({ tasks: count = 1 }: TrainableAdapter, split: Split): void {
  const { tasks, count: all } = split;
  if (count <= 1) return;
  if (!tasks || tasks.missing > 0) {
    throw badRequest(
      t(
        "The adapter has {0} tasks, and {1} texts do not say which they are of. Give each record a field “task” with a number from 0, and train without packing.",
        count,
        tasks?.missing ?? all,
      ),
    );
  }
  if (tasks.largest < count) return;
  throw badRequest(
    t("A text is of task {0}; the adapter has {1}, counted from 0.", tasks.largest, count),
  );
}

/** The input of each text's task; all are of the only one where there is one. */
export function taskFeeds(
  { tasks: count }: TrainableAdapter,
  { tasks, rows }: Batch,
): Record<string, Tensor> {
  if (count === undefined) return {};
  const ids = tasks && count > 1 ? Array.from(tasks) : new Array<number>(rows).fill(0);
  return { [taskIdsName]: int64Tensor(ids, [rows]) };
}
