import type { ModuleTree } from "../checkpoint/modules.ts";
import type { Graph } from "../onnx/graph.ts";
import type { LinearGroup } from "../onnx/layerHook.ts";
import type { CausalModel } from "./causalModel.ts";
import type { EncoderModel } from "./encoderModel.ts";
import type { ImageModel } from "./imageModel.ts";
import type { Seq2SeqModel } from "./seq2seqModel.ts";

/** A model's graph and how it is run: `kind` says which session knows to. */
export type Model = CausalModel | EncoderModel | Seq2SeqModel | ImageModel;

/** What every kind of model has. */
export interface ModelStack {
  readonly graph: Graph;
  readonly tree: ModuleTree;
  /** Layers that share an input, in the order of computation: what the layer hook was given. */
  readonly groups: readonly LinearGroup[];
  readonly layers: number;
  readonly keyValueHeads: number;
  /** Query heads that share one key head. */
  readonly queriesPerKey: number;
  readonly headDim: number;
  readonly vocabulary: number;
  /** The longest sequence that the model was made for, in tokens. */
  readonly contextLength: number;
  /** What the outputs mean; a language model's next token when absent. */
  readonly head?: Head;
}

/** What a model is for. */
export const tasks = [
  "language-modeling",
  "masked-language-modeling",
  "sequence-classification",
  "token-classification",
  "question-answering",
  "feature-extraction",
  "image-classification",
] as const;

export type Task = (typeof tasks)[number];

/** What a model's outputs mean. */
export interface Head {
  readonly task: Task;
  /** Size of each output: labels, 2 for the two ends of an answer, or the hidden size. */
  readonly width: number;
  /** Paths of the linear layers that are the task's own: a checkpoint of another task lacks them. */
  readonly paths: readonly string[];
  /** Of a class that is read at the last token: the id that is padding, where there is one. */
  readonly padding?: number | null;
}

/** The head of a model; without one of its own it is a language model's. */
export function headOf({ head, vocabulary }: ModelStack): Head {
  return head ?? { task: "language-modeling", width: vocabulary, paths: [] };
}
