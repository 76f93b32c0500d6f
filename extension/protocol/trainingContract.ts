/** Before a run: data and their preview, settings, an estimate: part of the engine's contract. Types only. */
import type { ProgressEvent } from "./engineContract.ts";

export const runVersion = 1;

/** Which texts are learned from, and how they are read. */
export interface TrainingData {
  /** .jsonl, .json, .csv, .tsv or .txt, each also with .gz. */
  files: string[];
  /** Files of their own for evaluation; without, `evaluationShare` of the texts. */
  evaluationFiles?: string[];
  /** 0 to 1; by a hash of each text, so the order of the file does not matter. 0 when absent. */
  evaluationShare?: number;
  /** What the model is for; read off the fields when absent. */
  task?:
    | "causal"
    | "seq2seq"
    | "sequence-classification"
    | "token-classification"
    | "question-answering";
  /** How records are read; told by their fields when absent. */
  format?: DataFormat;
  /** What is learned of labels, as transformers calls it; read off the labels when absent. */
  problem?: "single_label_classification" | "multi_label_classification" | "regression";
  /** "new" trains a classifier's head from its beginning; "own", when absent, goes on with the base's where it has one. */
  head?: "own" | "new";
  /** Which field or column holds what, where names are others than usual. */
  fields?: Partial<Record<DataField, string>>;
  /** "answers" when absent: completions and the assistant's turns alone; "all" learns every token. */
  learn?: "answers" | "all";
  /** "auto": prompts and completions go through the base's chat template where it has one. */
  template?: "auto" | "chat" | "plain";
  /** In tokens; 1,024 when absent, at most the base's context. */
  maxLength?: number;
  /** What becomes of longer texts: the end is cut off, or they are split into several. */
  overlong?: "cut" | "split";
  /** "fit" puts whole texts into one row that do not see each other; "wrap" joins all texts and cuts. */
  packing?: "none" | "fit" | "wrap";
  /** What one text of a .txt file is; "paragraph" when absent. */
  textUnit?: "line" | "paragraph" | "document";
  /** Learn from the rest where records are broken; without it a run refuses them. */
  skipBroken?: boolean;
}

export type DataField =
  | "text"
  | "prompt"
  | "completion"
  | "messages"
  | "system"
  | "input"
  | "tools"
  | "label"
  | "pair"
  | "words"
  | "tags";

export type DataFormat = "chat" | "instruction" | "text" | "classification" | "tags" | "questions";

/** A piece of what the model sees; what is not learned is greyed. */
export interface TextSegment {
  text: string;
  isLearned: boolean;
}

export interface DataProblem {
  file: string;
  line: number;
  column: number;
  message: string;
}

export interface DataStatistics {
  /** Records that became texts, and rows that are fed after packing or splitting. */
  examples: number;
  rows: number;
  tokens: number;
  learnedTokens: number;
  /** Texts of which the end was cut, and how many tokens that took. */
  cut: number;
  cutTokens: number;
  /** Left out: nothing of them is learned once they are cut. */
  withoutLearned: number;
  /** In tokens, before cutting. */
  longest: number;
  median: number;
}

/** The columns of a table, or the fields of the first record. */
export interface DataColumns {
  columns: { name: string; sample: string }[];
  /** True where a file is plain text, whose texts have no fields. */
  hasPlainText: boolean;
}

export interface DataPreview {
  format: DataFormat;
  /** Which field or column was taken for what. */
  fields: Partial<Record<DataField, string>>;
  examples: { segments: TextSegment[]; label?: string; tokens: number }[];
  training: DataStatistics;
  evaluation: DataStatistics;
  /** Names by id, of classification. */
  labels: string[];
  /** Broken records: how many, and the first of them. */
  broken: number;
  problems: DataProblem[];
  /** Sentences on what was decided or found: which template, texts that were cut. */
  notes: string[];
  /** False: only the beginning of the files was read. */
  isWhole: boolean;
}

