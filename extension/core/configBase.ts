/** Bases as the editor of an adapter_config.json needs them: modules from headers alone, kept while unchanged. */
import { stat } from "node:fs/promises";
import * as path from "node:path";
import { asGraftError, throwIfAborted, unsupported } from "./base/errors.ts";
import { describeBase } from "./baseModel.ts";
import type { BaseCheckpoint } from "./checkpoint/baseCheckpoint.ts";
import type { ModuleInfo, ModuleTree } from "./checkpoint/modules.ts";
import { isExport } from "./onnxExport/findExport.ts";
import type { MethodBase } from "./peft/method.ts";
import { openModel } from "./precision.ts";
import { taskOfType } from "./models/taskClass.ts";
import type { TensorEntry } from "./safetensors/header.ts";
import { t } from "@vscode/l10n";

/** A base from its headers. */
export interface DescribedBase {
  readonly checkpoint: BaseCheckpoint;
  readonly base: MethodBase;
  /** True where the family is unknown and modules are read off the tensors' names. */
  readonly isGuess: boolean;
}

/** Enough for an adapter, its base and a few candidates. */
const mostKept = 8;

/** Bases by folder, task and the time of their config. */
export class DescribedBases {
  private readonly kept = new Map<string, Promise<DescribedBase>>();

  /**
   * @param at the adapter's `task_type` and tensors, which say the class that its base is opened as
   * @throws not-found, bad-file or unsupported, as loading it would
   */
  async get(
    folder: string,
    at: { taskType: string | null; tensors: readonly TensorEntry[] | null; signal?: AbortSignal },
  ): Promise<DescribedBase> {
    const { mtimeMs } = await stat(path.join(folder, "config.json")).catch(() => ({ mtimeMs: 0 }));
    const key = JSON.stringify([folder, mtimeMs, at.taskType, at.tensors?.length ?? null]);
    const known = this.kept.get(key);
    if (known) return known;
    // Not stopped by the caller's signal: whoever asks next wants the same.
    const made = describe(folder, at);
    this.kept.set(key, made);
    made.catch(() => this.kept.delete(key));
    const [oldest] = this.kept.keys();
    if (this.kept.size > mostKept && oldest !== undefined) this.kept.delete(oldest);
    const described = await made;
    throwIfAborted(at.signal);
    return described;
  }
}

async function describe(
  folder: string,
  { taskType, tensors }: { taskType: string | null; tensors: readonly TensorEntry[] | null },
): Promise<DescribedBase> {
  if (await isExport(folder)) {
    throw unsupported(
      t("The modules of the ONNX export {0} are known once it is loaded", path.basename(folder)),
      t("Load it as the base model."),
    );
  }
  const task = taskOfType(taskType);
  const wish = task === null ? null : { task, isAsked: false, tensors };
  try {
    const { checkpoint } = await openModel(folder, undefined, wish);
    return { checkpoint, base: describeBase(checkpoint), isGuess: false };
  } catch (error) {
    if (asGraftError(error).code !== "unsupported") throw error;
    const { checkpoint } = await openModel(folder);
    return { checkpoint, base: guessBase(checkpoint), isGuess: true };
  }
}

/** A base of a family that Graft does not run: its modules are what its tensors' names end before. */
function guessBase(checkpoint: BaseCheckpoint): MethodBase {
  const modules = [...checkpoint.weights].flatMap(([name, { shape }]): ModuleInfo[] => {
    if (!name.endsWith(".weight")) return [];
    const own = name.slice(0, -".weight".length);
    const hasBias = checkpoint.weights.has(`${own}.bias`);
    const [out = 0, inputs] = shape;
    if (inputs === undefined) return [{ kind: "norm", path: own, out, hasBias }];
    if (/(^|\.)(\w*embed\w*|wte|wpe|shared)$/.test(own)) {
      return [{ kind: "embedding", path: own, in: out, out: inputs }];
    }
    return [{ kind: "linear", path: own, in: inputs, out, hasBias }];
  });
  const head = modules.find((module) => /(^|\.)(lm_head|embed_out|output)$/.test(module.path));
  const tree: ModuleTree = { modules, outputEmbedding: head?.path ?? null };
  const { config } = checkpoint;
  const base: MethodBase = {
    modelType: config.modelType,
    config,
    tree,
    groups: [],
    attention: { layers: 0, heads: 0, keyValueHeads: 0, headDim: 0 },
    readTensor: () => Promise.resolve(null),
    withLayers: () => base,
  };
  return base;
}
