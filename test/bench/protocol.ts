/** What the benchmark says to a party, one JSON line a request on its stdin, one a result on its stdout. */
import type { Memory } from "./processMemory.ts";

/** Adapters that take part, by the names they were loaded under; none is the bare base. */
export interface Use {
  readonly adapters: readonly { readonly name: string; readonly weight: number }[];
  /** For a batch whose rows have an adapter each; then `adapters` is empty. */
  readonly rows?: readonly string[];
}

export type Precision = "fp32" | "bf16" | "int8" | "int4" | "f32" | "q8_0" | "q4_0";

export type Ask =
  | {
      readonly do: "load";
      /** Folder of a checkpoint, or the file that the party reads. */
      readonly model: string;
      readonly precision: Precision;
      /** 0 is what the party does by itself. */
      readonly threads: number;
      /** Folder or file of each adapter by name. */
      readonly adapters: Readonly<Record<string, string>>;
      /** Where weights that are made by loading are kept. */
      readonly cache: string;
    }
  /** Reads a prompt (the same in each row of a batch) and keeps the sequence under a name. */
  | { readonly do: "start"; readonly key: string; readonly prompt: readonly number[]; readonly batch: number; readonly use: Use } // prettier-ignore
  /** Goes on with a sequence greedily: a sample is one step of all rows. */
  | { readonly do: "steps"; readonly key: string; readonly count: number }
  /** Reads a prompt up to the first token of the answer. */
  | { readonly do: "prefill"; readonly prompt: readonly number[]; readonly use: Use }
  /** Says a text token by token as `generate` does, whatever the model would say; with or without reading ahead. */
  | { readonly do: "recite"; readonly prompt: readonly number[]; readonly text: readonly number[]; readonly isAhead: boolean; readonly use: Use } // prettier-ignore
  /** Loads one of the adapters once more from disk, makes it the active one, and lets it go. */
  | { readonly do: "attach"; readonly adapter: string }
  /** Finds all that the inspector shows of an adapter at first. */
  | { readonly do: "inspect"; readonly adapter: string }
  /** Makes loaded adapters the active ones. */
  | { readonly do: "activate"; readonly use: Use }
  /** Opens a model and an adapter to go on training it. */
  | { readonly do: "train"; readonly model: string; readonly adapter: string; readonly threads: number; readonly learningRate: number } // prettier-ignore
  /** Steps of AdamW on the same texts [rows, length]: a sample is a whole step. */
  | { readonly do: "learn"; readonly count: number; readonly ids: readonly (readonly number[])[] }
  | { readonly do: "memory" }
  | { readonly do: "end" };

export interface Answer {
  /** Milliseconds. */
  readonly samples: readonly number[];
  /** The first row's tokens. */
  readonly ids?: readonly number[];
  /** Of each training step: its loss, and the milliseconds of all processors together. */
  readonly losses?: readonly number[];
  readonly processor?: readonly number[];
  readonly memory?: Memory;
  readonly version?: string;
  /** Of weights that a step reads: what the bandwidth of memory allows at best follows from it. */
  readonly bytes?: number;
  readonly error?: string;
}
