/**
 * A PEFT method as it is trained: what its parameters are, what they begin with, and its formula on
 * graph values, as PEFT's forward has it in training. The trainer knows methods only by this.
 */
import type { TorchGenerator } from "../../base/torchRandom.ts";
import type { Shape } from "../../base/shape.ts";
import type { AdapterConfig } from "../../checkpoint/adapterConfig.ts";
import type { GraphBuilder } from "../../onnx/builder.ts";
import type { Value } from "../../onnx/graph.ts";
import type { LayerHook } from "../../onnx/layerHook.ts";
import type { TensorEntry } from "../../safetensors/header.ts";
import type { MethodBase } from "../method.ts";
import type { BeginningWork } from "./eachModule.ts";

/** What a parameter is to the optimizer: LoRA+ gives "b" and "embedding" rates of their own. */
export type ParameterKind = "a" | "b" | "embedding" | "bias" | "other";

/** A tensor of an adapter: a float32 graph input under its own name. */
export interface Parameter {
  /** As PEFT's adapter file spells it, "base_model.model.…lora_A.weight". */
  readonly name: string;
  /** As PEFT's named_parameters() has it without the adapter's name, where that is another. */
  readonly torchName?: string;
  readonly shape: Shape;
  /** False for what is fed and stays as it is. */
  readonly isTrained: boolean;
  /** False for what follows from the base and has no place in the file. */
  readonly isStored: boolean;
  readonly kind: ParameterKind;
  /** Names under which the file has it once more. */
  readonly copies?: readonly string[];
}

/** An adapter that can be put around a base to be trained. */
export interface TrainableAdapter {
  /** The config that is saved with it: defaults and task heads filled in as PEFT fills them in. */
  readonly config: AdapterConfig;
  /** In the order of PEFT's named_parameters(). */
  readonly parameters: readonly Parameter[];
  /** The checkpoint's layers in the order in which the model has them (buildModel); null is each once. */
  readonly layers: readonly number[] | null;
  /** Declares one input for each parameter and puts the formula around the base's layers. */
  readonly hook: LayerHook;
  /** What PEFT decides in silence, or warns of, when it makes such an adapter. */
  readonly warnings?: readonly string[];
  /**
   * The adapter as a file can say it, where what it begins with is neither the base's nor the file's;
   * absent for what is saved as it is.
   */
  readonly plain?: PlainForm;
  /**
   * Name of one more graph input where there is dropout or noise, int64 [1]: another number for every
   * micro-batch, the same number for the same masks and draws; null where nothing is drawn.
   */
  readonly dropoutSeed: string | null;
  /** Parameters that PEFT's forward changes before it computes with them, as they are then: before a step. */
  settle?(values: ParameterValues): ParameterValues;
  /** A number that PEFT's forward adds to the loss, made of the inputs that are parameters; null for none. */
  penalty?(g: GraphBuilder): Value | null;
  /** Multiplications that finding its first values takes, where these are many; absent for most. */
  readonly beginningCost?: number;
  /** What it does between the steps of a run, a new one for each run; null or absent for most. */
  allocator?(): Allocator | null;
  /** Sentences on what the config asks for and a run of so many steps does not do. */
  remarks?(steps: number): readonly string[];
  /** How many tasks it has, each text being of one (`taskIdsName`); absent where there are none. */
  readonly tasks?: number;
  /** A tensor of the file that is made of the parameters, which have no place there themselves. */
  readonly made?: { readonly name: string; make(g: GraphBuilder): Value };
  /** Tokens that a prompt method puts before the sequence, whose rows the hook adds; 0 for others. */
  readonly virtualTokens?: number;
  /** The same before the answer, of a base with encoder and decoder. */
  readonly answerTokens?: number;
  /** Keys and values that the hook puts before an encoder's sequence, which are no rows of it. */
  readonly prefixTokens?: number;
  /** What those tokens themselves are to say, and how much each counts; absent where nothing is learned of them. */
  readonly virtualLabels?: readonly VirtualLabel[];
  /**
   * True where virtual tokens are rows of the output as others are, the last of which predicts the sequence's
   * first token; a prefix in the cache has none.
   */
  readonly predictsFirst?: boolean;
}

/** A label of a virtual token; a token without one has `label` -100. */
export interface VirtualLabel {
  readonly label: number;
  /** Factor on its term of the loss. */
  readonly weight: number;
}

