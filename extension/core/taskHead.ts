/** Which class of its family a base is opened as, and the head that its files may lack. */
import { t } from "@vscode/l10n";
import { isSameShape, type Shape } from "./base/shape.ts";
import { openAdapterCheckpoint } from "./checkpoint/adapterCheckpoint.ts";
import type { BaseCheckpoint } from "./checkpoint/baseCheckpoint.ts";
import { adapterFolders, type HubPlace } from "./checkpoint/findAdapter.ts";
import type { ModelConfig } from "./checkpoint/modelConfig.ts";
import { isTied, type ModuleInfo, storedShape } from "./checkpoint/modules.ts";
import { describeConfig } from "./models/describeConfig.ts";
import { headIn } from "./headMetadata.ts";
import { architectureOf } from "./models/index.ts";
import { labelCount } from "./models/labels.ts";
import { type Head, headOf, type Task } from "./models/model.ts";
import {
  classFor,
  configFor,
  type HeadWish,
  type TaskName,
  taskNamed,
  taskOfType,
  withHead,
  withLabelCount,
} from "./models/taskClass.ts";
import type { TensorEntry } from "./safetensors/header.ts";

/** What a base is to be for, and who says so. */
export interface TaskWish {
  readonly task: Task;
  /** False where an adapter's `task_type` says it: a family without such a class stays as it is. */
  readonly isAsked: boolean;
  /** Of the adapter that brings the head; null where none is known. */
  readonly tensors: readonly TensorEntry[] | null;
  /** A head with labels that is to be trained, or that an adapter tells of. */
  readonly head?: HeadWish | undefined;
}

/** The wish of an options object and of an adapter that will be loaded; null for none. */
export async function taskWish(
  adapter: string | null,
  { task: asked, signal, ...options }: HubPlace & { task?: TaskName; signal?: AbortSignal },
): Promise<TaskWish | null> {
  const named = asked === undefined ? null : taskNamed(asked);
  if (adapter === null) return named && { task: named, isAsked: true, tensors: null };
  // Those say where the base is.
  const place = { ...options, revision: undefined, subfolder: undefined };
  const { folder } = await adapterFolders(adapter, place);
  const { config, weights } = await openAdapterCheckpoint(folder, signal);
  const task = named ?? taskOfType(config.taskType);
  const head = headIn(weights.metadata);
  return task && { task, isAsked: named !== null, tensors: weights.tensors, head };
}

/** A config as the class that is wished for. @throws unsupported when a task that was asked for has none */
export function classWished(config: ModelConfig, wish: TaskWish | null): ModelConfig {
  if (wish === null) return config;
  if (!wish.isAsked && (classFor(config, wish.task) === null || fitsAsItIs(config, wish))) {
    return config;
  }
  return configFor(config, wish.task);
}

/** A class with a head writes text as it is; features are of the bare stack, or of any class by name. */
function fitsAsItIs(config: ModelConfig, { task, tensors }: TaskWish): boolean {
  const { own } = architectureOf(config).backbone;
  if (task === "language-modeling") return own !== "";
  if (task !== "feature-extraction" || own === "") return false;
  return tensors?.some(({ name }) => name.startsWith(`base_model.model.${own}.`)) ?? false;
}

/**
 * A checkpoint with as many labels as its adapter has, and with zeros in place of what its head
 * lacks: transformers draws those numbers anew, `modules_to_save` brings them.
 */
export function withWishedHead(checkpoint: BaseCheckpoint, wish: TaskWish): BaseCheckpoint {
  if (wish.task === "language-modeling") return checkpoint;
  const head = headOf(describeConfig(checkpoint));
  const trained = head.task === wish.task ? wish.head : undefined;
  const labels = labelsOf(wish, head.paths.at(-1)) ?? trained?.labels.length ?? null;
  const counted =
    labels === null || head.task === "question-answering"
      ? checkpoint.config
      : withLabelCount(checkpoint.config, labels);
  const isNamed = trained?.labels.length === labelCount(counted);
  const config = trained && isNamed ? withHead(counted, trained) : counted;
  const sized = { ...checkpoint, config };
  const weights = new Map(checkpoint.weights);
  const empty = new Map<string, Shape>();
  for (const [name, shape] of headTensors(sized)) {
    const ref = weights.get(name);
    // A head with other labels than the adapter's is replaced whole.
    const isReplaced = trained?.isNew === true && isHeadTensor(name, head);
    if (ref && !isReplaced && (labels === null || isSameShape(ref.shape, shape))) continue;
    if (checkpoint.packed?.has(name)) continue;
    weights.delete(name);
    empty.set(name, shape);
  }
  return empty.size === 0 ? sized : { ...sized, weights, empty };
}

/** Rows of the head's last layer as an adapter stores it whole; null where it has none. */
function labelsOf({ tensors }: TaskWish, path: string | undefined): number | null {
  if (path === undefined || tensors === null) return null;
  const own = new RegExp(
    `^base_model\\.(model\\.)?${path.replaceAll(".", "\\.")}(\\.modules_to_save|\\.base_layer)?\\.weight$`,
  );
  return tensors.find(({ name }) => own.test(name))?.shape[0] ?? null;
}

/** Tensors of the task's own layers, and of a pooler in front of them. */
function headTensors(checkpoint: BaseCheckpoint): [name: string, shape: Shape][] {
  const model = describeConfig(checkpoint);
  const { paths } = headOf(model);
  const isHead = ({ path }: ModuleInfo): boolean =>
    paths.includes(path) || (paths.length > 0 && /(^|\.)pooler\.dense$/.test(path));
  return model.tree.modules.filter(isHead).flatMap((module) => tensorsOf(module));
}

function isHeadTensor(name: string, { paths }: Head): boolean {
  return paths.some((path) => name.startsWith(`${path}.`));
}

function tensorsOf(module: ModuleInfo): [name: string, shape: Shape][] {
  if (module.kind === "embedding") return [];
  const { path, out, hasBias = false } = module;
  const weight = module.kind === "linear" ? storedShape(module) : [out];
  const bias: [string, Shape][] = hasBias ? [[`${path}.bias`, [out]]] : [];
  return isTied(module) ? bias : [[`${path}.weight`, weight], ...bias];
}

/** Sentences on a head whose numbers nobody has brought. */
export function emptyHeadWarnings(
  { name, empty, config }: BaseCheckpoint,
  wish: TaskWish | null,
): string[] {
  if (!empty) return [];
  const brought = new Set(
    wish?.tensors?.map((tensor) =>
      tensor.name.replace(/^base_model\.(model\.)?/, "").replace(/\.modules_to_save\./, "."),
    ),
  );
  const missing = [...empty.keys()].filter((each) => !brought.has(each));
  if (missing.length === 0) return [];
  const from = wish?.tensors
    ? t("neither are they in the adapter")
    : t("they come from an adapter");
  const others = missing.length > 4 ? t(" and {0} more", missing.length - 4) : "";
  return [
    t(
      "{0} has no weights for the head of {1} ({2}{3}): {4}, and are zeros {5}.",
      name,
      config.architecture,
      missing.slice(0, 4).join(", "),
      others,
      from,
      wish?.tensors ? "now" : t("without one"),
    ),
  ];
}
