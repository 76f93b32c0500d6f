/** Host ⇄ the form that starts runs. Types only. */
import type { ProgressEvent } from "./engineContract.ts";
import type {
  DataColumns,
  DataPreview,
  RunConfig,
  TrainableCount,
  TrainingData,
  TrainingEstimate,
} from "./trainingContract.ts";

/** A field of a method's config, as the form draws it. */
export interface MethodField {
  /** As adapter_config.json spells it. */
  name: string;
  meaning: string;
  default: unknown;
  kind: "integer" | "number" | "switch" | "choice" | "text" | "names" | "json";
  /** Of "choice". */
  choices: string[];
  minimum: number | null;
  /** Shown at once; the others under "All fields". */
  isCommon: boolean;
}

export interface MethodForm {
  peftType: string;
  label: string;
  fields: MethodField[];
}

export interface BaseChoice {
  path: string;
  name: string;
  /** "llama · 135 M · bf16" */
  detail: string;
  isLoaded: boolean;
}

/** What a base has, and what a config chooses of it. */
export interface BaseModules {
  /** Names that target_modules may have: the ends of paths, how many modules have each, and their weights. */
  names: { name: string; count: number; parameters: number }[];
  /** Divides the sizes of all linear layers, the output embedding aside; null where those are not known. */
  divisor: number | null;
  /** Modules that the config targets; null where that is not known. */
  chosen: number | null;
  /** What would be trained; null where the adapter cannot be trained on the base. */
  count: TrainableCount | null;
  /** What loading would refuse, and the field that it is about. */
  problem: { message: string; field: string | null } | null;
}

export interface TrainPageState {
  draft: RunConfig;
  bases: BaseChoice[];
  /** Those that can be trained. */
  methods: MethodForm[];
  /** Folder that the run's own will be made in. */
  place: string;
}

/** What the host offers to the form. */
export type TrainPageHostContract = {
  /** @param draft what the page had before the window was reloaded; null for a new form */
  ready: { params: { draft: RunConfig | null }; result: TrainPageState };
  /** The folder of a base that the user looks for; null when they leave. */
  browseBase: { params: null; result: string | null };
  /** Files that the user picks; null when they leave. */
  pickFiles: { params: null; result: string[] | null };
  /** Paths of what was dragged onto the form. */
  droppedFiles: { params: { uris: string[] }; result: string[] };
  describeBase: {
    params: Pick<RunConfig, "base" | "adapter">;
    result: BaseModules;
  };
  describeData: { params: { files: string[] }; result: DataColumns };
  preview: {
    params: { base: string; data: TrainingData };
    result: DataPreview;
    event: ProgressEvent;
  };
  estimate: { params: { config: RunConfig }; result: TrainingEstimate; event: ProgressEvent };
  /** As a Python job; the host asks where to. */
  exportJob: { params: { config: RunConfig }; result: null };
  openFile: { params: { file: string; line: number | null }; result: null };
  /** Makes the run, starts it and opens its page; the form closes. */
  start: { params: { config: RunConfig }; result: null };
};

/** What the form offers to the host. */
export type TrainPageContract = {
  /** Another list of bases: one was loaded, or found. */
  bases: { params: { bases: BaseChoice[] }; result: null };
};
