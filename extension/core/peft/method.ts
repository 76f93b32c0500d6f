import { t } from "@vscode/l10n";
import type { z } from "zod";
import type { Multiply } from "../base/matrix.ts";
import type { AdapterCheckpoint } from "../checkpoint/adapterCheckpoint.ts";
import type { AdapterConfig } from "../checkpoint/adapterConfig.ts";
import type { ModelConfig } from "../checkpoint/modelConfig.ts";
import type { ModuleTree } from "../checkpoint/modules.ts";
import type { LinearGroup } from "../onnx/layerHook.ts";
import type { AdapterLayer } from "./adapterLayers.ts";
import type { AdapterEffects } from "./effect.ts";

/** Sizes of a base's attention, for methods that bring keys and values of their own. */
export interface AttentionShape {
  readonly layers: number;
  readonly heads: number;
  readonly keyValueHeads: number;
  readonly headDim: number;
}

/** A base model as methods see it: its modules, and its weights for those that depend on them. */
export interface MethodBase {
  /** `model_type` of config.json: PEFT's default targets go by it. */
  readonly modelType: string;
  /** config.json as it is. */
  readonly config: ModelConfig;
  readonly tree: ModuleTree;
  /** Modules of the model that an ONNX export was not found to have. */
  readonly absent?: readonly string[];
  readonly groups: readonly LinearGroup[];
  readonly attention: AttentionShape;
  /** True where an encoder reads the prompt and a decoder writes the answer. */
  readonly hasEncoder?: boolean;
  /** Of a base that only encodes: can keys and values stand before its sequence? */
  readonly encoder?: { readonly takesPrefix: boolean };
  /** Products of large matrices, as quick as this machine has them; `multiply` of base/matrix.ts when absent. */
  readonly multiply?: Multiply;
  /** A tensor of the base as fp32, by its Hugging Face name; null when there is none. */
  readTensor(name: string, signal?: AbortSignal): Promise<Float32Array | null>;
  /** The same base with its layers in another order or repeated, sharing their weights. */
  withLayers(layers: readonly number[]): MethodBase;
}

/** What an adapter finds in a base, from headers alone. */
export interface BindReport {
  /** Modules that the config targets or the file has tensors for. */
  readonly total: number;
  /** Paths of modules that are targeted and have all their tensors. */
  readonly bound: readonly string[];
  /** Targeted modules without tensors: PEFT leaves them at their initial value. */
  readonly unbound: readonly string[];
  /** Tensors that no targeted module takes, as the file spells them: PEFT ignores them. */
  readonly unexpected: readonly string[];
}

/** One row of the inspector's grid, known without a base. */
export interface ModuleSummary {
  readonly path: string;
  readonly parameters: number;
  readonly rank: number | null;
  readonly alpha: number | null;
  readonly scaling: number | null;
  /** [in, out] features; null where the tensors do not tell. */
  readonly shape: readonly [number, number] | null;
  readonly dtype: string;
}

/** A field of a method's config, for forms and the inspector. */
export interface FieldInfo {
  readonly meaning: string;
  readonly default: unknown;
}

/** Fields that every method's config has (PEFT's PeftConfigMixin and PeftConfig). */
export const commonFields: Readonly<Record<string, FieldInfo>> = {
  peft_type: { default: null, meaning: t("The method.") },
  task_type: { default: null, meaning: t("What the model is used for.") },
  base_model_name_or_path: {
    default: null,
    meaning: t("The base that the adapter was trained on."),
  },
  revision: { default: null, meaning: t("Revision of the base on the Hub.") },
  inference_mode: { default: false, meaning: t("Saved for inference: no parameter is trainable.") },
  auto_mapping: {
    default: null,
    meaning: t("Class of the base, for adapters without a task type."),
  },
  peft_version: { default: null, meaning: t("Version of PEFT that wrote the file.") },
};

/** How many parameters an adapter has, as PEFT's `get_nb_trainable_parameters` counts them. */
export interface ParameterCounts {
  /** Trainable in the training that made the adapter. */
  readonly trained: number;
  /** Trainable when it is loaded to train on: without what saving dropped. */
  readonly trainable: number;
  /** What PEFT leaves trainable when it loads for inference: biases of the base, prompts. */
  readonly alwaysTrainable: number;
  /** What it adds to the base's own, trainable or not. */
  readonly added: number;
  /** Numbers in the file. */
  readonly stored: number;
}

/** An adapter in memory. */
export interface LoadedWeights {
  readonly effects: AdapterEffects;
  /** The adapter's size as people quote it: `counts.trained`. */
  readonly parameters: number;
  readonly counts: ParameterCounts;
  /** Layers that it puts into the model, in the model's order; none for prompts. */
  readonly layers: readonly AdapterLayer[];
  /** Sentences about what is unusual in config or values. */
  readonly warnings: readonly string[];
}

/** A module of an adapter whose values are read when they are asked for. */
export interface OpenedModule {
  readonly path: string;
  /** Numbers in the file. */
  readonly parameters: number;
  /** What is done to this module alone. @throws misfit when it needs what the base has not */
  effects(): Promise<AdapterEffects>;
}

/** An adapter on a base, module by module: all of it is never in memory. */
export interface OpenedModules {
  readonly report: BindReport;
  /** With its layers in the order in which the adapter runs them. */
  readonly base: MethodBase;
  readonly modules: readonly OpenedModule[];
  readonly activation?: AdapterEffects["activation"];
}

/** A PEFT method: one file each. */
export interface Method {
  readonly peftType: string;
  readonly fields: Readonly<Record<string, FieldInfo>>;
  /** What `check` takes, as far as a schema can say it. */
  readonly schema: z.ZodType;
  /** Validates the config and refuses, by name, an option that this version does not run. */
  check(config: AdapterConfig): void;
  /** Rank for people; null where the method has none. */
  rank(config: AdapterConfig): number | null;
  summarize(adapter: AdapterCheckpoint): ModuleSummary[];
  /** Finds the adapter's modules in a base. @throws misfit when shapes disagree */
  bind(adapter: AdapterCheckpoint, base: MethodBase): BindReport;
  load(adapter: AdapterCheckpoint, base: MethodBase, signal?: AbortSignal): Promise<LoadedWeights>;
  /** The same for whoever looks at one module after another; absent where there are no modules. */
  open?(adapter: AdapterCheckpoint, base: MethodBase, signal?: AbortSignal): Promise<OpenedModules>;
  /** Modules whose sizes follow from the file alone; absent where there are no modules. */
  sizes?(
    adapter: AdapterCheckpoint,
  ): readonly { path: string; kind: "linear" | "embedding"; in: number; out: number }[];
}
