/**
 * Multitask prompt tuning (PEFT tuners/multitask_prompt_tuning/model.py): one prompt for all, times a
 * low-rank matrix for the task of each text.
 */
import { tokenEmbedding } from "../prompt/config.ts";
import {
  type MultitaskConfig,
  multitaskPromptTuning as method,
} from "../prompt/multitaskPromptTuning.ts";
import { storedPrompt } from "../prompt/virtualTokens.ts";
import { normal } from "./draws.ts";
import { promptForm } from "./promptForm.ts";
import { beforeEach, rowFields } from "./promptRows.ts";
import { beginningRows } from "./promptTuning.ts";
import { refuseField } from "./refuse.ts";

const [columns, rows] = ["prefix_task_cols", "prefix_task_rows"] as const;

export const multitaskPromptTuning = promptForm<MultitaskConfig>({
  method,
  predictsFirst: true,
  fields: rowFields,
  tasks: ({ config }) => config.num_tasks,
  check: ({ config, file }) => {
    // The others begin with a prompt of another run, which stands in a file.
    if (["RANDOM", "TEXT"].includes(config.prompt_tuning_init)) return;
    refuseField(file, "prompt_tuning_init", "MULTITASK_PROMPT_TUNING");
  },
  tensors: ({ config, base }) => {
    const { num_tasks: tasks, num_ranks: ranks, num_virtual_tokens: count } = config;
    const { out: hidden } = tokenEmbedding(base);
    return [
      { name: columns, stored: columns, shape: [tasks, count, ranks], isTrained: true },
      { name: rows, stored: rows, shape: [tasks, ranks, hidden], isTrained: true },
      { name: "embedding.weight", stored: storedPrompt, shape: [count, hidden], isTrained: true },
    ];
  },
  initialize: async (context, options) => {
    const { num_tasks: tasks, num_ranks: ranks, num_virtual_tokens: count } = context.config;
    const { out: hidden } = tokenEmbedding(context.base);
    const prompt = await beginningRows(context, options);
    const small = [0, 0.02] as const;
    return new Map([
      [storedPrompt, prompt],
      [columns, normal(options.random, [tasks, count, ranks], small)],
      [rows, normal(options.random, [tasks, ranks, hidden], small)],
    ]);
  },
  hook: (context, values) =>
    beforeEach(context, (g) => {
      const tasks = values.tasks(g);
      const own = g.matMul(
        g.gather(values.own(g, columns), tasks),
        g.gather(values.own(g, rows), tasks),
      );
      return g.mul(own, values.prompt(g));
    }),
});
