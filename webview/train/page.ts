import type { BaseModules, TrainPageState } from "../../extension/protocol/trainPageContract.ts";
import type {
  DataColumns,
  DataPreview,
  RunConfig,
} from "../../extension/protocol/trainingContract.ts";
import type { FieldHost } from "./fields.ts";

/** Which list of files is meant. */
export type FileList = "files" | "evaluationFiles";

/** What the sections of the form read, and what they tell. */
export interface TrainPage extends FieldHost {
  readonly state: TrainPageState;
  readonly modules: BaseModules | null;
  /** Of the files that are chosen, once they are read. */
  readonly columns: DataColumns | null;
  readonly preview: DataPreview | null;
  draft: RunConfig;
  /** Takes another draft; `redraws` where other fields are to be seen. */
  change(draft: RunConfig, redraws?: boolean): void;
  isOpen(id: string): boolean;
  setOpen(id: string, isOpen: boolean): void;
  browseBase(): void;
  pickFiles(list: FileList): void;
  drop(list: FileList, uris: string[]): void;
}
