/**
 * Multitask prompt tuning (https://arxiv.org/abs/2303.02861; PEFT tuners/multitask_prompt_tuning):
 * one shared prompt P, times a low-rank matrix a task: P ⊙ (columns[task] · rows[task]).
 */
import { t } from "@vscode/l10n";
import { z } from "zod";
import { multiply } from "../../base/matrix.ts";
import { wholeNumber } from "../tuner/config.ts";
import { promptFields, submodules } from "./config.ts";
import { promptMethod } from "./prompt.ts";
import { promptTuningFields } from "./promptTuning.ts";
import { promptRows, storedPrompt, virtualTokens } from "./virtualTokens.ts";

const initialisations = [
  "TEXT",
  "RANDOM",
  "AVERAGE_SOURCE_TASKS",
  "EXACT_SOURCE_TASK",
  "ONLY_SOURCE_SHARED",
] as const;

const schema = z.looseObject({
  ...promptFields,
  prompt_tuning_init: z
    .enum(initialisations, t("It must be {0}.", initialisations.join(", ")))
    .default("RANDOM"),
  num_ranks: wholeNumber.nullish().transform((value) => value ?? 1),
  num_tasks: wholeNumber.nullish().transform((value) => value ?? 1),
});

export type MultitaskConfig = z.infer<typeof schema>;

export const multitaskPromptTuning = promptMethod<MultitaskConfig>({
  peftType: "MULTITASK_PROMPT_TUNING",
  schema,
  fields: {
    ...promptTuningFields,
    prompt_tuning_init_state_dict_path: { default: null, meaning: t("File of the source prompt.") },
    prompt_tuning_init_task: {
      default: 0,
      meaning: t("Source task that the training began with."),
    },
    num_ranks: { default: 1, meaning: t("Rank of each task's matrix.") },
    num_tasks: { default: 1, meaning: t("How many tasks share the prompt.") },
  },
  tensors: (context) => {
    const { num_tasks: tasks, num_ranks: ranks, num_virtual_tokens: tokens } = context.config;
    const count = tokens * submodules(context.config, context);
    const rows = promptRows(context);
    const hidden = rows[storedPrompt]?.[1] as number;
    return {
      ...rows,
      prefix_task_cols: [tasks, count, ranks],
      prefix_task_rows: [tasks, ranks, hidden],
    };
  },
  effects: (context, tensors) => {
    const { config, base } = context;
    const { num_tasks: tasks, num_ranks: inner, num_virtual_tokens: count } = config;
    const rows = count * submodules(config, context);
    const shared = tensors.values(storedPrompt);
    const columns = shared.length / rows;
    const left = tensors.values("prefix_task_cols");
    const right = tensors.values("prefix_task_rows");
    const prompts = Array.from({ length: tasks }, (_, task) => {
      const product = multiply(
        left.subarray(task * rows * inner, (task + 1) * rows * inner),
        right.subarray(task * inner * columns, (task + 1) * inner * columns),
        { rows, inner, columns },
      );
      const own = shared.map((value, i) => value * (product[i] as number));
      return own.subarray(0, count * columns);
    });
    return virtualTokens(base, prompts);
  },
  warnings: ({ num_tasks: tasks, num_transformer_submodules: stacks }) => [
    ...(tasks === 1
      ? []
      : [t("The adapter has {0} tasks; the first is used where none is named.", tasks)]),
    ...(stacks === 2
      ? [
          t(
            "PEFT trains with a part of the prompt before the answer as well, and answers without it.",
          ),
        ]
      : []),
  ],
});
