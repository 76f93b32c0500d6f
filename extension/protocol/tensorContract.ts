/** Looking into safetensors files: part of the engine's contract, and the tensor page's. Types only. */
import type { ProgressEvent } from "./engineContract.ts";

/** A file of tensors as it was when its header was read. */
export interface TensorFile {
  path: string;
  name: string;
  bytes: number;
  /** Where tensor data begins. */
  dataStart: number;
  /** Size and time of change: whoever asks for values says which state of the file is meant. */
  stamp: string;
  /** `__metadata__` of its header. */
  metadata: Record<string, string>;
}

/** One row of the tensor table. */
export interface TensorRow {
  name: string;
  /** As the file spells it: "BF16". */
  dtype: string;
  shape: number[];
  /** Bytes from the start of its file. */
  offset: number;
  bytes: number;
  /** Which of the files it lies in. */
  file: number;
}

/** What the headers of one file, or of all shards of an index, say. */
export interface TensorTable {
  files: TensorFile[];
  tensors: TensorRow[];
  /** Shards that are missing or broken, and entries that disagree; sentences. */
  problems: string[];
}

/** A tensor's place, as the table gave it. */
export interface TensorRef {
  path: string;
  stamp: string;
  name: string;
  dtype: string;
  shape: number[];
  offset: number;
  bytes: number;
}

/** Figures of finite values; null where there is none. `std` is the population's. */
export interface TensorStatistics {
  count: number;
  min: number | null;
  max: number | null;
  mean: number | null;
  std: number | null;
  norm: number | null;
  zeros: number;
  nan: number;
  infinite: number;
  histogram: { edges: number[]; counts: number[] } | null;
}

/** A rectangle of the plane of a tensor's last two axes, at given indices of those before. */
export interface ValueWindow {
  leading: number[];
  row: number;
  rows: number;
  column: number;
  columns: number;
}

/** Text where JSON has no exact number: NaN, infinities, -0, long integers, complex numbers. */
export type Cell = number | string;

export type TensorContract = {
  /** Reads headers alone, of a file or of all shards that an index lists. */
  tensorTable: { params: { path: string }; result: TensorTable };
  tensorStatistics: {
    params: { tensor: TensorRef };
    result: TensorStatistics;
    event: ProgressEvent;
  };
  tensorValues: { params: { tensor: TensorRef; window: ValueWindow }; result: Cell[][] };
};

/** Where the page can lead on to: the folder's other half. */
export type TensorLink = "adapter" | "base" | null;

export interface TensorsState {
  name: string;
  table: TensorTable | null;
  /** Why there is no table: what, where, what to do. */
  problem: string | null;
  link: TensorLink;
}

/** What the host offers to the tensor page. */
export type TensorsHostContract = {
  ready: { params: null; result: TensorsState };
  statistics: {
    params: { tensor: TensorRef };
    result: TensorStatistics;
    event: ProgressEvent;
  };
  values: { params: { tensor: TensorRef; window: ValueWindow }; result: Cell[][] };
  copy: { params: { text: string; what: string }; result: null };
  /** Asks where, then writes; `base64` where the content is not text. */
  save: {
    params: { name: string; content: string; base64?: boolean };
    result: { saved: boolean };
  };
  /** Opens the adapter's page, or loads the base. */
  follow: { params: null; result: null };
  reload: { params: null; result: TensorsState };
};

/** What that page offers to the host. */
export type TensorsContract = {
  update: { params: TensorsState; result: null };
};
