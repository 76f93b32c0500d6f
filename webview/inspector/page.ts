import type { PageFile } from "../../extension/protocol/picturesContract.ts";
import { type AdapterNumbers } from "./numbers.ts";
import { type InspectorUi } from "./ui.ts";

/** What the page's sections share and may do. */
export interface Page {
  ui: InspectorUi;
  numbers: AdapterNumbers;
  /** Keeps what the reader chose. */
  save(): void;
  /** Shows the spectrum of a module; null is the whole adapter. The map itself shows it already. */
  choose(module: string | null, from?: "map"): void;
  saveFile(file: PageFile): void;
  act(
    action: "resize" | "reduceIntruders" | "openTensors",
    argument: { rank?: number; file?: string },
  ): void;
}
