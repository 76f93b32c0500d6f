/** Host ⇄ the pages that show what adapters change: numbers, pictures, files of them. Types only. */
import type {
  AdapterAnalysis,
  AdapterComparison,
  IntruderAnalysis,
  ModuleAnalysis,
} from "./analysisContract.ts";
import type { ProgressEvent } from "./engineContract.ts";
import type { AdapterReport } from "./reportContract.ts";
import type { HostState } from "./webviewContract.ts";

/** A file that a page would like to be written; the host asks where. */
export interface PageFile {
  /** Without an ending. */
  name: string;
  kind: "png" | "csv";
  /** Text, or base64 of a picture. */
  content: string;
}

/** What both pages may ask the host for. */
export type PicturesHostContract = {
  /** False when the user left the dialog. */
  saveFile: { params: PageFile; result: boolean };
};

/** Numbers for the inspector; what the files' headers tell is there before. */
export type AnalysisHostContract = PicturesHostContract & {
  analyze: { params: null; result: AdapterAnalysis; event: ProgressEvent };
  /** One module with all that can be told of it, however long that takes; null when it has none. */
  measureModule: {
    params: { module: string };
    result: ModuleAnalysis | null;
    event: ProgressEvent;
  };
  findIntruders: { params: null; result: IntruderAnalysis; event: ProgressEvent };
  compareAdapters: { params: null; result: null };
  /** Converts to a LoRA of this rank; asks where it is to be kept. */
  resize: { params: { rank: number }; result: null };
  reduceIntruders: { params: null; result: null };
  openTensors: { params: { file: string }; result: null };
};

export interface CompareState {
  /** Of each adapter what its files tell, or why they cannot be read. */
  sides: [CompareSide, CompareSide];
  host: HostState;
}

export interface CompareSide {
  path: string;
  name: string;
  report: AdapterReport | null;
  problem: string | null;
}

/** What the host offers to the page that compares two adapters. */
export type CompareHostContract = PicturesHostContract & {
  ready: { params: null; result: CompareState };
  compare: { params: null; result: AdapterComparison; event: ProgressEvent };
  inspect: { params: { path: string }; result: null };
  /** Asks for another adapter for one side. */
  choose: { params: { side: 0 | 1 }; result: null };
  swap: { params: null; result: null };
  mix: { params: null; result: null };
  combine: { params: null; result: null };
};

/** What that page offers to the host. */
export type CompareContract = {
  update: { params: CompareState; result: null };
};
