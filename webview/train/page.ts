import type { BaseModules, TrainPageState } from "../../extension/protocol/trainPageContract.ts";
import type { RunConfig } from "../../extension/protocol/trainingContract.ts";
import type { FieldHost } from "./fields.ts";

/** What the sections of the form read, and what they tell. */
export interface TrainPage extends FieldHost {
  readonly state: TrainPageState;
  readonly modules: BaseModules | null;
  draft: RunConfig;
  /** Takes another draft; `redraws` where other fields are to be seen. */
  change(draft: RunConfig, redraws?: boolean): void;
  isOpen(id: string): boolean;
  setOpen(id: string, isOpen: boolean): void;
  browseBase(): void;
  pickFiles(): void;
  drop(uris: string[]): void;
}
