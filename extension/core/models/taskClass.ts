/** A checkpoint's config as that of another class of its family: transformers' AutoModelFor… */
import { t } from "@vscode/l10n";
import { badRequest, unsupported } from "../base/errors.ts";
import type { ModelConfig } from "../checkpoint/modelConfig.ts";
import { type Architecture, architectureIn, architecturesOf, taskOfClass } from "./architecture.ts";
import { families } from "./index.ts";
import { labelCount } from "./labels.ts";
import { type Task, tasks } from "./model.ts";
import type { ProblemType } from "./problem.ts";

/** PEFT's task types that stand for a class with a head of its own. */
const taskTypes = {
  SEQ_CLS: "sequence-classification",
  TOKEN_CLS: "token-classification",
  QUESTION_ANS: "question-answering",
  FEATURE_EXTRACTION: "feature-extraction",
  CAUSAL_LM: "language-modeling",
} as const satisfies Record<string, Task>;

/** A task, or PEFT's name of one. */
export type TaskName = Task | keyof typeof taskTypes;

/** The task of a PEFT `task_type`; null for one that Graft has no class for. */
export function taskOfType(taskType: string | null): Task | null {
  return (Object.entries(taskTypes).find(([name]) => name === taskType) ?? [])[1] ?? null;
}

/** @throws bad-request for what is no task */
export function taskNamed(name: string): Task {
  const found = taskOfType(name) ?? tasks.find((task) => task === name);
  if (found) return found;
  throw badRequest(
    t('"{0}" is no task: {1} are.', name, [...tasks, ...Object.keys(taskTypes)].join(", ")),
  );
}

/** The class that a config's family has for a task; null for none. */
export function classFor(config: ModelConfig, task: Task): Architecture | null {
  const family = families.find(({ modelType }) => modelType === config.modelType);
  const found = family && architecturesOf(family).find(({ name }) => taskOfClass(name) === task);
  return found ?? null;
}

/**
 * The config as that of its family's class for a task; as it is where it is that class already.
 * @throws unsupported when the family has none
 */
export function configFor(config: ModelConfig, task: Task): ModelConfig {
  const own = architectureIn(families, config);
  if (taskOfClass(own.name) === task) return config;
  const found = classFor(config, task);
  if (!found) {
    throw unsupported(
      t('{0}: Graft has no class for {1} of "{2}"', config.file, task, config.modelType),
    );
  }
  const raw = { ...config.raw, architectures: [found.name] };
  return { ...config, architecture: found.name, raw };
}

/** A classifier's head that is to be trained. */
export interface HeadWish {
  /** Names of its labels by id. */
  readonly labels: readonly string[];
  readonly problem: ProblemType | null;
  /** True where the base's own head is not gone on with, even if it has as many labels. */
  readonly isNew: boolean;
}

/** The config with the labels and the problem of a head. */
export function withHead(config: ModelConfig, { labels, problem }: HeadWish): ModelConfig {
  const { num_labels: _, label2id: __, ...rest } = config.raw;
  const id2label = Object.fromEntries(labels.map((name, id) => [String(id), name]));
  return {
    ...config,
    raw: { ...rest, id2label, ...(problem !== null && { problem_type: problem }) },
  };
}

/** The config with another number of labels, whose names it then does not know. */
export function withLabelCount(config: ModelConfig, count: number): ModelConfig {
  if (labelCount(config) === count) return config;
  const { id2label: _, label2id: __, ...rest } = config.raw;
  return { ...config, raw: { ...rest, num_labels: count } };
}