/** Another form of an adapter in files, and back. */
export interface PlainForm {
  /** adapter_config.json of that form. */
  configText(text: string): string;
  saved(values: ParameterValues): SavedForm;
  /** Names of the file's tensors and the values that are made of them, those that are never trained too. */
  read(stored: ParameterValues): ParameterValues;
}

/** Values of parameters by name, row-major. */
export type ParameterValues = ReadonlyMap<string, Float32Array>;

/** An update, as what follows it sees it. */
export interface SeenUpdate {
  /** Updates of the run before this one. */
  readonly step: number;
  /** As the update left them; what is written into them stays. */
  readonly values: ParameterValues;
  /** What the update was made of, clipped. */
  readonly gradients: ParameterValues;
}

/** An adapter as its files have it, where that is not all that is trained. */
export interface SavedForm {
  readonly parameters: readonly Parameter[];
  readonly values: ParameterValues;
  /** Fields of adapter_config.json that follow from the run. */
  readonly fields: Readonly<Record<string, unknown>>;
}

/** What a method does between the steps of a run: AdaLoRA takes ranks away by what it saw. */
export interface Allocator {
  /** Fields of the config that it writes as it goes. */
  readonly fields: readonly string[];
  /** Leaves out of the gradients what no longer learns, in place. */
  beforeUpdate?(gradients: ParameterValues): void;
  afterUpdate(update: SeenUpdate): void;
  /** Of an adapter with these values. */
  saved(values: ParameterValues): SavedForm;
  /** All that a run needs beside its adapter's files to go on as if it had not stopped. */
  memory(values: ParameterValues): ParameterValues;
  /** Takes over a memory. @returns values that it holds and the files do not */
  restore(memory: ParameterValues): ParameterValues;
}

/**
 * What an initialisation asks of training data or of a quantized base. Asked in the order of the
 * model's modules, each once, so that whoever answers need keep only a few at a time.
 */
export interface BeginningData {
  /** Factors that are known already: A, and B where that is not 0. Null for a module that has none. */
  factors(path: string): { readonly a: Float32Array; readonly b?: Float32Array } | null;
  /** Sum over texts of xᵀ x of a layer's inputs, over their number: [in, in]. */
  covariance(path: string): Promise<Float32Array>;
  /** Mean derivative of the loss by a layer's weight [out, in]. */
  gradient(path: string): Promise<Float32Array>;
}

export interface InitializeOptions extends BeginningWork {
  /** PEFT's draws come from one generator, in its order of modules. */
  readonly random: TorchGenerator;
  /** Ids of a text by the base's tokenizer, with special tokens; null where it has none. */
  readonly tokenize?: ((text: string) => Promise<readonly number[] | null>) | undefined;
  /** "restored": values that need data are put in their place afterwards, and begin as zeros. */
  readonly data?: BeginningData | "restored" | undefined;
}

export interface PrepareOptions {
  /** As in evaluation: nothing is left out and nothing is drawn. */
  readonly isQuiet?: boolean;
}

/** A method's training form: one file each. */
export interface TrainableMethod {
  readonly peftType: string;
  /** Why only saved adapters are trained on, and no new ones begun; absent for most. */
  whyNotNew?(): string;
  /** Reads what shapes follow from beside the config, before `prepare`; absent for most. */
  look?(config: AdapterConfig, base: MethodBase, work?: BeginningWork): Promise<void>;
  /** @throws unsupported for what Graft does not train, by name */
  prepare(config: AdapterConfig, base: MethodBase, options?: PrepareOptions): TrainableAdapter;
  /** A file's tensors as PEFT turns them for a base: those of older transformers' layers. */
  arrange?(tensors: readonly TensorEntry[], base: MethodBase, file: string): readonly TensorEntry[];
  /** What training begins with, for every parameter, as PEFT initialises a new adapter. */
  initialize(
    adapter: TrainableAdapter,
    base: MethodBase,
    options: InitializeOptions,
  ): Promise<ParameterValues>;
  /** Values that no file has and that follow from those that it has; for a method that has such. */
  derive?(
    adapter: TrainableAdapter,
    base: MethodBase,
    values: ParameterValues,
  ): Promise<ParameterValues>;
}
