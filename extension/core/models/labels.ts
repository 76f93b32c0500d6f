import { z } from "zod";
import { parseFields } from "../base/json.ts";
import type { ModelConfig } from "../checkpoint/modelConfig.ts";

const fields = z.looseObject({
  num_labels: z.int().positive().nullish(),
  id2label: z.record(z.string(), z.string()).nullish(),
});

/** How many labels a classifier has: transformers' PreTrainedConfig has 2 when it says nothing. */
export function labelCount(config: ModelConfig): number {
  const { num_labels: count, id2label } = parseFields(fields, config.raw, config.file);
  return id2label ? Object.keys(id2label).length : (count ?? 2);
}

/** The labels' names in the order of the outputs; "LABEL_0" and so on where the config has none. */
export function labelNames(config: ModelConfig): string[] {
  const { id2label } = parseFields(fields, config.raw, config.file);
  return Array.from(
    { length: labelCount(config) },
    (_, i) => id2label?.[String(i)] ?? `LABEL_${i}`,
  );
}
