/**
 * Prompt tuning (https://arxiv.org/abs/2104.08691; PEFT tuners/prompt_tuning): trained embeddings in
 * front of the prompt's. Text or sampled tokens only begin the training; the file holds the result.
 */
import { t } from "@vscode/l10n";
import { z } from "zod";
import { GraftError } from "../../base/errors.ts";
import type { FieldInfo } from "../method.ts";
import { promptFieldInfo, promptFields } from "./config.ts";
import { promptMethod } from "./prompt.ts";
import { promptRows, storedRows } from "./virtualTokens.ts";

const initialisations = ["TEXT", "SAMPLE_VOCAB", "RANDOM"] as const;

const schema = z.looseObject({
  ...promptFields,
  prompt_tuning_init: z
    .enum(initialisations, t("It must be {0}.", initialisations.join(", ")))
    .default("RANDOM"),
  prompt_tuning_init_text: z.string().nullish(),
  tokenizer_name_or_path: z.string().nullish(),
});

/** Fields that prompt tuning and its multitask form share. */
export const promptTuningFields: Readonly<Record<string, FieldInfo>> = {
  ...promptFieldInfo,
  prompt_tuning_init: { default: "RANDOM", meaning: t("What the training began with.") },
  prompt_tuning_init_text: { default: null, meaning: t("The text that the training began with.") },
  tokenizer_name_or_path: { default: null, meaning: t("Tokenizer of that text.") },
  tokenizer_kwargs: { default: null, meaning: t("Options of that tokenizer.") },
};

export const promptTuning = promptMethod<z.infer<typeof schema>>({
  peftType: "PROMPT_TUNING",
  schema,
  fields: promptTuningFields,
  check: (config, { file }) => {
    if (config.prompt_tuning_init !== "TEXT") return;
    for (const field of ["tokenizer_name_or_path", "prompt_tuning_init_text"] as const) {
      if (config[field]) continue;
      throw new GraftError(
        "bad-file",
        t('{0}: field "{1}" is missing, prompt_tuning_init TEXT needs it.', file, field),
        { file, field },
      );
    }
  },
  tensors: promptRows,
  effects: storedRows,
});
