import { t } from "@vscode/l10n";
import { z } from "zod";
import { parseFields } from "../base/json.ts";
import type { ModelConfig } from "../checkpoint/modelConfig.ts";
import { labelCount } from "./labels.ts";

/** What a classifier learns, in transformers' words (`problem_type` of config.json). */
export const problemTypes = [
  "single_label_classification",
  "multi_label_classification",
  "regression",
] as const;

export type ProblemType = (typeof problemTypes)[number];

const fields = z.looseObject({
  problem_type: z
    .enum(problemTypes, t("Problem types are {0}.", problemTypes.join(", ")))
    .nullish(),
});

/** A config's own problem type, or what one label alone means; null where the labels decide. */
export function problemOf(config: ModelConfig): ProblemType | null {
  const { problem_type: own } = parseFields(fields, config.raw, config.file);
  return own ?? (labelCount(config) === 1 ? "regression" : null);
}
