/** Trainable tokens (PEFT tuners/trainable_tokens): rows of the input embedding, its tied head's too. */
import { t } from "@vscode/l10n";
import { GraftError } from "../../base/errors.ts";
import type { TableModule } from "../tokenRows.ts";
import { trainableTokens as method } from "../trainableTokens.ts";
import { tokenTable } from "./tokenRows.ts";
import { trainableTuner } from "./tuner.ts";

export const trainableTokens = trainableTuner({
  // The rows are what a table has, not a module: the targets get no tensors of their own.
  method: {
    ...method,
    plan: (config, base) => {
      const plan = method.plan(config, base);
      return { ...plan, targets: plan.targets.map(({ module }) => ({ module, shapes: {} })) };
    },
  },
  check: ({ token_indices: ids }, { raw: { file } }) => {
    if (ids.length > 0) return;
    const field = "token_indices";
    const message = t('{0}: field "token_indices" names no token to train.', file);
    throw new GraftError("bad-file", message, { file, field });
  },
  tokens: ({ config, targets, base, file }) =>
    targets.map(({ module }) => {
      const own = { module: module as TableModule, ids: config.token_indices };
      return tokenTable({ ...own, suffix: "trainable_tokens_delta" }, base, file);
    }),
  initialize: () => ({}),
});
