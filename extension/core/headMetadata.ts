/**
 * Names of a trained head's labels and what they are, in the metadata of the adapter's safetensors file: PEFT has
 * no place for them, and reads over it.
 */
import { z } from "zod";
import type { ModelConfig } from "./checkpoint/modelConfig.ts";
import { labelNames } from "./models/labels.ts";
import { headOf, type ModelStack } from "./models/model.ts";
import { problemTypes } from "./models/problem.ts";
import type { HeadWish } from "./models/taskClass.ts";

const [namesKey, problemKey] = ["id2label", "problem_type"] as const;

const labels = z.record(z.string().regex(/^\d+$/), z.string());
const problems = z.enum(problemTypes);

/** What is written with an adapter of this model; nothing of one without labels. */
export function headMetadata(model: ModelStack, config: ModelConfig): Record<string, string> {
  const { task } = headOf(model);
  const labelled = ["sequence-classification", "token-classification", "image-classification"];
  if (!labelled.includes(task)) return {};
  const problem = problems.safeParse(config.raw[problemKey]);
  return {
    [namesKey]: JSON.stringify(Object.fromEntries(labelNames(config).entries())),
    ...(problem.success && { [problemKey]: problem.data }),
  };
}

/** The head that a file's metadata tells of; undefined where they tell of none. */
export function headIn(metadata: Readonly<Record<string, string>>): HeadWish | undefined {
  const named = labels.safeParse(parsed(metadata[namesKey]));
  if (!named.success) return undefined;
  const count = Object.keys(named.data).length;
  const names = Array.from({ length: count }, (_, id) => named.data[String(id)]);
  if (count === 0 || !names.every((name) => name !== undefined)) return undefined;
  const problem = problems.safeParse(metadata[problemKey]);
  return { labels: names, problem: problem.success ? problem.data : null, isNew: false };
}

function parsed(text: string | undefined): unknown {
  try {
    return text === undefined ? undefined : (JSON.parse(text) as unknown);
  } catch {
    return undefined;
  }
}
