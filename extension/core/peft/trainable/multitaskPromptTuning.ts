/**
 * Multitask prompt tuning (PEFT tuners/multitask_prompt_tuning/model.py): one prompt for all, times a
 * low-rank matrix for the task of each text.
 */
import { t } from "@vscode/l10n";
import { unsupported } from "../../base/errors.ts";
import type { GraphBuilder } from "../../onnx/builder.ts";
import type { Value } from "../../onnx/graph.ts";
import { tokenEmbedding } from "../prompt/config.ts";
import {
  type MultitaskConfig,
  multitaskPromptTuning as method,
} from "../prompt/multitaskPromptTuning.ts";
import { storedPrompt } from "../prompt/virtualTokens.ts";
import { normal } from "./draws.ts";
import { promptForm } from "./promptForm.ts";
import { beforeEach, part, rowCount, rowFields } from "./promptRows.ts";
import { beginningRows } from "./promptTuning.ts";
import { refuseField } from "./refuse.ts";

const [columns, rows] = ["prefix_task_cols", "prefix_task_rows"] as const;

export const multitaskPromptTuning = promptForm<MultitaskConfig>({
  method,
  predictsFirst: true,
  precedesAnswer: true,
  fields: rowFields,
  tasks: ({ config }) => config.num_tasks,
  check: ({ config, file, taskType }) => {
    if (taskType === "QUESTION_ANS") refuseTask(file);
    // The others begin with a prompt of another run, which stands in a file.
    if (["RANDOM", "TEXT"].includes(config.prompt_tuning_init)) return;
    refuseField(file, "prompt_tuning_init", "MULTITASK_PROMPT_TUNING");
  },
  tensors: (context) => {
    const { num_tasks: tasks, num_ranks: ranks } = context.config;
    const count = rowCount(context);
    const { out: hidden } = tokenEmbedding(context.base);
    return [
      { name: columns, stored: columns, shape: [tasks, count, ranks], isTrained: true },
      { name: rows, stored: rows, shape: [tasks, ranks, hidden], isTrained: true },
      { name: "embedding.weight", stored: storedPrompt, shape: [count, hidden], isTrained: true },
    ];
  },
  initialize: async (context, options) => {
    const { num_tasks: tasks, num_ranks: ranks } = context.config;
    const count = rowCount(context);
    const { out: hidden } = tokenEmbedding(context.base);
    const prompt = await beginningRows(context, options);
    const small = [0, 0.02] as const;
    return new Map([
      [storedPrompt, prompt],
      [columns, normal(options.random, [tasks, count, ranks], small)],
      [rows, normal(options.random, [tasks, ranks, hidden], small)],
    ]);
  },
  hook: (context, values) => {
    // [batch, rows, hidden]: before a text, and behind that before its answer.
    const whole = (g: GraphBuilder): Value => {
      const tasks = values.tasks(g);
      const own = g.matMul(
        g.gather(values.own(g, columns), tasks),
        g.gather(values.own(g, rows), tasks),
      );
      return g.mul(own, values.prompt(g));
    };
    const { num_virtual_tokens: count } = context.config;
    if (rowCount(context) === count) return beforeEach(context, whole);
    const half = (from: number) => (g: GraphBuilder) => part(g, whole(g), { from, count, axis: 1 });
    return beforeEach(context, half(0), { answers: half(count) });
  },
});

/** PEFT's forward for questions does not say which task they are of. */
function refuseTask(file: string): never {
  throw unsupported(
    t("{0}: PEFT does not train {1} for {2}", file, "MULTITASK_PROMPT_TUNING", "QUESTION_ANS"),
    t("Take prompt tuning instead."),
  );
}
