/**
 * CPT, context-aware prompt tuning (https://arxiv.org/abs/2410.17222; PEFT tuners/cpt): the
 * embeddings of example tokens, each moved a bounded way. The file holds the moved embeddings.
 */
import { t } from "@vscode/l10n";
import { z } from "zod";
import { GraftError } from "../../base/errors.ts";
import { promptFieldInfo, promptFields } from "./config.ts";
import { promptMethod } from "./prompt.ts";
import { promptRows, storedRows } from "./virtualTokens.ts";

const orUsual = (usual: number) =>
  z
    .number()
    .nullish()
    .transform((value) => value ?? usual);

const numbers = z.array(z.int()).nullish();

// PEFT counts the virtual tokens by the ids, whatever else the file says.
const schema = z
  .looseObject({
    ...promptFields,
    num_virtual_tokens: z.unknown().optional(),
    cpt_token_ids: numbers.transform((ids) => ids ?? [0]),
    cpt_mask: numbers,
    cpt_tokens_type_mask: numbers,
    opt_weighted_loss_type: z.enum(["none", "decay"]).nullish(),
    opt_loss_decay_factor: orUsual(1),
    opt_projection_epsilon: orUsual(0.1),
    opt_projection_format_epsilon: orUsual(0.1),
  })
  .transform((config) => ({ ...config, num_virtual_tokens: config.cpt_token_ids.length }));

export type CptConfig = z.infer<typeof schema>;

export const cpt = promptMethod<CptConfig>({
  peftType: "CPT",
  schema,
  fields: {
    ...promptFieldInfo,
    cpt_token_ids: { default: null, meaning: t("Ids of the tokens that the prompt began as.") },
    cpt_mask: { default: null, meaning: t("Which of these tokens take part, in training.") },
    cpt_tokens_type_mask: {
      default: null,
      meaning: t("What each token is: template, input, label."),
    },
    opt_weighted_loss_type: { default: "none", meaning: t("Weights of the labels, in training.") },
    opt_loss_decay_factor: { default: 1, meaning: t("How fast these weights fall.") },
    opt_projection_epsilon: { default: 0.1, meaning: t("How far an input token may be moved.") },
    opt_projection_format_epsilon: { default: 0.1, meaning: t("How far a template token may.") },
    tokenizer_name_or_path: { default: null, meaning: t("Tokenizer of the ids.") },
  },
  check: (config, { file, taskType }) => {
    const fail = (field: string, problem: string): Error =>
      new GraftError("bad-file", t('{0}: field "{1}" {2}.', file, field, problem), { file, field });
    if (taskType !== "CAUSAL_LM")
      throw fail("task_type", t("is {0}, CPT needs CAUSAL_LM", String(taskType)));
    for (const field of ["cpt_mask", "cpt_tokens_type_mask"] as const) {
      const count = config[field]?.length ?? config.num_virtual_tokens;
      if (count === config.num_virtual_tokens) continue;
      throw fail(field, t("has {0} entries, cpt_token_ids {1}", count, config.num_virtual_tokens));
    }
  },
  tensors: promptRows,
  effects: storedRows,
  // PEFT keeps the tokens and how far each was moved apart; only the second is trained.
  counts: (_context, stored) => ({ added: 2 * stored }),
});