/** transformers' names and meanings, in camel case. */
export interface TrainingSettings {
  /** Either passes over the data, or steps; steps win. */
  epochs: number;
  maxSteps?: number;
  batchSize: number;
  gradientAccumulation: number;
  learningRate: number;
  schedule: "linear" | "cosine" | "constant" | "constant_with_warmup";
  warmupSteps: number;
  optimizer: "adamw" | "sgd";
  weightDecay: number;
  /** 0: gradients are not clipped. */
  maxGradientNorm: number;
  /** Of LoRA+: how many times faster B learns than A. */
  loraPlusRatio?: number;
  groupByLength: boolean;
  gradientCheckpointing: boolean;
  /**
   * The base's own dropout (hidden_dropout_prob, attn_pdrop and the like) acts in training, as after
   * model.train() in PyTorch; true when absent. False is TRL's disable_dropout, of the base alone.
   */
  baseDropout?: boolean;
  seed: number;
  /** In steps; 0 is never. */
  evaluateEvery: number;
  saveEvery: number;
  /** How many checkpoints are kept, the last and the best always among them; 0 keeps all. */
  keepCheckpoints: number;
  /** Evaluations without a better loss after which a run ends; 0 is never. */
  earlyStopping: number;
  /** By how much a loss has to be less to be better for `earlyStopping`; 0 when absent. */
  earlyStoppingThreshold?: number;
  /**
   * Each best evaluation is saved, and the adapter at the end is the best one's (transformers'
   * load_best_model_at_end); a run that is stopped by hand keeps what it has.
   */
  loadBest?: boolean;
}

/** Everything that a run is made of: the same config gives the same run. */
export interface RunConfig {
  version: typeof runVersion;
  /** For people, and the adapter's name. */
  name: string;
  /** Folder of the base. */
  base: string;
  /** What the frozen base is kept in; as it is when absent. */
  dtype?: string;
  /** A new adapter by its config (as adapter_config.json has it), or one that is trained on. */
  adapter: { kind: "new"; config: Record<string, unknown> } | { kind: "continue"; path: string };
  data: TrainingData;
  settings: TrainingSettings;
  /** Prompts that are answered at every evaluation, by the base and by the adapter. */
  samplePrompts: string[];
}

/** What training an adapter on a base would change, from headers alone. */
export interface TrainableCount {
  /** As PEFT's print_trainable_parameters counts them. */
  trained: number;
  all: number;
  /** Tokens that the base reads at most; null where its config does not say. */
  context: number | null;
}

export interface TrainingEstimate {
  /** Measured by one step with the longest batch. */
  secondsPerStep: number;
  steps: number;
  seconds: number;
  memory: number;
  freeMemory: number;
  trainableParameters: number;
  parameters: number;
  /** What is unusual about the adapter on this base, in sentences. */
  warnings: string[];
}

export interface EstimateParams {
  config: RunConfig;
  /** Folder of rounded weights that are kept; nothing is made for an estimate. */
  quantCache?: string;
}

/** A run as a Python job: a folder of its own. */
export interface ExportedJob {
  folder: string;
  /** Relative to the folder. */
  files: string[];
  bytes: number;
  /** What does not carry over as it is; sentences. */
  notes: string[];
}

/** What the engine answers before a run. */
export type TrainingContract = {
  /** Reads `limit` records (200 when absent; null reads all) and shows the first `examples` of them. */
  previewTrainingData: {
    params: { base: string; data: TrainingData; examples: number; limit?: number | null };
    result: DataPreview;
    event: ProgressEvent;
  };
  /** What the files' records have, so that a user can say which field is which. */
  describeTrainingData: { params: { files: string[] }; result: DataColumns };
  /** @throws what keeps the adapter from being trained on the base; `details.field` where it is of one */
  countTrainable: { params: Pick<RunConfig, "base" | "adapter">; result: TrainableCount };
  /** Runs one step with the longest batch, and writes nothing. */
  estimateTraining: {
    params: EstimateParams;
    result: TrainingEstimate;
    event: ProgressEvent;
  };
  /** Writes a run as a job for PEFT, TRL and Accelerate into a new folder; the losses of `run` go along. */
  exportTrainingJob: {
    params: { config: RunConfig; folder: string; run?: string; quantCache?: string };
    result: ExportedJob;
    event: ProgressEvent;
  };
};
